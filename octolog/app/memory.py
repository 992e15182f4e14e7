"""Semantic memory put together: where it lies, which model embeds, and who answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from octolog.app.node import status
from octolog.app.processes import StateFile
from octolog.app.projector import catch_up, read_on
from octolog.app.settings import Settings
from octolog.domain.errors import NotFound, StoreUnavailable
from octolog.domain.memory import EmbeddingModelFixed
from octolog.ports import DeadLetterSink, LogReader, LogRecord, Positions, Progress
from projections.memory import queries
from projections.memory.conditions import Where
from projections.memory.embedding import PACKAGED, Embedder, Endpoint, open_embedder
from projections.memory.point import Point
from projections.memory.queries import Hit
from projections.memory.reembed import reembed, samples
from projections.memory.sink import TOPIC, MemoryProjection, open_collection, spec_of
from projections.memory.store import COLLECTION, Collections, MemoryStore
from schemas.codec import Codec

NAME: Final = "memory"
_PATIENCE_S: Final = 20.0
_PAUSE_S: Final = 0.1
T = TypeVar("T")
Announce = Callable[[EmbeddingModelFixed], None]
CatchUp = Callable[[MemoryStore, Embedder], object]


@dataclass(frozen=True, slots=True)
class Reembedding:
    """What is asked of another model.

    Attributes:
        model: Its name.
        queries: Texts to compare the models with. Empty: memories are drawn for it.
        sample: How many are drawn.
        least_overlap: Below this mean share of the ten nearest in common nothing is changed, 0.0 to 1.0.
    """

    model: str
    queries: tuple[str, ...] = ()
    sample: int = 50
    least_overlap: float = 0.0


class Memories(Protocol):
    """What can be asked of semantic memory, wherever it is open."""

    def search(self, text: str, top_k: int, where: Where) -> list[dict[str, Any]]:
        """The memories that fit a text best, best first; see `projections.memory.queries.search`."""
        ...

    def show(self, memory_id: str) -> list[dict[str, Any]]:
        """All versions of a memory, oldest first."""
        ...

    def reembed(self, asked: Reembedding, progress: Progress) -> dict[str, Any]:
        """Embed every memory with another model, beside the one in use, then use it."""
        ...


class OpenMemory:
    """Semantic memory that this process has open.

    Args:
        collections: Where it lies.
        settings: Which model is wanted, and where endpoints are.
        announce: Told of every collection that is made for a model. None: nobody.

    Raises:
        Refused: When the memories have vectors of another model than the one wanted.
    """

    def __init__(
        self, collections: Collections, settings: Settings, announce: Announce | None = None
    ) -> None:
        self._collections, self._settings = collections, settings
        self._announce = announce or (lambda _: None)
        self.writing = threading.RLock()
        """Held by whoever writes, or puts another collection in place."""
        found = collections.current()
        name = settings.embedding_model or (PACKAGED if found is None else found.spec.model)
        self._embedder = self._open_model(name)
        self._store, new = open_collection(collections, spec_of(self._embedder))
        if new:
            self._announce(EmbeddingModelFixed(COLLECTION, name, self._embedder.dimension))

    @property
    def store(self) -> MemoryStore:
        """The collection in use."""
        return self._store

    @property
    def embedder(self) -> Embedder:
        """Its model."""
        return self._embedder

    def search(self, text: str, top_k: int, where: Where) -> list[dict[str, Any]]:
        """The memories that fit a text best, best first."""
        hits = self._ask(lambda store, model: queries.search(store, model, text, top_k, where))
        return [_hit(rank, hit) for rank, hit in enumerate(hits, start=1)]

    def show(self, memory_id: str) -> list[dict[str, Any]]:
        """All versions of a memory, oldest first."""
        points: list[Point] = self._ask(lambda store, _: queries.show(store, memory_id))
        return [queries.document(point) for point in points]

    def reembed(
        self, asked: Reembedding, progress: Progress, catch_up: CatchUp | None = None
    ) -> dict[str, Any]:
        """Embed every memory with another model, beside the one in use, then use it.

        Args:
            asked: Which, and how it is compared.
            progress: Told of points done.
            catch_up: Feeds a collection up to the log's end. None: nobody writes meanwhile.
        """
        old, before = self._embedder, self._store.spec
        new = self._open_model(asked.model)
        texts: Sequence[str] = asked.queries or samples(self._store, asked.sample)
        store, count, drift = reembed(
            self._collections, old, new, queries=texts, least_overlap=asked.least_overlap, progress=progress
        )
        if catch_up is not None:
            catch_up(store, new)
        with self.writing:
            if catch_up is not None:
                catch_up(store, new)  # what came since; now nobody writes
            self._collections.use(store)
            self._store, self._embedder = store, new
        overlap = drift.overlap_at_10
        self._announce(EmbeddingModelFixed(COLLECTION, new.model, new.dimension, before.model, overlap))
        return {
            "model": new.model,
            "dimension": new.dimension,
            "replaces": before.model,
            "memories": count,
            "drift": drift.document(),
        }

    def rebuild(
        self, reader: LogReader, codec: Codec, dead_letters: DeadLetterSink | None, progress: Progress
    ) -> dict[str, Any]:
        """Build the memories anew from offset 0 beside those in use, find both equal, and use the new ones.

        Args:
            reader: Reads the log.
            codec: Reads records.
            dead_letters: Told of what the collection in use cannot store, as it is read on to the log's end.
            progress: Told of records read.

        Raises:
            Refused: When they differ; nothing was changed.
        """
        live, model = self._store, self._embedder
        made = self._collections.create(live.spec)
        try:
            built = MemoryProjection(made, model, codec)
            read = catch_up(built, reader, progress)
            with self.writing:
                catch_up(MemoryProjection(live, model, codec, dead_letters), reader)
                read += read_on(built, reader, live.positions())
                count = queries.require_equal(live, made)
                self._collections.use(made)
                self._store = made
        except BaseException:
            if self._store is not made:
                self._collections.discard(made)
            raise
        return {"records": read, "memories": count, "verified": True}

    def close(self) -> None:
        """Release the store."""
        self._collections.close()

    def _ask(self, question: Callable[[MemoryStore, Embedder], T]) -> T:
        """An answer from the collection in use; once more when that was replaced while it was asked."""
        while True:
            store = self._store
            try:
                return question(store, self._embedder)
            except StoreUnavailable:
                with self.writing:
                    if store is self._store:
                        raise

    def _open_model(self, name: str) -> Embedder:
        key = self._settings.llm_api_key
        url = self._settings.llm_base_url
        endpoint = None if url is None else Endpoint(url, key.get_secret_value() if key else "")
        return open_embedder(name, endpoint)


class LiveProjection:
    """The `Projection` that writes into whichever collection is in use.

    Args:
        memory: Where.
        codec: Reads records.
        dead_letters: Told of every record that cannot be stored.
    """

    name: str = NAME
    version: int = MemoryProjection.version
    topics: tuple[str, ...] = (TOPIC,)

    def __init__(self, memory: OpenMemory, codec: Codec, dead_letters: Any) -> None:
        self._memory, self._codec, self._dead_letters = memory, codec, dead_letters

    def positions(self) -> Positions:
        """The next offset to read per partition."""
        return self._memory.store.positions()

    def apply(self, records: Sequence[LogRecord], after: Positions) -> None:
        """Store what the records say, then `after`."""
        with self._memory.writing:
            inner = MemoryProjection(
                self._memory.store, self._memory.embedder, self._codec, self._dead_letters
            )
            inner.apply(records, after)

    def reset(self) -> None:
        """Drop every memory, positions too."""
        with self._memory.writing:
            self._memory.store.clear()

    def close(self) -> None:
        """Nothing: the memory is closed by who opened it."""


def open_collections(settings: Settings) -> Collections:
    """The Qdrant server of the settings, else files in the node's folder.

    Raises:
        StoreUnavailable: When the server does not answer, or another process has the files.
    """
    if settings.qdrant_url:
        try:
            from projections.memory.server import ServerCollections, connect
        except ImportError:
            raise StoreUnavailable("a Qdrant server needs `pip install octolog[qdrant]`") from None
        return ServerCollections(connect(settings.qdrant_url))
    from projections.memory.edge import EdgeCollections

    return EdgeCollections(settings.home / NAME)


@contextmanager
def open_memories(settings: Settings) -> Iterator[Memories]:
    """The running node's memory, or the store itself where no node runs.

    Raises:
        NotFound: When nothing was remembered in this home yet.
        StoreUnavailable: When neither answers.
    """
    url = service_url(settings)
    if url is not None:
        from octolog.app.memory_remote import RemoteMemories

        with RemoteMemories(url) as remote:
            yield remote
        return
    if not settings.qdrant_url and not (settings.home / NAME).is_dir():
        raise NotFound(f"nothing is remembered under {settings.home} yet; start a node with `octolog up`")
    memory = OpenMemory(open_collections(settings), settings)
    try:
        yield memory
    finally:
        memory.close()


def service_url(settings: Settings) -> str | None:
    """Where the node answers; None where no node runs."""
    deadline = time.monotonic() + _PATIENCE_S
    while (now := status(settings)).running:
        said = StateFile(settings.run_dir / f"{NAME}.json").read() or {}
        alive = any(part.name == NAME and part.state == "ready" for part in now.components)
        if alive and "url" in said:
            return str(said["url"])
        if time.monotonic() > deadline:
            raise StoreUnavailable(
                f"the node's memory does not answer after {_PATIENCE_S:.0f} s; see `octolog status`"
            )
        time.sleep(_PAUSE_S)
    return None


def _hit(rank: int, hit: Hit) -> dict[str, Any]:
    similarity = None if hit.similarity is None else round(hit.similarity, 6)
    found = {"rank": rank, "score": round(hit.score, 6), "similarity": similarity}
    return {**found, **queries.document(hit.point)}
