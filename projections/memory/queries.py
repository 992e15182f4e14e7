"""Asking semantic memory: by meaning and by word, within limits, now or as of a moment of the log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, zip_longest
from typing import Any, Final

from octolog.domain.errors import NotFound, Refused
from projections.memory.conditions import Where
from projections.memory.embedding import Embedder
from projections.memory.fusion import fused
from projections.memory.point import OPEN, Point
from projections.memory.store import Entry, MemoryStore, Vectors
from projections.memory.words import query_vector

MAX_TOP_K: Final = 1_000
_SCANNED: Final = 500
_ROUNDING: Final = 1e-5
_FETCH: Final = 2
"""Each search brings so many times what is asked for: a memory that both find late may come before one of either."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A memory that was found.

    Attributes:
        point: The memory.
        score: By reciprocal rank fusion; only its order means anything.
        similarity: Cosine of the embeddings, -1.0 to 1.0; None: found by its words alone.
    """

    point: Point
    score: float
    similarity: float | None


def search(
    store: MemoryStore, embedder: Embedder, text: str, top_k: int = 10, where: Where | None = None
) -> list[Hit]:
    """The memories that fit a text best, best first.

    Args:
        store: Where.
        embedder: Of the store's model.
        text: What is looked for.
        top_k: How many, at most.
        where: Limits. None: every memory that counts now.

    Raises:
        Refused: For a text that says nothing, or too many hits.
    """
    if not text.strip():
        raise Refused("a search needs a text")
    if not 1 <= top_k <= MAX_TOP_K:
        raise Refused(f"top-k is {top_k}; 1 to {MAX_TOP_K}")
    vectors = Vectors(embedder.embed([text])[0], query_vector(text))
    return nearest(store, vectors, top_k, where)


def nearest(store: MemoryStore, vectors: Vectors, top_k: int, where: Where | None = None) -> list[Hit]:
    """`search` for a text that is embedded already."""
    found = store.search(vectors, where or Where(), _FETCH * top_k)
    orders = [[scored.point_id for scored in order] for order in (found.by_meaning, found.by_words)]
    best = fused(orders, top_k)
    points = store.get([identity for identity, _ in best])
    similar = {scored.point_id: scored.score for scored in found.by_meaning}
    return [Hit(points[name], score, similar.get(name)) for name, score in best if name in points]


def show(store: MemoryStore, memory_id: str) -> list[Point]:
    """All versions of a memory, oldest first.

    Raises:
        NotFound: When it was never recorded.
    """
    found = store.versions(memory_id)
    if not found:
        raise NotFound(f"no memory {memory_id[:64]} in the log as far as it was read")
    return found


def canonical_digest(store: MemoryStore) -> str:
    """SHA-256 over every point with its vectors, and the positions, hex: equal for two stores that hold the same."""
    digest = sha256()
    for batch in store.scan(_SCANNED):
        for point, (dense, sparse) in batch:
            said = point.point_id, sorted(point.payload().items()), list(dense)
            words = sorted(zip(sparse.indices, sparse.values, strict=True))
            digest.update(repr((said, words)).encode())
    digest.update(repr(sorted(store.positions().items())).encode())
    return digest.hexdigest()


def require_equal(live: MemoryStore, built: MemoryStore) -> int:
    """Hold a collection against one that was built anew; returns how many points both have.

    Everything is the same to the byte but the embeddings, which a store may have normalised once more.

    Raises:
        Refused: When they differ; names the memory.
    """
    if live.positions() != built.positions():
        raise Refused("the memories as rebuilt end at another offset; nothing was changed")
    count = 0
    for ours, theirs in zip_longest(_entries(live), _entries(built)):
        if ours is None or theirs is None or not _same(ours, theirs):
            there = next(one for one in (ours, theirs) if one is not None).point.memory.memory_id
            raise Refused(f"memory {there} as rebuilt differs from the one in use; nothing was changed")
        count += 1
    return count


def _entries(store: MemoryStore) -> Iterator[Entry]:
    return chain.from_iterable(store.scan(_SCANNED))


def _same(one: Entry, other: Entry) -> bool:
    (dense, words), (others, other_words) = one.vectors, other.vectors
    return (
        one.point == other.point
        and sorted(zip(words.indices, words.values, strict=True))
        == sorted(zip(other_words.indices, other_words.values, strict=True))
        and len(dense) == len(others)
        and all(abs(a - b) <= _ROUNDING for a, b in zip(dense, others, strict=True))
    )


def document(point: Point) -> dict[str, Any]:
    """A memory as plain values: what it says, where the log says it, and when it counted, in offsets."""
    memory = point.memory
    return {
        "memory_id": memory.memory_id,
        "entity_type": memory.entity_type.value,
        "content": memory.content,
        "source": memory.source,
        "confidence": memory.confidence,
        "tags": list(memory.tags),
        "timestamp_ms": memory.timestamp_ms,
        "metadata_json": memory.metadata_json,
        "root_task_id": point.root_task_id,
        "task_id": point.task_id,
        "partition": point.partition,
        "recorded_at": point.recorded_at,
        "superseded_at": point.superseded_at,
        "superseded_by": point.superseded_by,
        "forgotten_at": point.forgotten_at,
        "replaced_at": point.replaced_at,
        "reason": point.reason,
        "counts": point.closed_at == OPEN,
    }
