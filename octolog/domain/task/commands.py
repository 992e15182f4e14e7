"""What a tree can be asked to do: commands from the log, and two the partition's scheduler adds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from octolog.domain.contract import ContractCommand
from octolog.domain.facts import Candidate
from octolog.domain.ids import ArmId, TaskId
from octolog.domain.quick import quick
from octolog.domain.reports import ArmReport
from octolog.domain.upkeep import TimerFired


@quick
@dataclass(frozen=True, slots=True)
class AssignAttempt:
    """Give a ready task to an arm. Issued by the scheduler, within the cause that freed the arm.

    Attributes:
        task_id: The task.
        arm_id: The arm routing chose.
        candidates: Every arm that passed the hard filters, best first.
        lease_ms: How long the arm may stay silent.
        timeout_ms: The arm's own limit on an attempt.
        refusal: What is wrong with the task's context by the arm's input schema, with its path; empty: nothing.
    """

    task_id: TaskId
    arm_id: ArmId
    candidates: tuple[Candidate, ...]
    lease_ms: int
    timeout_ms: int
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class DeferRouting:
    """Say that no arm can take a ready task now.

    Attributes:
        task_id: The task.
        reason: Which tag or state is missing.
    """

    task_id: TaskId
    reason: str


TreeCommand: TypeAlias = ContractCommand | ArmReport | TimerFired | AssignAttempt | DeferRouting
