"""Records the engine writes to itself: timers, snapshots, dead letters."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from octolog.domain.ids import TaskId


class TimerKind(StrEnum):
    """What a timer is for."""

    UNKNOWN = "UNKNOWN"
    LEASE = "LEASE"
    TIMEOUT = "TIMEOUT"
    RETRY = "RETRY"
    REGISTRY = "REGISTRY"
    APPROVAL = "APPROVAL"


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A moment came, seen by the partition's writer; becomes an input like any other.

    Attributes:
        kind: What it is for.
        root_task_id: The tree; empty for REGISTRY.
        subject: Attempt id for LEASE and TIMEOUT, task id for RETRY and APPROVAL, empty for REGISTRY.
        due_ms: When it was due, milliseconds since the epoch.
    """

    schema_name: ClassVar[str] = "octolog.timer.TimerFired"
    kind: TimerKind
    root_task_id: TaskId
    subject: str
    due_ms: int


@dataclass(frozen=True, slots=True)
class TreeSnapshot:
    """The state of an open tree, so that a restart need not fold its whole history.

    Attributes:
        root_task_id: The tree.
        seq: Facts of the tree folded into it; also the next fact's number.
        state_version: Version of the state's layout; another version is ignored and the facts are folded.
        state: The state, as the engine writes it.
        head: Hash of the last fact folded.
        program_id: Set when `state` is not the tree but one of its programs, which never changes: its root task.
        part: Place of this record among those that hold the value, from 0.
        parts: How many records hold the value together; their states joined are one.
    """

    schema_name: ClassVar[str] = "octolog.snapshot.TreeSnapshot"
    root_task_id: TaskId
    seq: int
    state_version: int
    state: bytes
    head: bytes
    program_id: str = ""
    part: int = 0
    parts: int = 1


@dataclass(frozen=True, slots=True)
class SnapshotCompleted:
    """All trees of a partition that were open at an offset have their snapshot.

    Attributes:
        partition: The partition.
        facts_offset: Offset in `octolog.tasks` from which facts must still be folded.
        position: Number of facts of the partition before that offset, at least.
        open_trees: How many trees were open.
    """

    schema_name: ClassVar[str] = "octolog.snapshot.SnapshotCompleted"
    partition: int
    facts_offset: int
    position: int
    open_trees: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record nobody could use, untouched, with the reason.

    Attributes:
        source_topic: Where it lay.
        source_partition: Where it lay.
        source_offset: Where it lay.
        source_timestamp_ms: Its timestamp, milliseconds since the epoch.
        consumer: Who refused it.
        reason: Why, one line.
        error: Name of the error.
        key: The record's key, if any.
        value: The record's value, if any.
        headers_json: The record's headers, canonical JSON array of [name, base64 value].
    """

    schema_name: ClassVar[str] = "octolog.deadletter.DeadLetter"
    source_topic: str
    source_partition: int
    source_offset: int
    source_timestamp_ms: int
    consumer: str
    reason: str
    error: str
    key: bytes | None
    value: bytes | None
    headers_json: str
