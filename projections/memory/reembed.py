"""Another embedding model, blue/green: a collection grows beside the one in use, then takes its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final

from octolog.domain.errors import Refused
from octolog.ports import Progress
from projections.memory.conditions import Where
from projections.memory.embedding import Embedder
from projections.memory.point import OPEN
from projections.memory.sink import spec_of
from projections.memory.store import Collections, Entry, MemoryStore, Vectors
from projections.memory.words import SparseVector

TOP: Final = 10
_BATCH: Final = 200
_SHOWN: Final = 5
_NO_WORDS: Final = SparseVector((), ())


@dataclass(frozen=True, slots=True)
class Drift:
    """How much the nearest memories change with the model.

    Attributes:
        queries: How many were asked of both.
        overlap_at_10: Mean share of the ten nearest that both agree on, 0.0 to 1.0; None without a query.
        least: The smallest share of one query.
        worst: Queries with the smallest shares, with these.
    """

    queries: int
    overlap_at_10: float | None
    least: float | None
    worst: tuple[tuple[str, float], ...]

    def document(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "queries": self.queries,
            "overlap_at_10": self.overlap_at_10,
            "least": self.least,
            "worst": [{"query": query[:200], "overlap": share} for query, share in self.worst],
        }


def copy(source: MemoryStore, target: MemoryStore, embedder: Embedder, progress: Progress) -> int:
    """Write every point of `source` into `target`, with vectors of `embedder`; returns how many.

    The positions are those of the source before its first point was read: who goes on from them reads again what
    came during the copy, and stores it once.
    """
    positions = source.positions()
    total, done = source.count(), 0
    for entries in source.scan(_BATCH):
        made = embedder.embed([entry.point.memory.content for entry in entries])
        target.put(
            [
                Entry(entry.point, Vectors(vector, entry.vectors.sparse))
                for entry, vector in zip(entries, made, strict=True)
            ]
        )
        target.settle()
        done += len(entries)
        progress(done, max(total, done))
    target.move(positions)
    return done


def drift(
    before: MemoryStore, old: Embedder, after: MemoryStore, new: Embedder, queries: Sequence[str]
) -> Drift:
    """Ask both collections the same, by meaning alone, and compare whom they name."""
    shares = [(query, _share(before, old, after, new, query)) for query in queries]
    told = [share for _, share in shares]
    worst = tuple(sorted(shares, key=lambda pair: pair[1])[:_SHOWN])
    return Drift(len(told), round(fmean(told), 4) if told else None, min(told, default=None), worst)


def samples(store: MemoryStore, count: int) -> list[str]:
    """Texts to ask with: what memories that count say, spread evenly over their ids, so always the same ones."""
    total = store.count(Where())
    step = max(1, total // max(1, count))
    contents = _contents(store)
    return [text for at, text in enumerate(contents) if at % step == 0][:count]


def reembed(
    collections: Collections,
    old: Embedder,
    new: Embedder,
    *,
    queries: Sequence[str],
    least_overlap: float,
    progress: Progress,
) -> tuple[MemoryStore, int, Drift]:
    """Build the collection of another model beside the one in use, and compare; the caller uses or discards it.

    Raises:
        Refused: When the model is in use already, or agrees with the old one on less than `least_overlap`.
    """
    source = collections.current()
    if source is None:
        raise Refused("there are no memories yet; set OCTOLOG_EMBEDDING_MODEL before the first")
    if source.spec == spec_of(new):
        raise Refused(f"the memories have vectors of {new.model} already")
    target = collections.create(spec_of(new), source.version)
    try:
        count = copy(source, target, new, progress)
        found = drift(source, old, target, new, queries)
        if found.overlap_at_10 is not None and found.overlap_at_10 < least_overlap:
            raise Refused(
                f"{new.model} agrees with {old.model} on {found.overlap_at_10:.2f} of the ten nearest memories,"
                f" less than {least_overlap:.2f}; nothing was changed"
            )
    except BaseException:
        collections.discard(target)
        raise
    return target, count, found


def _share(before: MemoryStore, old: Embedder, after: MemoryStore, new: Embedder, query: str) -> float:
    first, second = _nearest(before, old, query), _nearest(after, new, query)
    most = max(len(first), len(second))
    return len(first & second) / most if most else 1.0


def _nearest(store: MemoryStore, embedder: Embedder, query: str) -> set[str]:
    vectors = Vectors(embedder.embed([query])[0], _NO_WORDS)
    return {scored.point_id for scored in store.search(vectors, Where(), TOP).by_meaning}


def _contents(store: MemoryStore) -> Iterator[str]:
    for entries in store.scan(_BATCH):
        for entry in entries:
            if entry.point.closed_at == OPEN:
                yield entry.point.memory.content
