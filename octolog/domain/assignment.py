"""What arms are told (`octolog.assignments.<arm_id>`)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, TypeAlias

from octolog.domain.ids import ArmId, AttemptId, TaskId
from octolog.domain.operators import ContextMode, RecoveryKind
from octolog.domain.security import SecurityPolicy
from octolog.domain.values import BlobRef, Limits, TaskError


@dataclass(frozen=True, slots=True)
class StepInput:
    """The output of a prerequisite.

    Attributes:
        step_id: Which step of the same plan; in a program the name of the input.
        output: Its output, canonical JSON (of an input its text, as a JSON string); empty when `output_blob` is set.
        output_blob: Claim check of a large output.
    """

    schema_name: ClassVar[str] = "octolog.assignment.StepInput"
    step_id: str
    output: str
    output_blob: BlobRef | None = None


@dataclass(frozen=True, slots=True)
class Recovery:
    """Why and how a failed task is tried with another structure.

    Attributes:
        kind: DECOMPOSITION: the result must bear a program (`operators`). ALTERNATIVE: the output is the task's.
        number: The recovery's number at its task, from 1.
        error: The error that led here.
        instructions: What the failed attempt was told, filled in.
        output: What the failed attempt gave, canonical JSON; may be empty.
    """

    schema_name: ClassVar[str] = "octolog.assignment.Recovery"
    kind: RecoveryKind
    number: int
    error: TaskError
    instructions: str
    output: str


@dataclass(frozen=True, slots=True)
class Continuation:
    """The answer to a subtask that an earlier attempt at the same task asked for.

    Attributes:
        subtask_task_id: The subtask.
        number: Its number at this task, from 1.
        goal: What was asked for.
        content: The subtask's content.
        notes_json: The subtask's notes, canonical JSON object.
        continuation_json: What the earlier attempt wanted to find again.
    """

    schema_name: ClassVar[str] = "octolog.assignment.Continuation"
    subtask_task_id: TaskId
    number: int
    goal: str
    content: str
    notes_json: str
    continuation_json: str


class FeedbackKind(StrEnum):
    """Why a task gets another attempt that is no retry."""

    UNKNOWN = "UNKNOWN"
    REPAIR = "REPAIR"
    PLAN_REFUSED = "PLAN_REFUSED"
    REPLAN = "REPLAN"
    APPROVED = "APPROVED"


@dataclass(frozen=True, slots=True)
class Feedback:
    """What an earlier attempt at the same task led to.

    Attributes:
        kind: REPAIR: the judge did not accept the output. PLAN_REFUSED: the plan was none. REPLAN: a step failed for
            good. APPROVED: a person said yes.
        number: The repair's, refusal's, new plan's or approval's number at the task, from 1.
        message: The judge's feedback, the reason of the refusal or failure, or the person's comment.
        failed_criteria: REPAIR: criteria that were not met.
        output: REPAIR: what was judged of this task, canonical JSON; empty where it is a blob.
        done: REPLAN: steps that are completed, with their outputs; a new plan may depend on them.
        taken: REPLAN: names of steps that a new plan cannot use again.
    """

    schema_name: ClassVar[str] = "octolog.assignment.Feedback"
    kind: FeedbackKind
    number: int
    message: str
    failed_criteria: tuple[str, ...] = ()
    output: str = ""
    done: tuple[StepInput, ...] = ()
    taken: tuple[str, ...] = ()


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
        context_json: Background, canonical JSON object; in a program what `context_mode` gives.
        acceptance_criteria: What the result is held against.
        inputs: Outputs of the prerequisites, in the plan's order; in a program the task's inputs, then what its map
            or reduce binds for it.
        allowance: What the attempt may use; the handler refuses a model call beyond it.
        priority: 1 (first) to 10.
        assigned_ms: When, by the broker's clock, milliseconds since the epoch.
        lease_ms: How long the arm may stay silent, milliseconds.
        timeout_ms: How long the attempt may take from its start, milliseconds.
        security_policy: Name of the policy in force.
        capability_token: Signed permission to act; empty where the policy asks for none.
        instructions: The task prompt, filled in; empty outside programs.
        system: The system prompt.
        model: Model id; empty: the arm's own.
        output_type: Declared type of the content; empty: any.
        max_turns: Model responses allowed; None: the arm's own bound.
        max_context_fraction: Share of the model's window, above 0.0 to 1.0; None: the arm's own bound.
        context_mode: How the context came about, and how memory is to be asked; UNKNOWN outside programs.
        recovery: Set when this is a recovery of a failed task.
        continuation: Set when this goes on after a subtask.
        feedback: Set when an earlier attempt led to this one: a repair, a refused plan, a new plan, an approval.
        policy: The policy in force, for the arm's host to hold the attempt to; None: `default` as it is without a
            record, which restricts nothing.
        context_blob: Claim check of a large background; `context_json` is `{}` then.
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
    instructions: str = ""
    system: str = ""
    model: str = ""
    output_type: str = ""
    max_turns: int | None = None
    max_context_fraction: float | None = None
    context_mode: ContextMode = ContextMode.UNKNOWN
    recovery: Recovery | None = None
    continuation: Continuation | None = None
    feedback: Feedback | None = None
    policy: SecurityPolicy | None = None
    context_blob: BlobRef | None = None


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
