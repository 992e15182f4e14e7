"""Placeholders: which names a text wants, and the text with their values."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from octolog.domain.errors import Refused

MAX_FILLED_CHARS: Final = 2 * 1024 * 1024
"""A text that grows beyond this fails its task: a few lines of placeholders could ask for any amount of memory."""

_PLACEHOLDER: Final = re.compile(r"\{\{ *([A-Za-z0-9_][A-Za-z0-9._-]{0,63}) *\}\}")
_INPUT_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_RESERVED: Final = re.compile(r"(recovery|decomposed|subtask)-[0-9]+|.*\.(argument|reduction)")


class InputTooLarge(Refused):
    """A filled text is longer than `MAX_FILLED_CHARS`."""

    def __str__(self) -> str:
        return f"a text with its values has more than {MAX_FILLED_CHARS} characters"


def is_input_name(text: str) -> bool:
    """True for 1 to 64 letters, digits and `._-`; `_` may stand first."""
    return _INPUT_NAME.fullmatch(text) is not None


def is_reserved(name: str) -> bool:
    """True for names that the evaluator gives to what it makes."""
    return _RESERVED.fullmatch(name) is not None


def names_in(text: str) -> tuple[str, ...]:
    """The names between double braces, in order."""
    return tuple(_PLACEHOLDER.findall(text)) if "{{" in text else ()


def filled(text: str, value: Callable[[str], str | None]) -> str:
    """The text with every placeholder replaced once; one whose name has no value stays as it is.

    Raises:
        InputTooLarge: When the result would be longer than `MAX_FILLED_CHARS`.
    """
    if "{{" not in text:
        return text
    pieces: list[str] = []
    end = chars = 0
    for match in _PLACEHOLDER.finditer(text):
        found = value(match[1])
        pieces += (text[end : match.start()], match[0] if found is None else found)
        chars += len(pieces[-2]) + len(pieces[-1])
        end = match.end()
        if chars > MAX_FILLED_CHARS:
            raise InputTooLarge
    if chars + len(text) - end > MAX_FILLED_CHARS:
        raise InputTooLarge
    return "".join((*pieces, text[end:]))
