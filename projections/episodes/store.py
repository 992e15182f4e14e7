"""The port of the episode store, and the one rule of reading it: an arm sees its own.

`embedded` keeps episodes in files of SQLite, `server` on a Redis server.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import zip_longest
from typing import Final, Protocol

from octolog.domain.errors import Refused, StoreUnavailable
from octolog.domain.ids import ArmId
from octolog.domain.memory import EpisodicMemory
from octolog.ports import Positions

MAX_LIMIT: Final = 10_000
FOLD: Final = 2
"""Changes with what is made of a record, or how it is laid out: a store of another version is filled anew.

1 dropped what had expired whenever a batch ended; 2 does it at full hours of the log's time, so that a rebuild does
the same.
"""


class StoreReplaced(StoreUnavailable):
    """Another store has taken the place of the one that was asked."""


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
    """Episodes and positions.

    Every method raises StoreUnavailable when the store does not answer, and StoreReplaced when it is no longer the one
    in use. Writers are one at a time; readers may read beside them.

    Attributes:
        version: The `FOLD` that filled it.
    """

    version: int

    def put(self, episodes: Sequence[Episode], positions: Positions) -> None:
        """Store episodes and positions in one transaction; the first episode of an id stays."""

    def read(self, arm_id: ArmId, as_of_ms: int, limit: int) -> list[Episode]:
        """An arm's episodes that were recorded by then and had not expired, newest first."""
        ...

    def scan(self) -> Iterator[Episode]:
        """Every episode, by arm and id."""
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


class EpisodeStores(Protocol):
    """Where stores live: one is current, another may grow beside it."""

    def current(self) -> EpisodeStore | None:
        """The store in use; None before the first is made."""
        ...

    def create(self, version: int) -> EpisodeStore:
        """A new store, empty, not in use yet; what an earlier attempt left behind is gone."""
        ...

    def use(self, made: EpisodeStore) -> None:
        """Make a store the one in use, at once; the one before it is closed and deleted.

        Raises:
            StoreReplaced: When another has come into use since this one was made; nothing was changed.
        """

    def discard(self, made: EpisodeStore) -> None:
        """Delete a store that never came into use."""

    def close(self) -> None:
        """Release everything."""


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


def canonical_digest(store: EpisodeStore) -> str:
    """SHA-256 over every episode, the positions and since when is kept, hex: equal for stores that hold the same."""
    digest = sha256()
    for episode in store.scan():
        digest.update(repr(episode).encode())
    digest.update(repr((sorted(store.positions().items()), store.kept_since_ms())).encode())
    return digest.hexdigest()


def require_equal(live: EpisodeStore, built: EpisodeStore) -> int:
    """Hold a store against one that was built anew; returns how many episodes both have.

    Raises:
        Refused: When they differ; names the episode.
    """
    if live.positions() != built.positions() or live.kept_since_ms() != built.kept_since_ms():
        raise Refused("the episodes as rebuilt end at another offset or begin later; nothing was changed")
    count = 0
    for ours, theirs in zip_longest(live.scan(), built.scan()):
        if ours != theirs:
            other = next(one.memory for one in (ours, theirs) if one is not None)
            raise Refused(
                f"episode {other.episode_id} of {other.arm_id} as rebuilt differs from the one in use;"
                " nothing was changed"
            )
        count += 1
    return count
