"""Rows of the store as links of the chain of custody."""

from __future__ import annotations

from typing import Final

from octolog.domain.ids import ArmId, AttemptId, TaskId
from projections.analytics.tree import Row
from projections.provenance.fold import Action, Entry

_FACT_TOPIC: Final = "octolog.tasks"
PROCESSOR: Final = "task-processor"
"""Who decides: the one writer of facts."""


def fact_row(fact: Row, actor: str, detail: str) -> Row:
    """A fact's row with what an entry needs besides."""
    return {**fact, "log_topic": _FACT_TOPIC, "at": fact["happened_at"], "actor": actor, "detail": detail}


def entry_of(row: Row, action: Action, record: str) -> Entry:
    """A link of a row that `fact_row` gave, or of a command; it gets its number later."""
    arm, attempt, digest = row.get("arm_id"), row.get("attempt_id"), row["hash"]
    return Entry(
        number=0,
        action=action,
        at=row["at"],
        actor=row["actor"],
        task_id=TaskId(row["task_id"]),
        record=record,
        detail=row["detail"] or "",
        seq=row["seq"],
        fact_hash=None if digest is None else bytes(digest).hex(),
        log=f"{row['log_topic']}/{row['log_partition']}/{row['log_offset']}",
        arm_id=None if arm is None else ArmId(arm),
        attempt_id=None if attempt is None else AttemptId(attempt),
    )
