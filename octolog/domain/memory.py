"""Memories: what the system knows (`octolog.memory`), and what an arm lived through (`octolog.episodes`)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, TypeAlias

from octolog.domain.ids import ArmId, TaskId


class EntityType(StrEnum):
    """What a memory is about (seed A)."""

    UNKNOWN = "UNKNOWN"
    TASK = "TASK"
    DECISION = "DECISION"
    FACT = "FACT"
    ARTIFACT = "ARTIFACT"


@dataclass(frozen=True, slots=True)
class SemanticMemory:
    """Project-wide knowledge (seed A).

    Attributes:
        memory_id: Its id; the point id in the vector store derives from it.
        entity_type: What it is about.
        content: The text remembered.
        embeddings: The vector, if computed already; empty: computed by the projection.
        embedding_model: Model of the vector; empty where there is none.
        metadata_json: Free-form, canonical JSON object.
        source: The arm that created it.
        timestamp_ms: When it was made, milliseconds since the epoch.
        confidence: 0.0 to 1.0.
        tags: For filtering.
    """

    schema_name: ClassVar[str] = "octolog.memory.SemanticMemory"
    memory_id: str
    entity_type: EntityType
    content: str
    source: ArmId
    timestamp_ms: int
    confidence: float
    embeddings: tuple[float, ...] = ()
    embedding_model: str = ""
    metadata_json: str = "{}"
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MemoryRecorded:
    """A validated memory entered the store.

    Attributes:
        root_task_id: The tree it comes from.
        task_id: The task it comes from.
        memory: The memory.
    """

    schema_name: ClassVar[str] = "octolog.memory.MemoryRecorded"
    root_task_id: TaskId
    task_id: TaskId
    memory: SemanticMemory


@dataclass(frozen=True, slots=True)
class MemorySuperseded:
    """A newer memory takes an older one's place.

    Attributes:
        memory_id: The older one.
        superseded_by: The newer one.
        reason: Why.
    """

    schema_name: ClassVar[str] = "octolog.memory.MemorySuperseded"
    memory_id: str
    superseded_by: str
    reason: str


@dataclass(frozen=True, slots=True)
class MemoryForgotten:
    """A memory shall no longer be found.

    Attributes:
        memory_id: Which.
        reason: Why.
        requested_by: Who asked.
    """

    schema_name: ClassVar[str] = "octolog.memory.MemoryForgotten"
    memory_id: str
    reason: str
    requested_by: str


@dataclass(frozen=True, slots=True)
class EpisodicMemory:
    """What an arm saw and did at one task (seed A); expires by the record's own time.

    Attributes:
        episode_id: Its id.
        arm_id: The arm; only it may read it.
        task_id: The task.
        observations: What it saw.
        actions: What it did.
        outcomes: What came of it.
        ttl_seconds: Time to live from the record's timestamp, seconds.
    """

    schema_name: ClassVar[str] = "octolog.episode.EpisodicMemory"
    episode_id: str
    arm_id: ArmId
    task_id: TaskId
    observations: tuple[str, ...]
    actions: tuple[str, ...]
    outcomes: tuple[str, ...]
    ttl_seconds: int = 3_600


MemoryEvent: TypeAlias = MemoryRecorded | MemorySuperseded | MemoryForgotten
