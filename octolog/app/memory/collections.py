"""Semantic memory put together: where it lies, which model embeds, who answers, and how a new collection takes over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from octolog.app.node.control import status
from octolog.app.processes import StateFile
from octolog.app.projector import catch_up, read_on
from octolog.app.settings import Settings
from octolog.domain.errors import NotFound, Refused, StoreUnavailable
from octolog.domain.memory import EmbeddingModelFixed
from octolog.ports import DeadLetterSink, LogReader, Progress
from projections.memory import queries
from projections.memory.conditions import Where
from projections.memory.embedding import PACKAGED, Embedder, Endpoint, open_embedder
from projections.memory.point import Point
from projections.memory.queries import Hit
from projections.memory.reembed import reembed, samples
from projections.memory.sink import MemoryProjection, open_collection, spec_of
from projections.memory.store import COLLECTION, LAYOUT, Collections, MemoryStore
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

    A collection that another version of the fold filled goes on answering, unwritten, while the log is read into a new
    one beside it (`begin`); once that is as far (`take_over`), it answers.

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
        self._filled = self._store
        self.stale = made_otherwise(self._store)
        """Why the collection that answers is not gone on with; empty: it is."""
        if new:
            self._announce(EmbeddingModelFixed(COLLECTION, name, self._embedder.dimension))

    @property
    def store(self) -> MemoryStore:
        """The collection in use."""
        return self._store

    @property
    def filled(self) -> MemoryStore:
        """The collection that follows the log; another than the one in use while that is stale."""
        return self._filled

    @property
    def embedder(self) -> Embedder:
        """Its model."""
        return self._embedder

    def begin(self) -> None:
        """Fill a new collection from the log's beginning, where another version filled the one in use."""
        with self.writing:
            if self.stale:
                self._filled = self._collections.create(self._store.spec, MemoryProjection.version)

    def take_over(self) -> None:
        """Let the new collection answer: it is as far as the log was when it was begun."""
        with self.writing:
            if self.stale:
                self._use(self._filled, self._embedder)

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
        self._require_idle()
        if self.stale:
            raise Refused(f"the memories are to be filled anew first, {self.stale}: start the node")
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
            self._use(store, new)
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
            Refused: When they differ, or are being filled anew already; nothing was changed.
        """
        self._require_idle()
        live, model, verified = self._store, self._embedder, not self.stale
        made = self._collections.create(live.spec, MemoryProjection.version)
        try:
            built = MemoryProjection(made, model, codec)
            read = catch_up(built, reader, progress)
            with self.writing:
                if verified:
                    catch_up(MemoryProjection(live, model, codec, dead_letters), reader)
                    read += read_on(built, reader, live.positions())
                    count = queries.require_equal(live, made)
                else:  # of another version: nothing to compare with
                    read += catch_up(built, reader)
                    count = made.count()
                self._use(made, model)
        except BaseException:
            if self._store is not made:
                self._collections.discard(made)
            raise
        return {"records": read, "memories": count, "verified": verified}

    def close(self) -> None:
        """Release the store."""
        if self._filled is not self._store:
            self._collections.discard(self._filled)
        self._collections.close()

    def _use(self, store: MemoryStore, embedder: Embedder) -> None:
        self._collections.use(store)
        self._store = self._filled = store
        self._embedder, self.stale = embedder, ""

    def _require_idle(self) -> None:
        if self._filled is not self._store:
            raise Refused(f"the memories are being filled anew already, {self.stale}")

    def _ask(self, question: Callable[[MemoryStore, Embedder], T]) -> T:
        """An answer from the collection in use; once more when that was replaced while it was asked."""
        while True:
            store = self._store
            if store.layout != LAYOUT:
                raise StoreUnavailable(f"the memories wait to be filled anew by the node, {self.stale}")
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
        from octolog.app.memory.remote import RemoteMemories

        yield RemoteMemories(url)
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


def made_otherwise(store: MemoryStore) -> str:
    """Why a collection cannot be gone on with as it is; empty when it can."""
    if store.layout != LAYOUT:
        return f"its layout is {store.layout}, now {LAYOUT}"
    wanted = MemoryProjection.version
    return "" if store.version == wanted else f"its version is {store.version}, now {wanted}"


def _hit(rank: int, hit: Hit) -> dict[str, Any]:
    similarity = None if hit.similarity is None else round(hit.similarity, 6)
    found = {"rank": rank, "score": round(hit.score, 6), "similarity": similarity}
    return {**found, **queries.document(hit.point)}
