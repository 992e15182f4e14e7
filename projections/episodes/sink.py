"""Follows `octolog.episodes` into an episode store; an episode lives by the log's clock, never by this machine's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from octolog.domain.errors import ContractError, InvalidContract, UndecodableRecord
from octolog.domain.memory import EpisodeReadDenied, EpisodicMemory, check_episode
from octolog.ports import DeadLetterSink, LogRecord, Positions
from projections.episodes.store import FOLD, Episode, EpisodeStore
from schemas.codec import Codec

TOPIC: Final = "octolog.episodes"
HISTORY_MS: Final = 7 * 24 * 3_600_000
"""How long an expired episode can still be asked for as of a moment when it lived, milliseconds of the log's time."""

_DROP_EVERY_MS: Final = 3_600_000


class EpisodeProjection:
    """The `Projection` behind episodic memory.

    What the store holds at some positions is the same however the records came in batches, and after any restart: what
    has expired is dropped where a record begins a new hour of the log's time, before that record, and what had expired
    by then is not stored any more.

    Args:
        store: Where the episodes are.
        codec: Reads records.
        dead_letters: Told of every record that cannot be stored. None: nobody.
        history_ms: How long expired episodes are kept.
    """

    name: str = "episodes"
    version: int = FOLD
    topics: tuple[str, ...] = (TOPIC,)

    def __init__(
        self,
        store: EpisodeStore,
        codec: Codec,
        dead_letters: DeadLetterSink | None = None,
        *,
        history_ms: int = HISTORY_MS,
    ) -> None:
        self.store, self._codec, self._dead_letters = store, codec, dead_letters
        self._history_ms = history_ms

    def positions(self) -> Positions:
        """The next offset to read per partition; empty for a new store."""
        return self.store.positions()

    def apply(self, records: Sequence[LogRecord], after: Positions) -> None:
        """Store what the records say, and `after`; see `Projection.apply`."""
        known = self.store.positions()
        kept_ms = self.store.kept_since_ms()
        waiting: list[Episode] = []
        reached: Positions = {}
        for record in records:
            place = record.topic, record.partition
            if record.offset < known.get(place, 0):
                continue
            horizon_ms = self._horizon_ms(record)
            if horizon_ms > kept_ms:
                self._put(waiting, reached)
                waiting, reached, kept_ms = [], {}, horizon_ms
                self.store.drop_expired(horizon_ms)
            episode = self._read(record)
            if episode is not None and episode.expires_ms > kept_ms:
                waiting.append(episode)
            reached[place] = record.offset + 1
        self._put(waiting, {place: at for place, at in after.items() if at > known.get(place, 0)})

    def reset(self) -> None:
        """Drop every episode, positions too."""
        self.store.clear()

    def report_to(self, dead_letters: DeadLetterSink | None) -> None:
        """Tell of what cannot be stored from now on: a store that was built beside is the one in use."""
        self._dead_letters = dead_letters

    def close(self) -> None:
        """Release the store."""
        self.store.close()

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

    def _put(self, episodes: Sequence[Episode], positions: Positions) -> None:
        if episodes or positions:
            self.store.put(episodes, positions)

    def _horizon_ms(self, record: LogRecord) -> int:
        """Before when nothing can be asked any more once this record is there."""
        return record.timestamp_ms // _DROP_EVERY_MS * _DROP_EVERY_MS - self._history_ms
