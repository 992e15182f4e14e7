"""What arms are told (`octolog.assignments.<arm_id>`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from octolog.domain.ids import ArmId, AttemptId, TaskId
from octolog.domain.values import BlobRef, Limits


@dataclass(frozen=True, slots=True)
class StepInput:
    """The output of a prerequisite.

    Attributes:
        step_id: Which step of the same plan.
        output: Its output, canonical JSON; empty when `output_blob` is set.
        output_blob: Claim check of a large output.
    """

    schema_name: ClassVar[str] = "octolog.assignment.StepInput"
    step_id: str
    output: str
    output_blob: BlobRef | None = None


@dataclass(frozen=True, slots=True)
class AttemptAssignment:
    """One attempt for one arm.

    Attributes:
        root_task_id: The tree.
        task_id: The task.
        attempt_id: The attempt; every report carries it back.
        number: The attempt's number at this task, from 1.
        arm_id: The arm.
        goal: What shall be achieved.
        constraints_json: Hard constraints, canonical JSON object.
        context_json: Background, canonical JSON object.
        acceptance_criteria: What the result is held against.
        inputs: Outputs of the prerequisites, in the plan's order.
        allowance: What the attempt may use; the handler refuses a model call beyond it.
        priority: 1 (first) to 10.
        assigned_ms: When, by the broker's clock, milliseconds since the epoch.
        lease_ms: How long the arm may stay silent, milliseconds.
        timeout_ms: How long the attempt may take from its start, milliseconds.
        security_policy: Name of the policy in force.
        capability_token: Signed permission to act; empty where the policy asks for none.
    """

    schema_name: ClassVar[str] = "octolog.assignment.AttemptAssignment"
    root_task_id: TaskId
    task_id: TaskId
    attempt_id: AttemptId
    number: int
    arm_id: ArmId
    goal: str
    constraints_json: str
    context_json: str
    acceptance_criteria: tuple[str, ...]
    inputs: tuple[StepInput, ...]
    allowance: Limits
    priority: int
    assigned_ms: int
    lease_ms: int
    timeout_ms: int
    security_policy: str
    capability_token: str = ""


@dataclass(frozen=True, slots=True)
class AttemptRevoked:
    """An attempt no longer counts; the arm shall stop.

    Attributes:
        root_task_id: The tree.
        task_id: The task.
        attempt_id: The attempt.
        arm_id: The arm.
        reason: Why.
    """

    schema_name: ClassVar[str] = "octolog.assignment.AttemptRevoked"
    root_task_id: TaskId
    task_id: TaskId
    attempt_id: AttemptId
    arm_id: ArmId
    reason: str


ArmCommand: TypeAlias = AttemptAssignment | AttemptRevoked
