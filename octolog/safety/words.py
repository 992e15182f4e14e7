"""A text as words are looked for in it: lower case, `snake_case` and `camelCase` as words, the same length."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final, Generic, TypeVar

__all__ = ["Phrases", "key_as_words", "normal", "occurrences", "split_words"]

M = TypeVar("M")

_ASCII_WORD: Final = re.compile("[a-z]+")

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
    """What a JSON key says of its value, as it would stand before it in a text: `phone Number: "`."""
    return f'{split_words(key)}: "' if len(key) <= _LONGEST_KEY else ""


_LONGEST_KEY: Final = 60


def occurrences(word: str, prepared: str) -> Iterator[int]:
    """Where a word ends, each time it stands alone in a text made by `normal`."""
    at = prepared.find(word)
    while at >= 0:
        end = at + len(word)
        starts = at == 0 or not prepared[at - 1].isalpha()
        if starts and prepared.startswith("s", end):
            end += 1  # one phone, two phones
        if starts and (end == len(prepared) or not prepared[end].isalpha()):
            yield end
        at = prepared.find(word, end)


class Phrases(Generic[M]):
    """Phrases with their meanings, found by their first word: a text is asked for its words, not for every phrase.

    Args:
        meanings: Phrase in lower case and one of its meanings; a phrase may come several times.
    """

    def __init__(self, meanings: Iterable[tuple[str, M]]) -> None:
        self._meanings: dict[str, list[M]] = defaultdict(list)
        for phrase, meaning in meanings:
            self._meanings[phrase].append(meaning)
        self._by_first: dict[str, list[str]] = defaultdict(list)
        for phrase in self._meanings:
            first = _ASCII_WORD.match(phrase)
            if first is not None and phrase.isascii():
                self._by_first[first.group()].append(phrase)
                if first.group() == phrase:
                    self._by_first[phrase + "s"].append(phrase)  # one phone, two phones

    def within(self, prepared: str) -> Iterator[tuple[str, list[M]]]:
        """Phrases that a text made by `normal` may hold, with their meanings; `occurrences` tells where, if at all."""
        if not prepared.isascii():  # where a word ends is another question there: look for every phrase
            yield from ((phrase, found) for phrase, found in self._meanings.items() if phrase in prepared)
            return
        first_words = self._by_first
        for word in set(_ASCII_WORD.findall(prepared)):
            if word in first_words:
                for phrase in first_words[word]:
                    if phrase in prepared:
                        yield phrase, self._meanings[phrase]
