"""Reciprocal rank fusion: one order out of several, without comparing their scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from arms.retriever.ports import Found

__all__ = ["RANK_CONSTANT", "Fused", "fuse"]

RANK_CONSTANT: Final = 60
"""How little the first ranks stand out. Source: seed A's retriever, and the paper it follows (Cormack 2009)."""


@dataclass(frozen=True, slots=True)
class Fused:
    """Something found, and by whom.

    Attributes:
        found: It, with the highest relevance that any ranker gave it.
        fused: The sum of 1 / (60 + rank) over the rankers that found it.
        ranks: Its rank, from 1, by ranker.
    """

    found: Found
    fused: float
    ranks: Mapping[str, int]


def fuse(orders: Mapping[str, Sequence[Found]], limit: int, min_score: float) -> list[Fused]:
    """One order, best first; ties in the order of the keys, so that it is always the same.

    Args:
        orders: What each ranker found, best first.
        limit: How many to return.
        min_score: What no ranker finds at least this relevant is dropped, before ranks are given.
    """
    best: dict[str, Found] = {}
    for order in orders.values():
        for found in order:
            held = best.get(found.key)
            best[found.key] = found if held is None or found.relevance > held.relevance else held
    kept = {key: found for key, found in best.items() if found.relevance >= min_score}
    ranks: dict[str, dict[str, int]] = {key: {} for key in kept}
    for name, order in orders.items():
        for rank, key in enumerate((each.key for each in order if each.key in kept), start=1):
            ranks[key][name] = rank
    scored = [
        Fused(found, sum(1 / (RANK_CONSTANT + rank) for rank in ranks[key].values()), ranks[key])
        for key, found in kept.items()
    ]
    return sorted(scored, key=lambda each: (-each.fused, each.found.key))[:limit]
