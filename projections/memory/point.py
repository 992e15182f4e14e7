"""A memory in the vector store: what it says, where the log says it, and from when until when it counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from typing import Any, Final, NamedTuple

from octolog.domain.ids import ArmId, TaskId, uuid5
from octolog.domain.memory import EntityType, MemoryRecorded, SemanticMemory

OPEN: Final = 2**53 - 1
"""`closed_at` of a memory that counts still: the largest integer that a double, and so a range filter, holds."""

_TEXT_FIELDS: Final = ("memory_id", "content", "source", "timestamp_ms", "confidence", "metadata_json")


class Place(NamedTuple):
    """Where an event lies.

    Attributes:
        partition: Partition of `octolog.memory`.
        offset: Its offset there.
        timestamp_ms: When the broker appended it, milliseconds since the epoch.
    """

    partition: int
    offset: int
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Point:
    """One version of a memory. Offsets are of the partition it lies in; a memory's events share one.

    Attributes:
        point_id: A UUIDv5 of the memory id; of the id and `recorded_at` for a version that was replaced.
        memory: What is remembered; without the vector, which the store keeps apart.
        root_task_id: The tree it comes from.
        task_id: The task it comes from.
        digest: SHA-256 of what was recorded, but for when and the vector: a repeat changes nothing.
        partition: Where it lies.
        recorded_at: Offset of its record.
        recorded_ms: When that was appended, milliseconds since the epoch.
        closed_at: Offset of the first event that ended it; `OPEN` while it counts.
        closed_ms: When that was appended; `OPEN` likewise.
        superseded_at: Offset at which a newer memory took its place.
        superseded_by: That memory.
        forgotten_at: Offset at which it was forgotten.
        replaced_at: Offset at which the same id was recorded with other content.
        reason: Why it ended; empty while it counts.
        last_offset: Offset of the last event that is in here; earlier ones are ignored.
    """

    point_id: str
    memory: SemanticMemory
    root_task_id: TaskId
    task_id: TaskId
    digest: str
    partition: int
    recorded_at: int
    recorded_ms: int
    closed_at: int = OPEN
    closed_ms: int = OPEN
    superseded_at: int | None = None
    superseded_by: str = ""
    forgotten_at: int | None = None
    replaced_at: int | None = None
    reason: str = ""
    last_offset: int = -1

    @classmethod
    def of(cls, event: MemoryRecorded, at: Place) -> Point:
        """A memory as it was recorded."""
        return cls(
            point_id(event.memory.memory_id),
            replace(event.memory, embeddings=(), embedding_model=""),
            event.root_task_id,
            event.task_id,
            digest_of(event),
            at.partition,
            at.offset,
            at.timestamp_ms,
            last_offset=at.offset,
        )

    def closed(self, at: Place, **why: Any) -> Point:
        """The point after an event that ends it; one that has ended stays ended where it was."""
        first = self.closed_at == OPEN
        return replace(
            self,
            closed_at=at.offset if first else self.closed_at,
            closed_ms=at.timestamp_ms if first else self.closed_ms,
            last_offset=at.offset,
            **why,
        )

    def payload(self) -> dict[str, Any]:
        """What the store keeps beside the vectors: plain values, flat; what is empty is left out."""
        own = {name: value for name in _OWN if (value := getattr(self, name)) not in (None, "")}
        text = {name: getattr(self.memory, name) for name in _TEXT_FIELDS}
        return {
            **text,
            "entity_type": self.memory.entity_type.value,
            "tags": list(self.memory.tags),
            **own,
        }


_OWN: Final = tuple(item.name for item in fields(Point) if item.name not in ("point_id", "memory"))


def from_payload(identity: str, payload: Mapping[str, Any]) -> Point:
    """The point that `payload()` was made of."""
    memory = SemanticMemory(
        memory_id=payload["memory_id"],
        entity_type=EntityType(payload["entity_type"]),
        content=payload["content"],
        source=ArmId(payload["source"]),
        timestamp_ms=payload["timestamp_ms"],
        confidence=float(payload["confidence"]),
        metadata_json=payload["metadata_json"],
        tags=tuple(payload["tags"]),
    )
    own: dict[str, Any] = {name: payload[name] for name in _OWN if name in payload}
    return Point(**(own | {"point_id": identity, "memory": memory}))


def point_id(memory_id: str) -> str:
    """The id of a memory's current version."""
    return uuid5(f"memory/{memory_id}")


def replaced_point_id(memory_id: str, recorded_at: int) -> str:
    """The id of a version that another one with the same memory id replaced."""
    return uuid5(f"memory/{memory_id}@{recorded_at}")


def digest_of(event: MemoryRecorded) -> str:
    """Hex SHA-256 of what a record says; equal for a repeat, whenever it was made and whatever vector it carries."""
    memory = event.memory
    said = (
        event.root_task_id,
        event.task_id,
        memory.memory_id,
        memory.entity_type.value,
        memory.content,
        memory.source,
        memory.confidence,
        memory.metadata_json,
        memory.tags,
    )
    return sha256(repr(said).encode()).hexdigest()
