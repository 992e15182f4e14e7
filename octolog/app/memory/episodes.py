"""Episodic memory put together: where it lies, what fills it from the log, how a store that was built takes over."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from octolog.app.projector import catch_up, read_on
from octolog.app.settings import Settings
from octolog.domain.errors import Refused, StoreUnavailable
from octolog.domain.ids import ArmId
from octolog.ports import DeadLetterSink, LogReader, LogRecord, Positions, Progress
from projections.episodes.embedded import EpisodeFiles
from projections.episodes.sink import TOPIC, EpisodeProjection
from projections.episodes.store import (
    DenialLog,
    Episode,
    EpisodeStore,
    EpisodeStores,
    StoreReplaced,
    read_own,
    require_equal,
)
from schemas.codec import Codec

NAME: Final = "episodes"
T = TypeVar("T")


class OpenEpisodes:
    """Episodes that this process has open, and the `Projection` that fills them.

    A store that another version of the fold filled goes on answering, unwritten, while the log is read into a new one
    beside it (`begin`); once that is as far (`take_over`), it answers.

    Args:
        stores: Where they are.
        codec: Reads records.
        dead_letters: Told of every record that cannot be stored. None: nobody.
    """

    name: str = NAME
    topics: tuple[str, ...] = (TOPIC,)

    def __init__(
        self,
        stores: EpisodeStores,
        codec: Codec,
        dead_letters: DeadLetterSink | None = None,
    ) -> None:
        self._stores, self._codec, self._dead_letters = stores, codec, dead_letters
        self.version = EpisodeProjection.version
        self._closed = False
        self.writing = threading.RLock()
        """Held by whoever writes, or puts another store in place."""
        found = stores.current()
        if found is None:
            found = stores.create(self.version)
            stores.use(found)
        self._answers = found
        self._filled = self._projection(found, dead_letters)
        self.stale = made_by_another(found.version)
        """Why the store that answers is not gone on with; empty: it is."""

    @property
    def store(self) -> EpisodeStore:
        """The one that answers."""
        return self._answers

    def begin(self) -> None:
        """Fill a new store from the log's beginning, where another version filled the one in use."""
        with self.writing:
            if self.stale:
                # Dead letters were told of when the store in use was filled.
                self._filled = self._projection(self._stores.create(self.version), None)

    def take_over(self) -> None:
        """Let the new store answer: it is as far as the log was when it was begun."""
        with self.writing:
            if self.stale:
                self._use(self._filled)

    def reopen(self) -> None:
        """Go on with the store that another process has put in place."""
        with self.writing:
            if self._closed:
                raise StoreUnavailable("the episodes are closed here; ask again")
            found = self._stores.current()
            if found is None or found.version != self.version:
                raise StoreUnavailable(
                    "another node, of another version, fills the episodes of this server; upgrade both"
                )
            self._answers, self.stale = found, ""
            self._filled = self._projection(found, self._dead_letters)

    # Questions

    def read_own(
        self, denials: DenialLog, owner: ArmId, asked_by: str, as_of_ms: int, limit: int
    ) -> list[Episode]:
        """See `projections.episodes.store.read_own`."""
        return self._ask(lambda store: read_own(store, denials, owner, asked_by, as_of_ms, limit))

    def reached(self) -> Positions:
        """How far the store that answers is filled."""
        return self._ask(lambda store: store.positions())

    # The projection

    def positions(self) -> Positions:
        """The next offset to read per partition."""
        return self._filled.positions()

    def apply(self, records: Sequence[LogRecord], after: Positions) -> None:
        """Store what the records say, and `after`."""
        with self.writing:
            self._filled.apply(records, after)

    def reset(self) -> None:
        """Drop every episode, positions too."""
        with self.writing:
            self._filled.reset()

    def close(self) -> None:
        """Release the stores."""
        with self.writing:
            self._closed = True
            if self._filled.store is not self._answers:
                self._stores.discard(self._filled.store)
            self._stores.close()

    def rebuild(self, reader: LogReader, progress: Progress) -> dict[str, Any]:
        """Build the episodes anew from offset 0 beside those in use, find both equal, and use the new ones.

        Args:
            reader: Reads the log.
            progress: Told of records read.

        Raises:
            Refused: When they differ, or are being filled anew already; nothing was changed.
            StoreReplaced: When another process has put a store in place meanwhile; nothing was changed.
        """
        if self._filled.store is not self._answers:
            raise Refused(f"the episodes are being filled anew already, {self.stale}")
        made = self._stores.create(self.version)
        try:
            built = self._projection(made, None)
            read = catch_up(built, reader, progress)
            with self.writing:
                verified = not self.stale
                read += self._read_on(built, reader)
                count = require_equal(self._answers, made) if verified else sum(1 for _ in made.scan())
                self._use(built)
        except BaseException:
            if self._answers is not made:
                self._stores.discard(made)
            raise
        return {"records": read, "episodes": count, "verified": verified}

    def _read_on(self, built: EpisodeProjection, reader: LogReader) -> int:
        """Read what was built up to where what is in use is then; returns the records read."""
        if self.stale:  # of another version: nothing to compare with
            return catch_up(built, reader)
        catch_up(self._filled, reader)
        return read_on(built, reader, self._filled.positions())

    def _use(self, built: EpisodeProjection) -> None:
        self._stores.use(built.store)
        built.report_to(self._dead_letters)
        self._answers, self._filled, self.stale = built.store, built, ""

    def _ask(self, question: Callable[[EpisodeStore], T]) -> T:
        """An answer from the store in use; once more when that was replaced while it was asked."""
        while True:
            store = self._answers
            try:
                return question(store)
            except StoreReplaced:
                with self.writing:
                    if store is self._answers:
                        self.reopen()
                    if store is self._answers:
                        raise

    def _projection(self, store: EpisodeStore, dead_letters: DeadLetterSink | None) -> EpisodeProjection:
        return EpisodeProjection(store, self._codec, dead_letters)


def open_stores(settings: Settings) -> EpisodeStores:
    """The Redis server of the settings, else files in the node's folder.

    Raises:
        StoreUnavailable: When the server does not answer, or another process has the files.
    """
    if not settings.redis_url:
        return EpisodeFiles(settings.home / NAME)
    try:
        from projections.episodes.server import RedisGenerations, connect
    except ImportError:
        raise StoreUnavailable("a Redis server needs `pip install octolog[redis]`") from None
    return RedisGenerations(connect(settings.redis_url))


def made_by_another(version: int) -> str:
    """Why a store that this version filled cannot be gone on with; empty when it can."""
    wanted = EpisodeProjection.version
    return "" if version == wanted else f"its version is {version}, now {wanted}"
