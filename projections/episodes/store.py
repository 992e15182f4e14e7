"""The port of the episode store, and the one rule of reading it: an arm sees its own.

`embedded` keeps episodes in a file of SQLite, `server` on a Redis server.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from octolog.domain.errors import Refused
from octolog.domain.ids import ArmId
from octolog.domain.memory import EpisodicMemory
from octolog.ports import Positions

MAX_LIMIT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Episode:
    """An episode as the log has it.

    Attributes:
        memory: What the arm saw and did.
        partition: Where it lies in `octolog.episodes`.
        offset: Its offset there.
        recorded_ms: When the broker appended it, milliseconds since the epoch.
        expires_ms: From when on it is not to be read any more.
    """

    memory: EpisodicMemory
    partition: int
    offset: int
    recorded_ms: int
    expires_ms: int

    @classmethod
    def of(cls, memory: EpisodicMemory, partition: int, offset: int, recorded_ms: int) -> Episode:
        """An episode whose time to live counts from its record's own time."""
        return cls(memory, partition, offset, recorded_ms, recorded_ms + memory.ttl_seconds * 1_000)


class EpisodeStore(Protocol):
    """Episodes and positions. Every method raises StoreUnavailable when the store does not answer."""

    def put(self, episodes: Sequence[Episode], positions: Positions) -> None:
        """Store episodes and positions in one transaction; the first episode of an id stays."""

    def read(self, arm_id: ArmId, as_of_ms: int, limit: int) -> list[Episode]:
        """An arm's episodes that were recorded by then and had not expired, newest first."""
        ...

    def positions(self) -> Positions:
        """The next offset to read per partition."""
        ...

    def kept_since_ms(self) -> int:
        """The earliest moment that can be asked about, milliseconds since the epoch."""
        ...

    def drop_expired(self, before_ms: int) -> int:
        """Delete what expired before a moment, which becomes the earliest to be asked about; returns how many."""
        ...

    def clear(self) -> None:
        """Delete every episode and position."""

    def close(self) -> None:
        """Release the store."""


class DenialLog(Protocol):
    """Keeps a record of every refusal."""

    def denied(self, owner: ArmId, asked_by: str, as_of_ms: int) -> None:
        """An arm asked for what is another's."""


class EpisodeDenied(Refused):
    """An arm asked for another arm's episodes."""

    def __init__(self, owner: ArmId, asked_by: str) -> None:
        super().__init__(owner, asked_by)
        self.owner, self.asked_by = owner, asked_by

    def __str__(self) -> str:
        return f"{self.asked_by[:64]!r} may not read the episodes of {self.owner}; an arm reads only its own"


def read_own(
    store: EpisodeStore, denials: DenialLog, owner: ArmId, asked_by: str, as_of_ms: int, limit: int = 100
) -> list[Episode]:
    """The episodes of `owner` as of a moment, newest first, if it is `owner` who asks.

    Args:
        store: Where they are.
        denials: Told of a refusal before it is made.
        owner: Whose episodes.
        asked_by: The arm that asks.
        as_of_ms: The moment, milliseconds since the epoch; a replay gives the time of the record it replays.
        limit: How many, at most.

    Raises:
        EpisodeDenied: When another asks.
        Refused: For a moment before what is kept, or a limit out of bounds.
    """
    if asked_by != owner:
        denials.denied(owner, asked_by, as_of_ms)
        raise EpisodeDenied(owner, asked_by)
    if not 1 <= limit <= MAX_LIMIT:
        raise Refused(f"limit is {limit}; 1 to {MAX_LIMIT}")
    kept_ms = store.kept_since_ms()
    if as_of_ms < kept_ms:
        raise Refused(f"episodes are kept since {kept_ms} ms; {as_of_ms} ms is before that")
    return store.read(owner, as_of_ms, limit)
