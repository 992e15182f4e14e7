"""Reading JSON the same way everywhere: on any machine, at any depth of the stack, with any setting of Python.

`json.loads` refuses what nests too deep by how much stack is left, and long integers by an environment
variable. A decision that depended on either could come out differently when it is replayed.
"""

from __future__ import annotations

import json
import re
from typing import Final

MAX_NESTING: Final = 100
"""Deepest nesting of arrays and objects; far below Python's own limit, wherever the call stands."""

_BRACKETS: Final = re.compile(r"[\[\]{}]")


def parse(text: str) -> object:
    """The value of a JSON text; numbers stay text, because nobody here counts with them.

    Raises:
        ValueError: When it is no JSON (NaN and Infinity are none), or nests deeper than `MAX_NESTING`. Brackets
            within strings count as nesting too.
    """
    if _nesting(text) > MAX_NESTING:
        raise ValueError(f"nests deeper than {MAX_NESTING}")
    return json.loads(text, parse_constant=_no_constant, parse_int=str, parse_float=str)


def quoted(text: str) -> str:
    """A text as a JSON string."""
    return json.dumps(text, ensure_ascii=False)


def _nesting(text: str) -> int:
    depth = deepest = 0
    for bracket in _BRACKETS.findall(text):
        if bracket in "[{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")
