"""What the core and the edges ask of the outside, as protocols. Adapters live in `streams`, `projections`, `arms`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

from octolog.domain.values import BlobRef


class LogRecord(NamedTuple):
    """A record as it lies in the log.

    Attributes:
        topic: Its topic.
        partition: Its partition.
        offset: Its offset.
        timestamp_ms: When the broker appended it, milliseconds since the epoch.
        key: Its key.
        value: Its value; None is a tombstone.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


TopicPartition: TypeAlias = tuple[str, int]
Positions: TypeAlias = dict[TopicPartition, int]
"""The next offset to read, per partition."""


class LogReader(Protocol):
    """Reads committed records, outside any consumer group."""

    def ends(self, topics: Sequence[str]) -> Positions:
        """The offset after the last committed record of every partition of `topics`.

        Raises:
            BrokerUnavailable: When Kafka does not answer.
        """
        ...

    def read(self, start: Positions, *, until: Positions | None = None) -> Iterator[list[LogRecord]]:
        """Batches from `start`, in offset order within each partition; ends at `until`, or never when None.

        A following reader (until None) yields an empty list when nothing came for a while.
        """
        ...

    def at_time(self, topics: Sequence[str], timestamp_ms: int) -> Positions:
        """For every partition, the first offset at or after a time; its end when there is none."""
        ...

    def close(self) -> None:
        """Release the connection."""


class Publisher(Protocol):
    """Appends records, at least once, in order per key."""

    def publish(
        self,
        topic: str,
        key: str,
        value: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        done: Callable[[LogRecord | Exception], None] | None = None,
    ) -> None:
        """Append one record; `done` hears where it lies, or why it does not, on another thread."""

    def flush(self, timeout_s: float) -> None:
        """Wait until everything published is in the log.

        Raises:
            BrokerUnavailable: When it is not after `timeout_s` seconds.
        """

    def close(self) -> None:
        """Flush and release the connection."""


class Projection(Protocol):
    """A store that follows the log: rows and the positions they came from, in one transaction."""

    name: str
    version: int
    topics: tuple[str, ...]

    def positions(self) -> Positions:
        """The next offset to read per partition; empty for a new store."""
        ...

    def apply(self, records: Sequence[LogRecord], after: Positions) -> None:
        """Store what the records say, and `after` as the new positions, in one transaction.

        Records the store has seen already are ignored.
        """

    def reset(self) -> None:
        """Drop everything, positions too."""

    def close(self) -> None:
        """Release the store."""


class DeadLetterSink(Protocol):
    """Takes records that a reader could not use."""

    def refuse(self, record: LogRecord, reason: str, error: str) -> None:
        """Keep the untouched bytes with the reason."""


class BlobStore(Protocol):
    """Keeps large values; a blob's name is the SHA-256 of its bytes, so that who reads it can tell it is the one."""

    max_bytes: int

    def put(self, data: bytes, media_type: str = "application/json") -> BlobRef:
        """Keep a value; when this returns, it is there for good. The same value twice is kept once.

        Raises:
            BlobTooLarge: It is longer than `max_bytes`.
            StoreUnavailable: The store does not answer; a repeat goes on where this ended.
        """
        ...

    def put_file(self, path: Path, media_type: str) -> BlobRef:
        """Keep a file's content, read piece by piece; raises as `put`, and Refused for a file that cannot be read."""
        ...

    def read(self, ref: BlobRef) -> bytes:
        """A whole value, checked.

        Raises:
            BlobMissing: The store has no such blob.
            BlobChanged: What the store has is not what the record refers to.
            BlobTooLarge: It is longer than `max_bytes`.
            StoreUnavailable: The store does not answer.
        """
        ...

    def chunks(self, ref: BlobRef) -> Iterator[bytes]:
        """A value piece by piece; raises as `read`, BlobChanged possibly after the last piece: hold it until then."""
        ...


Progress: TypeAlias = Callable[[int, int], None]
"""Called with what is done and what there is in all."""
