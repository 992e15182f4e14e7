"""Places in a picture for a graph that mostly points one way: columns by what must come before, few crossings.

Sugiyama's method in its usual steps: a column for each node by the longest path to it; a bend in every column that an
edge passes; order within columns by the barycenters of neighbours; heights that keep neighbours level. Written here
because the libraries for it are programs to install besides (Graphviz), under the GPL, or without layers. Pure.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar

T = TypeVar("T", bound=Hashable)
_SWEEPS: Final = 10
_BEND_HEIGHT: Final = 4.0


class Bend(NamedTuple):
    """Where an edge passes a column.

    Attributes:
        start: Where the edge comes from.
        end: Where it leads.
        column: Which column.
    """

    start: Hashable
    end: Hashable
    column: int


_Near: TypeAlias = Mapping[Hashable, list[Hashable]]


@dataclass(frozen=True, slots=True)
class Layout(Generic[T]):
    """Where everything goes.

    Attributes:
        column: Each node's column, from 0.
        top: Each node's upper edge, from 0 down.
        bends: For an edge that passes columns: the heights at which it does, by column.
    """

    column: dict[T, int]
    top: dict[T, float]
    bends: dict[tuple[T, T], list[tuple[int, float]]]


def layout(
    nodes: Sequence[T], edges: Iterable[tuple[T, T]], size: Mapping[T, float], gap: float
) -> Layout[T]:
    """Place nodes.

    Args:
        nodes: In the order that breaks ties.
        edges: Pairs of nodes, from left to right; one that closes a circle may lead back.
        size: Each node's height.
        gap: Least distance of two nodes in a column.
    """
    kept = _without_circles(nodes, list(dict.fromkeys(edges)))
    rank = _ranks(nodes, kept)
    placed: list[list[Hashable]] = [[] for _ in range(1 + max(rank.values(), default=-1))]
    for node in nodes:
        placed[rank[node]].append(node)
    links: list[tuple[Hashable, Hashable]] = []
    for a, b in kept:
        way: list[Hashable] = [a, *(Bend(a, b, at) for at in range(rank[a] + 1, rank[b])), b]
        links += itertools.pairwise(way)
        for bend in way[1:-1]:
            placed[bend.column].append(bend)  # type: ignore[attr-defined]  # between the ends are bends alone
    near = _neighbours(links)
    for sweep in range(_SWEEPS):
        _order(placed if sweep % 2 == 0 else placed[::-1], near)
    sizes: dict[Hashable, float] = {node: _BEND_HEIGHT for column in placed for node in column}
    sizes |= {node: size[node] for node in nodes}
    tops = _heights(placed, near, sizes, gap)
    bends: dict[tuple[T, T], list[tuple[int, float]]] = defaultdict(list)
    for bend in (node for column in placed for node in column if isinstance(node, Bend)):
        bends[bend.start, bend.end].append((bend.column, tops[bend] + _BEND_HEIGHT / 2))  # type: ignore[index]
    return Layout(rank, {node: tops[node] for node in nodes}, dict(bends))


def _heights(
    placed: Sequence[Sequence[Hashable]], near: _Near, size: Mapping[Hashable, float], gap: float
) -> dict[Hashable, float]:
    """Near the middle of the neighbours, none over another."""
    top: dict[Hashable, float] = {}
    for column in placed:
        _stack(column, dict.fromkeys(column, 0.0), size, gap, top)
    for sweep in range(_SWEEPS):
        for column in placed if sweep % 2 == 0 else placed[::-1]:
            middles = {
                node: [top[other] + size[other] / 2 for other in near.get(node, ())] for node in column
            }
            wanted = {
                node: fmean(middles[node]) - size[node] / 2 if middles[node] else top[node] for node in column
            }
            _stack(column, wanted, size, gap, top)
    least = min(top.values(), default=0.0)
    return {node: y - least for node, y in top.items()}


def _without_circles(nodes: Sequence[T], edges: list[tuple[T, T]]) -> list[tuple[T, T]]:
    """Edges but those that lead back to a node which is still being visited."""
    after: defaultdict[T, list[T]] = defaultdict(list)
    for a, b in edges:
        after[a].append(b)
    kept: list[tuple[T, T]] = []
    done: set[T] = set()
    for start in nodes:
        open_ = [(start, iter(after[start]))] if start not in done else []
        visiting = {start}
        while open_:
            node, rest = open_[-1]
            following = next(rest, None)
            if following is None:
                open_.pop()
                visiting.discard(node)
                done.add(node)
            elif following not in visiting:
                kept.append((node, following))
                if following not in done:
                    visiting.add(following)
                    open_.append((following, iter(after[following])))
    return kept


def _ranks(nodes: Sequence[T], edges: Iterable[tuple[T, T]]) -> dict[T, int]:
    before: defaultdict[T, list[T]] = defaultdict(list)
    after: defaultdict[T, list[T]] = defaultdict(list)
    for a, b in edges:
        before[b].append(a)
        after[a].append(b)
    waits = {node: len(before[node]) for node in nodes}
    rank = dict.fromkeys(nodes, 0)
    ready = [node for node in nodes if not waits[node]]
    for node in ready:  # grows while it is walked
        for following in after[node]:
            rank[following] = max(rank[following], rank[node] + 1)
            waits[following] -= 1
            if not waits[following]:
                ready.append(following)
    for node in nodes:  # what nothing leads to stands just before what it leads to
        if not before[node] and after[node]:
            rank[node] = min(rank[following] for following in after[node]) - 1
    return rank


def _neighbours(edges: Iterable[tuple[Hashable, Hashable]]) -> _Near:
    near: defaultdict[Hashable, list[Hashable]] = defaultdict(list)
    for a, b in edges:
        near[a].append(b)
        near[b].append(a)
    return near


def _order(placed: Sequence[list[Hashable]], near: _Near) -> None:
    """Sort each column by where the neighbours in columns already passed stand."""
    where: dict[Hashable, float] = {}
    for column in placed:
        passed = {node: [where[other] for other in near.get(node, ()) if other in where] for node in column}
        old = {node: (index + 0.5) / len(column) for index, node in enumerate(column)}
        column.sort(key=lambda node: fmean(passed[node]) if passed[node] else old[node])
        where |= {node: (index + 0.5) / len(column) for index, node in enumerate(column)}


def _stack(
    column: Sequence[Hashable],
    wanted: Mapping[Hashable, float],
    size: Mapping[Hashable, float],
    gap: float,
    top: dict[Hashable, float],
) -> None:
    """Give each node of a column the height it wants, or the next free one; then centre the column."""
    free = float("-inf")
    for node in column:
        top[node] = max(wanted[node], free)
        free = top[node] + size[node] + gap
    off = fmean(wanted[node] - top[node] for node in column) if column else 0.0
    for node in column:
        top[node] += off
