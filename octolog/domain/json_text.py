"""Reading JSON the same way everywhere: on any machine, at any depth of the stack, with any setting of Python.

`json.loads` refuses what nests too deep by how much stack is left, and long integers by an environment
variable. A decision that depended on either could come out differently when it is replayed.
"""

from __future__ import annotations

import json
import re
from typing import Final, cast

MAX_NESTING: Final = 100
"""Deepest nesting of arrays and objects; far below Python's own limit, wherever the call stands."""

_BRACKETS: Final = re.compile(r"[\[\]{}]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


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


class _Number(str):
    """A number as it was written."""

    __slots__ = ()


def exactly(text: str) -> object:
    """The value of a JSON text, whose numbers remember how they were written; for `canonical`.

    Raises:
        ValueError: As `parse`.
    """
    if _nesting(text) > MAX_NESTING:
        raise ValueError(f"nests deeper than {MAX_NESTING}")
    return _EXACTLY.decode(text)


def canonical(value: object) -> str:
    """A value of `exactly`, or texts, lists and dicts of them, as canonical JSON.

    Sorted keys, no blanks, characters as themselves (half of a surrogate pair as U+FFFD), numbers as written.
    """
    match value:
        case _Number():
            return str(value)
        case str():
            return quoted(whole(value))
        case dict():
            members = cast("dict[str, object]", value)
            return (
                "{" + ",".join(f"{quoted(whole(k))}:{canonical(members[k])}" for k in sorted(members)) + "}"
            )
        case list():
            return "[" + ",".join(canonical(item) for item in cast("list[object]", value)) + "]"
        case _:
            return json.dumps(value)


def is_number(value: object) -> bool:
    """True for a number of `exactly`."""
    return isinstance(value, _Number)


def whole(text: str) -> str:
    """A text that can be written: half of a surrogate pair becomes U+FFFD."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


_EXACTLY: Final = json.JSONDecoder(parse_constant=_no_constant, parse_int=_Number, parse_float=_Number)
"""Made once: making it takes as long as reading a short text."""
