"""Follows `octolog.memory` into a vector store: memories found by meaning and word, and how far it has read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from octolog.domain.errors import ContractError, UndecodableRecord
from octolog.domain.memory import (
    EmbeddingModelFixed,
    MemoryEvent,
    MemoryForgotten,
    MemoryRecorded,
    MemorySuperseded,
    check_memory,
)
from octolog.ports import DeadLetterSink, LogRecord, Positions
from projections.memory.embedding import Embedder
from projections.memory.fold import fold, memory_id_of
from projections.memory.point import Place, Point, point_id
from projections.memory.store import FOLD, Collections, Entry, MemoryStore, Spec, Vectors
from projections.memory.words import document_vector
from schemas.codec import Codec

TOPIC: Final = "octolog.memory"
_CHUNK: Final = 500
"""Events folded together: one look-up, one write, one position. At some 300 texts embedded a second, a crash
loses less than two seconds of work."""

Event = tuple[LogRecord, MemoryEvent]


class MemoryProjection:
    """The `Projection` behind semantic memory.

    The store has no transactions. So points have ids that derive from their memory, an event that is older than
    its point changes nothing, and positions are written last: who starts again after any crash reads a few events
    twice and stores them once.

    Args:
        store: Where the points are.
        embedder: Makes the vectors that records come without; of the store's model.
        codec: Reads records.
        dead_letters: Told of every record that cannot be stored, before the positions pass it. None: nobody.
    """

    name: str = "memory"
    version: int = FOLD
    topics: tuple[str, ...] = (TOPIC,)

    def __init__(
        self,
        store: MemoryStore,
        embedder: Embedder,
        codec: Codec,
        dead_letters: DeadLetterSink | None = None,
    ) -> None:
        store.spec.must_be(spec_of(embedder))
        self._store, self._embedder, self._codec = store, embedder, codec
        self._dead_letters = dead_letters
        self.refused = 0

    def positions(self) -> Positions:
        """The next offset to read per partition; empty for a new store."""
        return self._store.positions()

    def apply(self, records: Sequence[LogRecord], after: Positions) -> None:
        """Store what the records say, then `after`; see `Projection.apply`.

        Raises:
            StoreUnavailable: When the store refuses; what was stored before stays, and is not stored twice.
            Unavailable: When the embedding model does not answer now.
        """
        known = self._store.positions()
        new = [
            record for record in records if record.offset >= known.get((record.topic, record.partition), 0)
        ]
        for start in range(0, len(new), _CHUNK):
            some = new[start : start + _CHUNK]
            self._apply(some)
            self._store.move({(record.topic, record.partition): record.offset + 1 for record in some})
            self._store.settle()
        ahead = {place: offset for place, offset in after.items() if offset > known.get(place, 0)}
        if ahead:
            self._store.move(ahead)

    def reset(self) -> None:
        """Drop every memory, positions too."""
        self._store.clear()

    def close(self) -> None:
        """Nothing: the store is its collections'."""

    def _apply(self, records: Sequence[LogRecord]) -> None:
        events = [event for record in records if (event := self._read(record)) is not None]
        ids = {memory_id for _, event in events if (memory_id := memory_id_of(event)) is not None}
        current = self._store.get([point_id(memory_id) for memory_id in sorted(ids)])
        _Fold(self._store, current, self._vectors).run(events)

    def _read(self, record: LogRecord) -> Event | None:
        try:
            event = self._codec.decode(record.value)
            if not isinstance(
                event, MemoryRecorded | MemorySuperseded | MemoryForgotten | EmbeddingModelFixed
            ):
                raise UndecodableRecord(f"{TOPIC} carries no {type(event).__name__}")
            if isinstance(event, MemoryRecorded):
                self._check(event)
            return record, event
        except ContractError as error:
            self.refused += 1
            if self._dead_letters is not None:
                self._dead_letters.refuse(record, str(error), type(error).__name__)
            return None

    def _check(self, event: MemoryRecorded) -> None:
        check_memory(event)
        given, wanted = event.memory, self._store.spec
        if given.embedding_model == wanted.model and len(given.embeddings) not in (0, wanted.dimension):
            raise ContractError(
                f"embeddings: {len(given.embeddings)} numbers; {wanted.model} has {wanted.dimension}"
            )

    def _vectors(self, events: Sequence[MemoryRecorded]) -> list[Vectors]:
        """Vectors of memories: those they carry where these are of our model, else made here."""
        ours = self._store.spec.model
        missing = [at for at, event in enumerate(events) if _given(event, ours) is None]
        made = self._embedder.embed([events[at].memory.content for at in missing]) if missing else []
        by_place = dict(zip(missing, made, strict=True))
        return [
            Vectors(_given(event, ours) or by_place[at], document_vector(event.memory.content))
            for at, event in enumerate(events)
        ]


class _Fold:
    """Folds a chunk of events, and writes what came of it in as few calls as can be."""

    def __init__(
        self,
        store: MemoryStore,
        current: dict[str, Point],
        vectors: Callable[[Sequence[MemoryRecorded]], list[Vectors]],
    ) -> None:
        self._store, self._current, self._make = store, current, vectors
        self._fresh: dict[str, MemoryRecorded] = {}
        self._written: dict[str, Point] = {}
        self._sources: dict[str, str] = {}

    def run(self, events: Sequence[Event]) -> None:
        for record, event in events:
            memory_id = memory_id_of(event)
            if memory_id is not None:
                at = Place(record.partition, record.offset, record.timestamp_ms)
                self._one(point_id(memory_id), event, at)
        self._write()

    def _one(self, identity: str, event: MemoryEvent, at: Place) -> None:
        points = fold(self._current.get(identity), event, at)
        for point in points:
            self._written[point.point_id] = point
            if point.point_id != identity:  # a version on its way out takes its vectors along
                if identity in self._fresh:
                    self._fresh[point.point_id] = self._fresh.pop(identity)
                else:
                    self._sources[point.point_id] = identity
        if points:
            self._current[identity] = points[-1]
        if points and isinstance(event, MemoryRecorded):
            self._fresh[identity] = event

    def _write(self) -> None:
        moved = self._store.vectors(sorted(set(self._sources.values())))
        entries = [Entry(self._written[to], moved[source]) for to, source in self._sources.items()]
        pairs = list(self._fresh.items())
        made = self._make([event for _, event in pairs])
        entries += [Entry(self._written[to], made[at]) for at, (to, _) in enumerate(pairs)]
        # Versions that leave are written first: a crash in between leaves both, and the replay writes both again.
        self._store.put(entries)
        done = {entry.point.point_id for entry in entries}
        self._store.update([point for identity, point in self._written.items() if identity not in done])


def spec_of(embedder: Embedder) -> Spec:
    """The collection an embedder can fill."""
    return Spec(embedder.model, embedder.dimension)


def open_collection(collections: Collections, spec: Spec) -> tuple[MemoryStore, bool]:
    """The collection in use, made when there is none, and True for a new one.

    Raises:
        Refused: When it holds vectors of another model.
    """
    found = collections.current()
    if found is not None:
        found.spec.must_be(spec)
        return found, False
    made = collections.create(spec, MemoryProjection.version)
    collections.use(made)
    return made, True


def _given(event: MemoryRecorded, model: str) -> Sequence[float] | None:
    memory = event.memory
    return memory.embeddings if memory.embeddings and memory.embedding_model == model else None
