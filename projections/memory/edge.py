"""The vector store in this process: Qdrant's own engine (Qdrant Edge) on files of this machine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar
from uuid import uuid4

import qdrant_edge as edge

from octolog.domain.errors import StoreUnavailable
from octolog.ports import Positions
from projections.folder import take
from projections.memory.conditions import AnyOf, Between, Condition, Equals, Where
from projections.memory.meta import Meta
from projections.memory.point import OPEN, Point, from_payload
from projections.memory.store import (
    DENSE,
    FLOAT_FIELDS,
    FOLD,
    INTEGER_FIELDS,
    KEYWORD_FIELDS,
    META_ID,
    WORDS,
    Entry,
    Found,
    MemoryStore,
    Scored,
    Spec,
    Vectors,
)

_POINTER: Final = "current.json"
_WRITE_BATCH: Final = 1_000
_INDEX_AFTER: Final = 10_000
"""Points without an index that a search still scans in a millisecond or two."""

_SEGMENT_KB: Final = 20_000
"""Vectors of one segment, kilobytes: some 13,000 of 384 numbers. The bindings keep the interpreter to themselves while
they build a graph; one over everything would hold this process for minutes, one of such a segment takes 2 s."""

_GRAPH: Final = edge.HnswIndexConfig(
    m=16,
    ef_construct=64,
    full_scan_threshold=10_000,  # kilobytes; below it the filtered part is scanned, since a graph loses its way in it
    payload_m=0,  # a graph of its own for each filter field costs minutes of building and wins little
)
_BYTES: Final = edge.ScalarQuantizationConfig(edge.ScalarType.Int8, quantile=0.99, always_ram=True)
"""A byte for each number, beside the numbers: what is scanned is a quarter as much, so filtered parts take a third of
the time, for a quarter more memory."""

_FEW_WORDS: Final = 500
"""Texts of a segment, left by a filter, that are compared one by one; of more, the words' own index is asked: half the
time where a quarter of a segment is left. Qdrant's own number is 5,000. Both find the same."""

_FINELY: Final = edge.SearchParams(quantization=edge.QuantizationSearchParams(rescore=True))
"""The best by bytes are ordered anew by their numbers: 4 of 100 hits would else be others."""

P = ParamSpec("P")
R = TypeVar("R")


