"""What arms report: starts, heartbeats and results (`octolog.results`), metered use (`octolog.resources`)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, TypeAlias

from octolog.domain.contract import Step
from octolog.domain.ids import ArmId, AttemptId, TaskId
from octolog.domain.memory import MemoryProposal
from octolog.domain.operators import Operator, SubtaskRequest
from octolog.domain.tasksystem import ResourceLimits, ResourceMetrics
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
class Redaction:
    """What was taken out of a result before it was logged.

    Attributes:
        kind: What it was, e.g. `email`; see docs/how-to/safety.md.
        count: How many of them.
    """

    schema_name: ClassVar[str] = "octolog.result.Redaction"
    kind: str
    count: int


@dataclass(frozen=True, slots=True)
class CallUsage:
    """What one model call of an attempt used, as its result says it again: the resource events may lie unread.

    Attributes:
        call_number: The call's number in its attempt, from 1.
        model: Model asked.
        amounts: What it used; of a call whose outcome nobody knows, the most that it can have used.
        is_known: False when nobody knows what it used.
        price_version: Version of the prices.
    """

    schema_name: ClassVar[str] = "octolog.result.CallUsage"
    call_number: int
    model: str
    amounts: Amounts
    is_known: bool
    price_version: str = ""


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
        question: What a person must approve before the arm goes on; the task then gets another attempt.
        redactions: What was taken out of this result, by kind; the values are nowhere.
        calls: Its model calls, the last 1,000.
        memories: What shall be remembered if the result is accepted.
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
    question: str = ""
    redactions: tuple[Redaction, ...] = ()
    calls: tuple[CallUsage, ...] = ()
    memories: tuple[MemoryProposal, ...] = ()


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


@dataclass(frozen=True, slots=True)
class HandlerMetrics:
    """What an attempt's handler counted (seed B): written with its result, where a conversation was begun.

    Attributes:
        root_task_id: The tree.
        task_id: The task.
        attempt_id: The attempt.
        arm_id: The arm.
        model: Model asked last; empty: none was.
        limits: What held; 0 turns or 0 tokens of context: no limit.
        metrics: Turns and context at the end, with their limits and the peak; limits as in `limits`.
        warnings: One for each resource that came near its limit, in order.
        stopped_by: What ended the conversation before its end: `turns`, `context`, `output`, `budget`, `timeout` or
            `revoked`; empty: nothing did.
    """

    schema_name: ClassVar[str] = "octolog.resource.HandlerMetrics"
    root_task_id: TaskId
    task_id: TaskId
    attempt_id: AttemptId
    arm_id: ArmId
    model: str
    limits: ResourceLimits
    metrics: ResourceMetrics
    warnings: tuple[str, ...] = ()
    stopped_by: str = ""


@dataclass(frozen=True, slots=True)
class RecalledMemory:
    """A memory that an attempt was given.

    Attributes:
        memory_id: Which.
        partition: Of `octolog.memory`.
        recorded_at: The offset there of what it said.
        similarity: Cosine to what was asked, -1.0 to 1.0; None: found by its words alone.
    """

    schema_name: ClassVar[str] = "octolog.resource.RecalledMemory"
    memory_id: str
    partition: int
    recorded_at: int
    similarity: float | None = None


@dataclass(frozen=True, slots=True)
class ContextRecalled:
    """What semantic memory gave an attempt, by its context mode; in the log before a model hears of it.

    Attributes:
        root_task_id: The tree.
        task_id: The task.
        attempt_id: The attempt.
        arm_id: The arm.
        with_history: True: asked with what earlier steps gave; False: with the task's own words alone.
        context: The text that the attempt was given; empty: memory had nothing that bears on it.
        truncated: True when more was found than the text may hold.
        memories: Where the text comes from, the most relevant first.
    """

    schema_name: ClassVar[str] = "octolog.resource.ContextRecalled"
    root_task_id: TaskId
    task_id: TaskId
    attempt_id: AttemptId
    arm_id: ArmId
    with_history: bool
    context: str
    truncated: bool = False
    memories: tuple[RecalledMemory, ...] = ()


ArmReport: TypeAlias = (
    AttemptStarted
    | AttemptHeartbeat
    | ExecutionResult
    | ModelCallIntended
    | ResourceUsed
    | HandlerMetrics
    | ContextRecalled
)
