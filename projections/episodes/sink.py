"""Follows `octolog.episodes` into an episode store; an episode lives by the log's clock, never by this machine's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from octolog.domain.errors import ContractError, InvalidContract, UndecodableRecord
from octolog.domain.memory import EpisodeReadDenied, EpisodicMemory, check_episode
from octolog.ports import DeadLetterSink, LogRecord, Positions
from projections.episodes.store import Episode, EpisodeStore
from schemas.codec import Codec

TOPIC: Final = "octolog.episodes"
HISTORY_MS: Final = 7 * 24 * 3_600_000
"""How long an expired episode can still be asked for as of a moment when it lived, milliseconds of the log's time."""

_DROP_EVERY_MS: Final = 3_600_000


class EpisodeProjection:
    """The `Projection` behind episodic memory.

    Args:
        store: Where the episodes are.
        codec: Reads records.
        dead_letters: Told of every record that cannot be stored. None: nobody.
        history_ms: How long expired episodes are kept.
    """

    name: str = "episodes"
    version: int = 1
    topics: tuple[str, ...] = (TOPIC,)

    def __init__(
        self,
        store: EpisodeStore,
        codec: Codec,
        dead_letters: DeadLetterSink | None = None,
        *,
        history_ms: int = HISTORY_MS,
    ) -> None:
        self._store, self._codec, self._dead_letters = store, codec, dead_letters
        self._history_ms = history_ms
        self._latest_ms = 0

    def positions(self) -> Positions:
        """The next offset to read per partition; empty for a new store."""
        return self._store.positions()

    def apply(self, records: Sequence[LogRecord], after: Positions) -> None:
        """Store what the records say, and `after`, in one transaction; see `Projection.apply`."""
        known = self._store.positions()
        new = [
            record for record in records if record.offset >= known.get((record.topic, record.partition), 0)
        ]
        episodes = [episode for record in new if (episode := self._read(record)) is not None]
        ahead = {place: offset for place, offset in after.items() if offset > known.get(place, 0)}
        if episodes or ahead:
            self._store.put(episodes, ahead)
        self._drop_old(new)

    def reset(self) -> None:
        """Drop every episode, positions too."""
        self._store.clear()
        self._latest_ms = 0

    def close(self) -> None:
        """Release the store."""
        self._store.close()

    def _read(self, record: LogRecord) -> Episode | None:
        try:
            event = self._codec.decode(record.value)
            if isinstance(event, EpisodeReadDenied):
                return None
            if not isinstance(event, EpisodicMemory):
                raise UndecodableRecord(f"{TOPIC} carries no {type(event).__name__}")
            check_episode(event)
            if (record.key or b"").decode(errors="replace") != event.arm_id:
                raise InvalidContract(
                    "INVALID_EPISODE", "arm_id", "differs from the record's key: an arm writes its own"
                )
            return Episode.of(event, record.partition, record.offset, record.timestamp_ms)
        except ContractError as error:
            if self._dead_letters is not None:
                self._dead_letters.refuse(record, str(error), type(error).__name__)
            return None

    def _drop_old(self, records: Sequence[LogRecord]) -> None:
        latest_ms = max((record.timestamp_ms for record in records), default=0)
        if latest_ms - self._latest_ms >= _DROP_EVERY_MS:
            self._latest_ms = latest_ms
            if latest_ms > self._history_ms:
                self._store.drop_expired(latest_ms - self._history_ms)
