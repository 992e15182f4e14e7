"""What arms report: starts, heartbeats and results (`octolog.results`), metered use (`octolog.resources`)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, TypeAlias

from octolog.domain.contract import Step
from octolog.domain.ids import ArmId, AttemptId, TaskId
from octolog.domain.operators import Operator, SubtaskRequest
from octolog.domain.values import Amounts, BlobRef, Provenance, TaskError


class ResultStatus(StrEnum):
    """How an arm says an attempt went."""

    UNKNOWN = "UNKNOWN"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    PARTIAL = "PARTIAL"


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """An arm began work on an attempt. Attempts shorter than the host's grace time are not announced.

    Attributes:
        root_task_id: The tree.
        task_id: The task.
        attempt_id: The attempt.
        arm_id: The arm.
        instance_id: Which process of the arm.
    """

    schema_name: ClassVar[str] = "octolog.result.AttemptStarted"
    root_task_id: TaskId
    task_id: TaskId
    attempt_id: AttemptId
    arm_id: ArmId
    instance_id: str


@dataclass(frozen=True, slots=True)
class AttemptHeartbeat:
    """An arm still holds an attempt; renews its lease.

    Attributes:
        root_task_id: The tree.
        task_id: The task.
        attempt_id: The attempt.
        arm_id: The arm.
        instance_id: Which process of the arm.
        note: Progress in words; may be empty.
    """

    schema_name: ClassVar[str] = "octolog.result.AttemptHeartbeat"
    root_task_id: TaskId
    task_id: TaskId
    attempt_id: AttemptId
    arm_id: ArmId
    instance_id: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class ExecutionResult:
    """An arm finished an attempt (seed A). The task's own outcome is decided later, by the processor.

    Attributes:
        root_task_id: The tree.
        task_id: The task.
        attempt_id: The attempt this is the result of.
        arm_id: The arm; equals the provenance's.
        status: How it went, in the arm's own judgement.
        output: The arm's output, canonical JSON; empty when `output_blob` is set.
        confidence: The arm's own estimate, 0.0 to 1.0.
        execution_time_ms: Working time by the arm's clock, milliseconds.
        tokens_used: Model tokens, prompt and completion together.
        provenance: Where the output comes from.
        error: One line; set exactly when the status is not SUCCESS.
        error_code: Upper snake case, e.g. EXECUTION_TIMEOUT.
        retryable: True when the same attempt could succeed later.
        task_error: Structured error of the task system, if it is one.
        output_blob: Claim check of an output over 256 kB.
        plan: Steps the arm asks for; the task then completes with them.
        operators: The program that a decomposition gives, flat, in document order.
        subtask: What the arm wants done before it goes on; the same task then gets another attempt.
        continuation_json: With `subtask`: what the arm wants to find again then, canonical JSON object.
    """

    schema_name: ClassVar[str] = "octolog.result.ExecutionResult"
    root_task_id: TaskId
    task_id: TaskId
    attempt_id: AttemptId
    arm_id: ArmId
    status: ResultStatus
    output: str
    confidence: float
    execution_time_ms: int
    tokens_used: int
    provenance: Provenance
    error: str | None = None
    error_code: str | None = None
    retryable: bool = False
    task_error: TaskError | None = None
    output_blob: BlobRef | None = None
    plan: tuple[Step, ...] = ()
    operators: tuple[Operator, ...] = ()
    subtask: SubtaskRequest | None = None
    continuation_json: str = "{}"


@dataclass(frozen=True, slots=True)
class ModelCallIntended:
    """A model call is about to be made; written before it, so that a lost outcome can still be charged.

    Attributes:
        root_task_id: The tree.
        task_id: The task.
        attempt_id: The attempt.
        arm_id: The arm.
        call_number: The call's number in its attempt, from 1.
        model: Model asked.
        at_most: What the call can use at most.
    """

    schema_name: ClassVar[str] = "octolog.resource.ModelCallIntended"
    root_task_id: TaskId
    task_id: TaskId
    attempt_id: AttemptId
    arm_id: ArmId
    call_number: int
    model: str
    at_most: Amounts


@dataclass(frozen=True, slots=True)
class ResourceUsed:
    """What a model call, or other metered work, really used.

    Attributes:
        root_task_id: The tree.
        task_id: The task.
        attempt_id: The attempt.
        arm_id: The arm.
        call_number: The use's number in its attempt, from 1: that of the intent it settles, if it had one.
        model: Model that answered; empty for work without one.
        used: What was used.
        input_tokens: Prompt tokens.
        output_tokens: Completion tokens.
        price_version: Version of the price table the cost was computed with.
    """

    schema_name: ClassVar[str] = "octolog.resource.ResourceUsed"
    root_task_id: TaskId
    task_id: TaskId
    attempt_id: AttemptId
    arm_id: ArmId
    call_number: int
    model: str
    used: Amounts
    input_tokens: int = 0
    output_tokens: int = 0
    price_version: str = ""


ArmReport: TypeAlias = AttemptStarted | AttemptHeartbeat | ExecutionResult | ModelCallIntended | ResourceUsed
