"""Reciprocal rank fusion: one order out of several, without comparing their scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

RANK_CONSTANT: Final = 60
"""How little the first ranks stand out. Source: seed A's retriever, and the paper it follows (Cormack 2009)."""


def fused(orders: Sequence[Sequence[str]], limit: int) -> list[tuple[str, float]]:
    """Ids with their scores, best first; equal scores in the order of the ids, so that it is always the same.

    Args:
        orders: Ids, best first, of each search.
        limit: How many to return.
    """
    scores: dict[str, float] = {}
    for order in orders:
        for rank, identity in enumerate(order, start=1):
            scores[identity] = scores.get(identity, 0.0) + 1 / (RANK_CONSTANT + rank)
    return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))[:limit]
