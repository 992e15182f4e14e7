"""Memories: what the system knows (`octolog.memory`), and what an arm lived through (`octolog.episodes`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final, TypeAlias

from octolog.domain.errors import InvalidContract
from octolog.domain.ids import ArmId, TaskId, is_arm_id, is_task_id
from octolog.domain.json_text import parse

MAX_MEMORY_ID_CHARS: Final = 255
MAX_CONTENT_CHARS: Final = 100_000
MAX_MEMORY_TAGS: Final = 32
MAX_TAG_CHARS: Final = 64
MAX_DIMENSION: Final = 65_536
MAX_PROPOSALS: Final = 16
MAX_PROPOSAL_CHARS: Final = 8_000
MAX_TTL_SECONDS: Final = 100 * 366 * 24 * 3_600
_CODE: Final = "INVALID_MEMORY"
_EPISODE_CODE: Final = "INVALID_EPISODE"


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
class MemoryProposal:
    """What an arm would have the system remember, if its result is accepted.

    Attributes:
        entity_type: What it is about.
        content: The text to remember.
        confidence: 0.0 to 1.0.
        tags: For filtering.
    """

    schema_name: ClassVar[str] = "octolog.memory.MemoryProposal"
    entity_type: EntityType
    content: str
    confidence: float = 1.0
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
class EmbeddingModelFixed:
    """From here on a collection's vectors are of this model; any other is refused.

    Attributes:
        collection: The collection of the vector store.
        embedding_model: Whose vectors it holds.
        dimension: Numbers in each vector.
        replaces: The model before it; empty for a new collection.
        overlap_at_10: Share of the ten nearest memories that old and new model agree on, 0.0 to 1.0, over sample
            queries; None for a new collection.
    """

    schema_name: ClassVar[str] = "octolog.memory.EmbeddingModelFixed"
    collection: str
    embedding_model: str
    dimension: int
    replaces: str = ""
    overlap_at_10: float | None = None


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


@dataclass(frozen=True, slots=True)
class EpisodeReadDenied:
    """An arm asked for another arm's episodes and did not get them.

    Attributes:
        owner: The arm whose episodes were asked for.
        asked_by: Who asked.
        as_of_ms: The moment asked about, milliseconds since the epoch.
    """

    schema_name: ClassVar[str] = "octolog.episode.EpisodeReadDenied"
    owner: ArmId
    asked_by: str
    as_of_ms: int


MemoryEvent: TypeAlias = MemoryRecorded | MemorySuperseded | MemoryForgotten | EmbeddingModelFixed
EpisodeEvent: TypeAlias = EpisodicMemory | EpisodeReadDenied


def check_memory(event: MemoryRecorded) -> None:
    """Raise InvalidContract when a recorded memory breaks a bound."""
    memory = event.memory
    check_memory_id(memory.memory_id)
    _holds(is_task_id(event.root_task_id), "root_task_id", f"{event.root_task_id[:64]!r} is no task id")
    _holds(is_task_id(event.task_id), "task_id", f"{event.task_id[:64]!r} is no task id")
    known = memory.entity_type is not EntityType.UNKNOWN
    _holds(known, "entity_type", "is none of TASK, DECISION, FACT, ARTIFACT")
    length = len(memory.content)
    within = bool(memory.content.strip()) and length <= MAX_CONTENT_CHARS
    _holds(within, "content", f"{length} characters; 1 to {MAX_CONTENT_CHARS}, not all blank")
    _holds(is_arm_id(memory.source), "source", f"{memory.source[:64]!r} is no arm id")
    # Written so that NaN fails, too.
    _holds(0.0 <= memory.confidence <= 1.0, "confidence", f"{memory.confidence} is not within 0.0 to 1.0")
    _holds(memory.timestamp_ms >= 0, "timestamp_ms", "is before 1970")
    _check_tags(memory.tags)
    _check_vector(memory)
    _check_object(memory.metadata_json)


def check_proposals(proposals: Sequence[MemoryProposal]) -> None:
    """Raise InvalidContract when what a result proposes to remember breaks a bound."""
    _holds(len(proposals) <= MAX_PROPOSALS, "memories", f"{len(proposals)} proposed; at most {MAX_PROPOSALS}")
    for at, proposal in enumerate(proposals):
        field, length = f"memories[{at}]", len(proposal.content)
        known = proposal.entity_type is not EntityType.UNKNOWN
        _holds(known, f"{field}.entity_type", "is none of TASK, DECISION, FACT, ARTIFACT")
        within = bool(proposal.content.strip()) and length <= MAX_PROPOSAL_CHARS
        said = f"{length} characters; 1 to {MAX_PROPOSAL_CHARS}, not all blank"
        _holds(within, f"{field}.content", said)
        said = f"{proposal.confidence} is not within 0.0 to 1.0"
        _holds(0.0 <= proposal.confidence <= 1.0, f"{field}.confidence", said)
        _check_tags(proposal.tags, f"{field}.tags")


def check_memory_id(memory_id: str) -> None:
    """Raise InvalidContract for what no memory may be called."""
    fine = 0 < len(memory_id) <= MAX_MEMORY_ID_CHARS and memory_id.isprintable()
    _holds(fine, "memory_id", f"1 to {MAX_MEMORY_ID_CHARS} printable characters")


def check_episode(episode: EpisodicMemory) -> None:
    """Raise InvalidContract when an episode breaks a bound."""
    _holds(is_arm_id(episode.arm_id), "arm_id", f"{episode.arm_id[:64]!r} is no arm id", _EPISODE_CODE)
    fine = 0 < len(episode.episode_id) <= MAX_MEMORY_ID_CHARS and episode.episode_id.isprintable()
    _holds(fine, "episode_id", f"1 to {MAX_MEMORY_ID_CHARS} printable characters", _EPISODE_CODE)
    lives = 0 < episode.ttl_seconds <= MAX_TTL_SECONDS
    _holds(lives, "ttl_seconds", f"{episode.ttl_seconds}; 1 to {MAX_TTL_SECONDS}", _EPISODE_CODE)


def _check_tags(tags: Sequence[str], field: str = "tags") -> None:
    _holds(len(tags) <= MAX_MEMORY_TAGS, field, f"{len(tags)}; at most {MAX_MEMORY_TAGS}")
    fine = all(0 < len(tag) <= MAX_TAG_CHARS and tag.isprintable() for tag in tags)
    _holds(fine, field, f"each has 1 to {MAX_TAG_CHARS} printable characters")


def _check_vector(memory: SemanticMemory) -> None:
    count = len(memory.embeddings)
    _holds(count <= MAX_DIMENSION, "embeddings", f"{count} numbers; at most {MAX_DIMENSION}")
    _holds(all(map(math.isfinite, memory.embeddings)), "embeddings", "not all are finite numbers")
    _holds(
        not count or bool(memory.embedding_model), "embedding_model", "is missing for the embeddings given"
    )


def _check_object(text: str) -> None:
    try:
        is_object = isinstance(parse(text), dict)
    except ValueError:
        is_object = False
    _holds(is_object, "metadata_json", "is no JSON object")


def _holds(fine: bool, field: str, message: str, code: str = _CODE) -> None:  # noqa: FBT001 -- the condition itself
    if not fine:
        raise InvalidContract(code, field, message)
