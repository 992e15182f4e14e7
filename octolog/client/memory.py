"""Remembering: a checked memory on its way into `octolog.memory`.

In the design the task processor writes this topic, after an arm's result passed validation. Until it does, whoever
validated a result hands the memory in here, and says so.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from octolog.client.decisions import Sent
from octolog.domain.errors import Refused
from octolog.domain.ids import ArmId, TaskId, uuid5
from octolog.domain.memory import (
    EntityType,
    MemoryForgotten,
    MemoryRecorded,
    MemorySuperseded,
    SemanticMemory,
    check_memory,
    check_memory_id,
)
from octolog.edge.model import object_json

TOPIC: Final = "octolog.memory"


@dataclass(frozen=True, slots=True)
class Remembered:
    """A memory that is in the log.

    Attributes:
        memory_id: Its id.
        sent: Where it lies; `root_task_id` there is the record's key, the memory id.
    """

    memory_id: str
    sent: Sent


def memory_record(  # noqa: PLR0913 -- one keyword for each thing a memory has
    content: str,
    *,
    entity_type: EntityType | str,
    source: str,
    task_id: str,
    root_task_id: str | None,
    confidence: float,
    validated: bool,
    memory_id: str | None,
    tags: Sequence[str],
    metadata: Mapping[str, Any],
) -> MemoryRecorded:
    """The record of a memory, checked.

    Raises:
        Refused: When it did not pass validation.
        InvalidContract: When it breaks a bound.
    """
    if not validated:
        raise Refused("a memory that did not pass validation is not remembered")
    root_id = TaskId(root_task_id or task_id.partition("/")[0])
    memory = SemanticMemory(
        memory_id=memory_id or uuid5(f"memory of {root_id}#{task_id}#{entity_type}#{content}"),
        entity_type=_entity(entity_type),
        content=content,
        source=ArmId(source),
        timestamp_ms=time.time_ns() // 1_000_000,
        confidence=float(confidence),
        metadata_json=object_json(dict(metadata)),
        tags=tuple(tags),
    )
    record = MemoryRecorded(root_id, TaskId(task_id), memory)
    check_memory(record)
    return record


def supersession(memory_id: str, superseded_by: str, reason: str) -> MemorySuperseded:
    """The record that a newer memory takes an older one's place."""
    check_memory_id(memory_id)
    check_memory_id(superseded_by)
    return MemorySuperseded(memory_id, superseded_by, reason[:2_000])


def oblivion(memory_id: str, reason: str, requested_by: str) -> MemoryForgotten:
    """The record that a memory shall no longer be found."""
    check_memory_id(memory_id)
    return MemoryForgotten(memory_id, reason[:2_000], requested_by)


def _entity(given: EntityType | str) -> EntityType:
    try:
        return EntityType(str(given).upper())
    except ValueError:
        return EntityType.UNKNOWN  # which the check refuses, with the names there are
