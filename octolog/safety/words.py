"""A text as words are looked for in it: lower case, `snake_case` and `camelCase` as words, the same length."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

__all__ = ["key_as_words", "normal", "occurrences", "split_words"]

_LOWERED: Final = {**{code: code + 32 for code in range(ord("A"), ord("Z") + 1)}, ord("_"): ord(" ")}
# Zero-width and bidirectional characters hide words from a reader or from a search.
INVISIBLE: Final = re.compile(
    "[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\U000e0000-\U000e007f]"
)
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def normal(text: str) -> str:
    """ASCII letters in lower case, underscores as spaces; every character keeps its place."""
    if text.isascii():
        return text.lower().replace("_", " ")
    return text.translate(_LOWERED)


def split_words(key: str) -> str:
    """`phoneNumber`, `phone_number` and `phone-number` as `phone Number`, `phone number` and so on."""
    return _HUMP.sub(" ", key).replace("_", " ").replace("-", " ")


def key_as_words(key: str) -> str:
    """What a JSON key says of its value, as it would stand before it in a text: `phone Number: `."""
    return f"{split_words(key)}: " if len(key) <= _LONGEST_KEY else ""


_LONGEST_KEY: Final = 60


def occurrences(word: str, prepared: str) -> Iterator[int]:
    """Where a word ends, each time it stands alone in a text made by `normal`."""
    at = prepared.find(word)
    while at >= 0:
        end = at + len(word)
        starts = at == 0 or not prepared[at - 1].isalpha()
        if starts and (end == len(prepared) or not prepared[end].isalpha()):
            yield end
        at = prepared.find(word, end)