class EdgeCollections:
    """Collections in a folder; one process at a time.

    Args:
        folder: Made when it is not there.

    Raises:
        StoreUnavailable: When another process has the folder open.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: EdgeStore | None = None
        self._lock = take(folder)

    def current(self) -> MemoryStore | None:
        """The collection in use; None before the first is made."""
        if self._open is None:
            named = self._named()
            self._open = None if named is None else EdgeStore.load(self._folder / named)
        return self._open

    def create(self, spec: Spec, version: int = FOLD) -> MemoryStore:
        """A new collection, empty, not in use yet."""
        self._sweep()
        return EdgeStore.create(self._folder / f"collection-{uuid4().hex[:12]}", spec, version)

    def use(self, made: MemoryStore) -> None:
        """Make a collection the one in use, at once; the one before it is closed and deleted."""
        store, before = _edge(made), self._open
        temporary = self._folder / f"{_POINTER}.new"
        temporary.write_text(json.dumps({"folder": store.folder.name}))
        temporary.replace(self._folder / _POINTER)
        self._open = store
        if before is not None:
            before.close()
        self._sweep()

    def discard(self, made: MemoryStore) -> None:
        """Delete a collection that never came into use."""
        store = _edge(made)
        store.close()
        shutil.rmtree(store.folder, ignore_errors=True)

    def close(self) -> None:
        """Release everything."""
        if self._open is not None:
            self._open.close()
            self._open = None
        self._lock.release()

    def _named(self) -> str | None:
        try:
            return str(json.loads((self._folder / _POINTER).read_text())["folder"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError) as error:
            raise StoreUnavailable(f"{self._folder / _POINTER} cannot be read: {error}") from error

    def _sweep(self) -> None:
        """Delete what a process left behind that ended between making a collection and using it."""
        kept = self._named()
        for path in self._folder.glob("collection-*"):
            if path.name != kept:
                shutil.rmtree(path, ignore_errors=True)


class EdgeStore:
    """One shard of Qdrant Edge.

    Attributes:
        spec: What it is made for.
        version: The fold that fills it.
        layout: How its points are laid out.
        folder: Where it lies.
    """

    def __init__(self, shard: edge.EdgeShard, folder: Path, meta: Meta) -> None:
        self._shard, self.folder, self._meta = shard, folder, meta
        self._unindexed = 0
        self.spec, self.version, self.layout = meta.spec, meta.version, meta.layout

    @classmethod
    def create(cls, folder: Path, spec: Spec, version: int = FOLD) -> EdgeStore:
        """A new shard."""
        shard = _ours(edge.EdgeShard.create)(str(folder), _config(spec))
        fields = [(name, edge.PayloadSchemaType.Keyword) for name in KEYWORD_FIELDS]
        fields += [(name, edge.PayloadSchemaType.Integer) for name in INTEGER_FIELDS]
        fields += [(name, edge.PayloadSchemaType.Float) for name in FLOAT_FIELDS]
        for name, kind in fields:
            _ours(shard.update)(edge.UpdateOperation.create_field_index(name, kind))
        store = cls(shard, folder, Meta(spec, version=version))
        store.move({})
        return store

    @classmethod
    def load(cls, folder: Path) -> EdgeStore:
        """A shard that is there."""
        shard = _ours(edge.EdgeShard.load)(str(folder))
        found = _ours(shard.retrieve)([META_ID], True, False)  # noqa: FBT003 -- payload, no vectors
        if not found:
            raise StoreUnavailable(
                f"{folder} has no record of its model; delete it, it is rebuilt from the log"
            )
        return cls(shard, folder, Meta.of(found[0].payload or {}))

    def get(self, ids: Sequence[str]) -> dict[str, Point]:
        """Points by id."""
        if not ids:
            return {}
        records = _ours(self._shard.retrieve)(list(ids), True, False)  # noqa: FBT003
        return {str(record.id): from_payload(str(record.id), record.payload or {}) for record in records}

    def vectors(self, ids: Sequence[str]) -> dict[str, Vectors]:
        """Vectors by point id."""
        records = _ours(self._shard.retrieve)(list(ids), False, True) if ids else []  # noqa: FBT003
        return {str(record.id): Vectors.named(record.vector) for record in records}

    def put(self, entries: Sequence[Entry]) -> None:
        """Write points with their vectors."""
        for start in range(0, len(entries), _WRITE_BATCH):
            some = entries[start : start + _WRITE_BATCH]
            points = [
                edge.Point(
                    point.point_id,
                    {DENSE: list(dense), WORDS: edge.SparseVector(list(sparse.indices), list(sparse.values))},
                    point.payload(),
                )
                for point, (dense, sparse) in some
            ]
            _ours(self._shard.update)(edge.UpdateOperation.upsert_points(points))
        self._unindexed += len(entries)

    def update(self, points: Sequence[Point]) -> None:
        """Write points that keep their vectors."""
        for point in points:
            operation = edge.UpdateOperation.overwrite_payload([point.point_id], point.payload())
            _ours(self._shard.update)(operation)

    def search(self, vectors: Vectors, where: Where, limit: int) -> Found:
        """The nearest points by either vector."""
        limited = _filter(where)
        queries = [edge.Query.Nearest(list(vectors.dense), using=DENSE)]
        if vectors.sparse.indices:
            sparse = edge.SparseVector(list(vectors.sparse.indices), list(vectors.sparse.values))
            queries.append(edge.Query.Nearest(sparse, using=WORDS))
        asked = [
            edge.QueryRequest(limit=limit, query=query, filter=limited, params=_FINELY, with_payload=False)
            for query in queries
        ]
        answers = _ours(self._shard.query_batch)(edge.QueryBatchRequest(asked))
        orders = [[Scored(str(point.id), point.score) for point in answer] for answer in answers]
        return Found(orders[0], orders[1] if len(orders) > 1 else [])

    def versions(self, memory_id: str) -> list[Point]:
        """All versions of a memory, oldest first."""
        same = edge.Filter(must=[_condition(Equals("memory_id", memory_id))])
        asked = edge.ScrollRequest(limit=1_000, filter=same, with_payload=True, with_vector=False)
        records, _ = _ours(self._shard.scroll)(asked)
        found = [from_payload(str(record.id), record.payload or {}) for record in records]
        return sorted(found, key=lambda point: point.recorded_at)

    def scan(self, batch: int) -> Iterator[list[Entry]]:
        """Every point with its vectors, in the order of their ids."""
        after: edge.PointId | None = None
        while True:
            asked = edge.ScrollRequest(offset=after, limit=batch, with_payload=True, with_vector=True)
            records, after = _ours(self._shard.scroll)(asked)
            yield [
                Entry(from_payload(str(record.id), record.payload or {}), Vectors.named(record.vector))
                for record in records
                if str(record.id) != META_ID
            ]
            if after is None:
                return

    def count(self, where: Where | None = None) -> int:
        """How many points there are."""
        limited = _everything() if where is None else _filter(where)
        return int(_ours(self._shard.count)(edge.CountRequest(exact=True, filter=limited)))

    def positions(self) -> Positions:
        """The positions stored with the points."""
        return dict(self._meta.positions)

    def move(self, positions: Positions) -> None:
        """Store positions; the write-ahead log keeps them behind the points."""
        meta = self._meta.moved(positions)
        point = edge.Point(META_ID, {}, meta.payload())
        _ours(self._shard.update)(edge.UpdateOperation.upsert_points([point]))
        self._meta = meta

    def clear(self) -> None:
        """Delete every point and position."""
        _ours(self._shard.update)(edge.UpdateOperation.delete_points_by_filter(_everything()))
        self._meta = self._meta.emptied()
        self.move({})

    def settle(self) -> None:
        """Build the graph once enough was written without."""
        if self._unindexed >= _INDEX_AFTER:
            _ours(self._shard.optimize)()
            self._unindexed = 0

    def close(self) -> None:
        """Flush and release the shard."""
        with suppress(Exception):  # the second time it is closed already
            self._shard.flush()
            self._shard.close()


def _edge(store: MemoryStore) -> EdgeStore:
    if not isinstance(store, EdgeStore):
        raise TypeError(f"{type(store).__name__} is no collection of a folder")
    return store


def _config(spec: Spec) -> edge.EdgeConfig:
    return edge.EdgeConfig(
        vectors={DENSE: edge.EdgeVectorParams(size=spec.dimension, distance=edge.Distance.Cosine)},
        sparse_vectors={
            WORDS: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf, full_scan_threshold=_FEW_WORDS)
        },
        hnsw_config=_GRAPH,
        quantization_config=_BYTES,
        optimizers=edge.EdgeOptimizersConfig(
            default_segment_number=2, max_segment_size=_SEGMENT_KB, indexing_threshold=_SEGMENT_KB // 4
        ),
    )


def _everything() -> edge.Filter:
    """All points but the one that holds the positions."""
    return edge.Filter(must=[_condition(Between("closed_at", most=OPEN))])


def _filter(where: Where) -> edge.Filter:
    return edge.Filter(must=[_condition(condition) for condition in where.conditions()])


def _condition(condition: Condition) -> Any:
    match condition:
        case Equals(field=field, value=value):
            return edge.FieldCondition(key=field, match=edge.MatchValue(value))
        case Between(field=field, least=least, most=most):
            return edge.FieldCondition(key=field, range=edge.RangeFloat(gte=least, lte=most))
        case AnyOf(groups=groups):
            return edge.Filter(
                should=[edge.Filter(must=[_condition(one) for one in group]) for group in groups]
            )


def _ours(call: Callable[P, R]) -> Callable[P, R]:
    """The same call with Qdrant's errors as ours; its bindings raise bare exceptions."""

    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return call(*args, **kwargs)
        except Exception as error:
            text = " ".join(str(error).split()) or type(error).__name__
            raise StoreUnavailable(f"the memory store: {text[:300]}") from error

    return guarded
