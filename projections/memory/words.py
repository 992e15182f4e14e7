"""Texts as bags of words for keyword search: BM25's share of a document; the store weighs words by rarity."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import lru_cache
from typing import Final, NamedTuple
from zlib import crc32

_K1: Final = 1.2
_B: Final = 0.75
_USUAL_WORDS: Final = 64
"""Words in a usual memory. BM25 wants the average of all texts; a fixed one keeps a vector from changing later."""

_WORD: Final = re.compile(r"[^\W_]+")
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class SparseVector(NamedTuple):
    """Numbers of words, and the weight of each.

    Attributes:
        indices: Ascending, without repeats.
        values: Weights in the same order.
    """

    indices: tuple[int, ...]
    values: tuple[float, ...]


def words(text: str) -> list[str]:
    """The words of a text: case and accents' spelling folded, `snake_case` and `camelCase` taken apart."""
    plain = unicodedata.normalize("NFKC", _HUMP.sub(" ", text)).casefold()
    return _WORD.findall(plain)


def document_vector(text: str) -> SparseVector:
    """A text that is searched: how much each of its words tells of it, by BM25."""
    found = words(text)
    length = 1 - _B + _B * len(found) / _USUAL_WORDS
    counts = Counter(map(_number, found))
    pairs = sorted((number, n * (_K1 + 1) / (n + _K1 * length)) for number, n in counts.items())
    return SparseVector(tuple(number for number, _ in pairs), tuple(weight for _, weight in pairs))


def query_vector(text: str) -> SparseVector:
    """A text that is searched for: each of its words once."""
    numbers = sorted({_number(word) for word in words(text)})
    return SparseVector(tuple(numbers), (1.0,) * len(numbers))


@lru_cache(maxsize=65_536)
def _number(word: str) -> int:
    # Two words in four billion numbers rarely meet; where they do, one text too many is found by keyword.
    return crc32(word.encode())
