"""The facts of a task tree: the audit log (`octolog.tasks`).

These names and fields are the storage format. A released fact is never edited: add a new version and an
upcaster. On the wire every fact also carries its link in the tree's hash chain (`octolog.domain.chain`).
One module, because `Fact` is the union of exactly what stands here, and `decide` and `evolve` are read beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, TypeAlias, get_args

from octolog.domain.contract import OnTimeout, Step, TaskContract
from octolog.domain.ids import ArmId, AttemptId, TaskId
from octolog.domain.memory import MemoryProposal
from octolog.domain.operators import Operator, RecoveryKind, SubtaskRequest
from octolog.domain.quick import quick
from octolog.domain.tasksystem import TaskType
from octolog.domain.values import Amounts, BlobRef, Category, Limits, Provenance, Resource, TaskError


class Outcome(StrEnum):
    """How an attempt ended."""

    UNKNOWN = "UNKNOWN"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    PARTIAL = "PARTIAL"
    TIMED_OUT = "TIMED_OUT"
    LOST = "LOST"
    CANCELLED = "CANCELLED"


class UsagePhase(StrEnum):
    """Whether a use was announced or has happened."""

    UNKNOWN = "UNKNOWN"
    INTENDED = "INTENDED"
    ACTUAL = "ACTUAL"


class ApprovalReason(StrEnum):
    """Why a person is asked."""

    UNKNOWN = "UNKNOWN"
    BEFORE_START = "BEFORE_START"
    QUESTION = "QUESTION"
    NOT_ACCEPTED = "NOT_ACCEPTED"
    LOW_CONFIDENCE = "LOW_CONFIDENCE"
    PLAN_REFUSED = "PLAN_REFUSED"
    STEP_FAILED = "STEP_FAILED"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One arm as routing saw it.

    Attributes:
        arm_id: The arm.
        score: Its weighted score, 0.0 to 1.0.
        cost_tier: Its cost tier, 1 to 5.
    """

    schema_name: ClassVar[str] = "octolog.task.Candidate"
    arm_id: ArmId
    score: float
    cost_tier: int


@dataclass(frozen=True, slots=True)
class TaskSubmitted:
    """A contract was accepted; its task and steps join the tree.

    Attributes:
        at_ms: When, by the broker's clock.
        contract: The contract as accepted.
        contract_digest: SHA-256 of the contract's canonical form, lowercase hex; tells a repeat from a clash.
        submitted_by: Who asked.
        deadline_ms: Unused until a policy sets one; milliseconds since the epoch.
    """

    schema_name: ClassVar[str] = "octolog.task.TaskSubmitted"
    at_ms: int
    contract: TaskContract
    contract_digest: str
    submitted_by: str
    deadline_ms: int | None = None


@dataclass(frozen=True, slots=True)
class RequestRejected:
    """A command broke a rule; nothing changed.

    Attributes:
        at_ms: When, by the broker's clock.
        task_id: The task the command was about.
        command: Record name of the command.
        code: Upper snake case, e.g. INVALID_BUDGET.
        category: What kind of fault.
        field: Dotted path of the offending field; empty when it is not one field.
        message: What is wrong, with the value and the bound, one line.
        requested_by: Who asked.
    """

    schema_name: ClassVar[str] = "octolog.task.RequestRejected"
    at_ms: int
    task_id: TaskId
    command: str
    code: str
    category: Category
    field: str
    message: str
    requested_by: str


@dataclass(frozen=True, slots=True)
class AttemptAssigned:
    """An attempt was given to an arm, and its allowance reserved.

    Attributes:
        at_ms: When, by the broker's clock.
        task_id: The task.
        attempt_id: The attempt; derives from the task and its number.
        number: The attempt's number at this task, from 1.
        arm_id: The arm chosen.
        allowance: Reserved for the attempt; a null limit is not limited.
        lease_ms: How long the arm may stay silent, milliseconds.
        timeout_ms: How long the attempt may take, from its start or else its assignment, milliseconds.
        policy: The routing policy that chose.
        candidates: Every arm that passed the hard filters, best first.
    """

    schema_name: ClassVar[str] = "octolog.task.AttemptAssigned"
    at_ms: int
    task_id: TaskId
    attempt_id: AttemptId
    number: int
    arm_id: ArmId
    allowance: Limits
    lease_ms: int
    timeout_ms: int
    policy: str
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class RoutingDeferred:
    """No arm can take the task now; it waits until the registry changes. Written once per wait.

    Attributes:
        at_ms: When, by the broker's clock.
        task_id: The task.
        reason: Which tag or state is missing.
    """

    schema_name: ClassVar[str] = "octolog.task.RoutingDeferred"
    at_ms: int
    task_id: TaskId
    reason: str


@dataclass(frozen=True, slots=True)
class LeaseRenewed:
    """The arm showed that it holds the attempt.

    Attributes:
        at_ms: When, by the broker's clock.
        task_id: The task.
        attempt_id: The attempt.
        instance_id: Which process of the arm.
        started: True when this is the arm's announcement that work began.
        note: Progress in words.
    """

    schema_name: ClassVar[str] = "octolog.task.LeaseRenewed"
    at_ms: int
    task_id: TaskId
    attempt_id: AttemptId
    instance_id: str
    started: bool
    note: str


@dataclass(frozen=True, slots=True)
class UsageRecorded:
    """A metered use entered the ledger, announced or real.

    Attributes:
        at_ms: When, by the broker's clock.
        task_id: The task.
        attempt_id: The attempt.
        call_number: The use's number in its attempt, from 1; an announcement and its outcome share one.
        phase: Announced or real; a real use replaces the announcement of the same number.
        model: Model asked; empty for work without one.
        amounts: How much.
        price_version: Version of the prices that the cost was computed with; empty: it has no price.
    """

    schema_name: ClassVar[str] = "octolog.task.UsageRecorded"
    at_ms: int
    task_id: TaskId
    attempt_id: AttemptId
    call_number: int
    phase: UsagePhase
    model: str
    amounts: Amounts
    price_version: str = ""


@dataclass(frozen=True, slots=True)
class BudgetWarned:
    """A resource passed 80 % of its limit; said once per resource and limit.

    Attributes:
        at_ms: When, by the broker's clock.
        resource: Which.
        used: Units used, settled and running.
        limit: Units allowed.
    """

    schema_name: ClassVar[str] = "octolog.task.BudgetWarned"
    at_ms: int
    resource: Resource
    used: int
    limit: int


@dataclass(frozen=True, slots=True)
class BudgetExhausted:
    """A resource is spent: running attempts are cancelled and the tree fails, with what was completed.

    Attributes:
        at_ms: When, by the broker's clock.
        resource: Which.
        used: Units used, settled and running.
        limit: Units allowed.
    """

    schema_name: ClassVar[str] = "octolog.task.BudgetExhausted"
    at_ms: int
    resource: Resource
    used: int
    limit: int


@dataclass(frozen=True, slots=True)
class BudgetAmended:
    """The tree's limits were replaced.

    Attributes:
        at_ms: When, by the broker's clock.
        limits: The new limits.
        amended_by: Who asked.
        reason: Why.
        request_id: Tells a request to add to the limits from another; empty: the limits were named.
    """

    schema_name: ClassVar[str] = "octolog.task.BudgetAmended"
    at_ms: int
    limits: Limits
    amended_by: str
    reason: str
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """An attempt is over: its use is settled, the rest of its allowance released.

    Attributes:
        at_ms: When, by the broker's clock.
        task_id: The task.
        attempt_id: The attempt.
        arm_id: The arm.
        outcome: How it ended.
        settled: What the attempt is charged.
        unknown: The part of `settled` that intents prove and no actual confirms.
        output: The arm's output, canonical JSON; empty when there is none or it is a blob.
        output_blob: Claim check of a large output.
        confidence: The arm's estimate, 0.0 to 1.0.
        execution_time_ms: Working time by the arm's clock, milliseconds.
        error: One line; set when the outcome is not SUCCESS.
        error_code: Upper snake case.
        retryable: True when the fault is transient.
        task_error: Structured error of the task system.
        provenance: Where the output comes from; null when no result came.
    """

    schema_name: ClassVar[str] = "octolog.task.AttemptEnded"
    at_ms: int
    task_id: TaskId
    attempt_id: AttemptId
    arm_id: ArmId
    outcome: Outcome
    settled: Amounts
    unknown: Amounts
    output: str
    output_blob: BlobRef | None
    confidence: float
    execution_time_ms: int
    error: str | None
    error_code: str | None
    retryable: bool
    task_error: TaskError | None
    provenance: Provenance | None


@dataclass(frozen=True, slots=True)
class ResultIgnored:
    """A result came for an attempt that is no longer current; recorded, and changes nothing.

    Attributes:
        at_ms: When, by the broker's clock.
        task_id: The task.
        attempt_id: The attempt.
        arm_id: The arm.
        status: What the arm said.
        reason: Why it does not count.
        tokens_used: What the arm said it used.
    """

    schema_name: ClassVar[str] = "octolog.task.ResultIgnored"
    at_ms: int
    task_id: TaskId
    attempt_id: AttemptId
    arm_id: ArmId
    status: str
    reason: str
    tokens_used: int


@dataclass(frozen=True, slots=True)
class RetryScheduled:
    """A transient failure will be tried again after a delay.

    Attributes:
        at_ms: When this was decided, by the broker's clock.
        task_id: The task.
        next_number: The coming attempt's number.
        delay_ms: Delay with jitter, milliseconds; derives from the attempt's id.
        due_ms: When the delay ends, milliseconds since the epoch.
    """

    schema_name: ClassVar[str] = "octolog.task.RetryScheduled"
    at_ms: int
    task_id: TaskId
    next_number: int
    delay_ms: int
    due_ms: int


@dataclass(frozen=True, slots=True)
class RetryDue:
    """A delay ended; the task may be assigned again.

    Attributes:
        at_ms: When, by the broker's clock.
        task_id: The task.
    """

    schema_name: ClassVar[str] = "octolog.task.RetryDue"
    at_ms: int
    task_id: TaskId


@dataclass(frozen=True, slots=True)
class TaskPlanned:
    """An arm's plan was accepted; its steps join the tree.

    Attributes:
        at_ms: When, by the broker's clock.
        task_id: The task the plan is for.
        attempt_id: The attempt that made it.
        steps: The steps, in order.
    """

    schema_name: ClassVar[str] = "octolog.task.TaskPlanned"
    at_ms: int
    task_id: TaskId
    attempt_id: AttemptId
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class TaskCompleted:
    """A task reached its goal.

    Attributes:
        at_ms: When, by the broker's clock.
        task_id: The task.
        attempt_id: The attempt whose output is the task's; null when it joins several.
        output: A root's output, and the joined output of several steps, canonical JSON; else empty,
            and `attempt_id` has it.
        output_blob: Claim check of a large output.
    """

    schema_name: ClassVar[str] = "octolog.task.TaskCompleted"
    at_ms: int
    task_id: TaskId
    attempt_id: AttemptId | None
    output: str
    output_blob: BlobRef | None


@dataclass(frozen=True, slots=True)
class TaskFailed:
    """A task will not reach its goal.

    Attributes:
        at_ms: When, by the broker's clock.
        task_id: The task.
        code: Upper snake case, e.g. BUDGET_EXCEEDED.
        category: What kind of fault.
        message: Why, one line.
        failed_step: The step that failed, where it is another task.
        completed_steps: Tasks of the tree completed before; their outputs stay citable.
        used: What the tree used in all.
        details_json: What an operator knows of its failure, canonical JSON object; empty: nothing.
        task_error: Structured error of the task system, if it is one.
    """

    schema_name: ClassVar[str] = "octolog.task.TaskFailed"
    at_ms: int
    task_id: TaskId
    code: str
    category: Category
    message: str
    failed_step: TaskId | None
    completed_steps: tuple[TaskId, ...]
    used: Amounts
    details_json: str = ""
    task_error: TaskError | None = None


@dataclass(frozen=True, slots=True)
class TaskCancelled:
    """A tree was stopped on request.

    Attributes:
        at_ms: When, by the broker's clock.
        task_id: The root.
        reason: Why.
        requested_by: Who asked.
        completed_steps: Tasks of the tree completed before.
        used: What the tree used in all.
    """

    schema_name: ClassVar[str] = "octolog.task.TaskCancelled"
    at_ms: int
    task_id: TaskId
    reason: str
    requested_by: str
    completed_steps: tuple[TaskId, ...]
    used: Amounts


@dataclass(frozen=True, slots=True)
class OperatorStarted:
    """An operator of a program was reached; its task joins the tree.

    Attributes:
        at_ms: When, by the broker's clock.
        task_id: The task.
        parent_task_id: The task it is part of; null for a root.
        program_id: The root task of its program.
        position: Its place in the program, from 0.
        type: Which operator.
        input_name: The input of its map or reduce that it works on; empty: none.
        index: Its place among its siblings, or the input's, from 0.
    """

    schema_name: ClassVar[str] = "octolog.task.OperatorStarted"
    at_ms: int
    task_id: TaskId
    parent_task_id: TaskId | None
    program_id: TaskId
    position: int
    type: TaskType
    input_name: str
    index: int


@dataclass(frozen=True, slots=True)
class RecoveryStarted:
    """A failed task is tried with another structure; the recovery task joins the tree.

    Attributes:
        at_ms: When, by the broker's clock.
        task_id: The failed task.
        recovery_task_id: The recovery.
        number: Its number at the task, from 1.
        kind: Decomposition or alternative approach.
        attempt_id: The attempt that failed.
        error: Its error.
        output: What it gave; may be empty.
    """

    schema_name: ClassVar[str] = "octolog.task.RecoveryStarted"
    at_ms: int
    task_id: TaskId
    recovery_task_id: TaskId
    number: int
    kind: RecoveryKind
    attempt_id: AttemptId
    error: TaskError
    output: str


@dataclass(frozen=True, slots=True)
class ProgramAdopted:
    """The program that a recovery gave was accepted; it is evaluated in the failed task's place.

    Attributes:
        at_ms: When, by the broker's clock.
        task_id: The failed task.
        recovery_task_id: The recovery that gave it.
        attempt_id: The attempt that gave it.
        program_id: The task of the program's root.
        operators: The program.
    """

    schema_name: ClassVar[str] = "octolog.task.ProgramAdopted"
    at_ms: int
    task_id: TaskId
    recovery_task_id: TaskId
    attempt_id: AttemptId
    program_id: TaskId
    operators: tuple[Operator, ...]


@dataclass(frozen=True, slots=True)
class SubtaskRequested:
    """An arm's request for a subtask was accepted; the task that asked waits for it.

    Attributes:
        at_ms: When, by the broker's clock.
        task_id: The task that asked.
        attempt_id: The attempt that asked.
        subtask_task_id: The subtask.
        number: Its number at the task, from 1.
        depth: Its place in its chain of subtasks, from 1.
        request: What was asked for.
        continuation_json: What the arm wants to find again.
    """

    schema_name: ClassVar[str] = "octolog.task.SubtaskRequested"
    at_ms: int
    task_id: TaskId
    attempt_id: AttemptId
    subtask_task_id: TaskId
    number: int
    depth: int
    request: SubtaskRequest
    continuation_json: str


@dataclass(frozen=True, slots=True)
class ApprovalRequested:
    """A task waits for a person.

    Attributes:
        at_ms: When, by the broker's clock.
        task_id: The task that waits.
        number: The request's number at the task, from 1.
        reason: Why a person is asked.
        question: What the person is asked.
        on_timeout: What silence means.
        due_ms: When silence is an answer, milliseconds since the epoch; null: never.
        about: The step or judge that led to it, where it is another task.
    """

    schema_name: ClassVar[str] = "octolog.task.ApprovalRequested"
    at_ms: int
    task_id: TaskId
    number: int
    reason: ApprovalReason
    question: str
    on_timeout: OnTimeout
    due_ms: int | None
    about: TaskId | None


@dataclass(frozen=True, slots=True)
class ApprovalDecided:
    """A person, or their silence, decided.

    Attributes:
        at_ms: When, by the broker's clock.
        task_id: The task that waited.
        number: The request's number at the task, from 1.
        approved: Whether it goes on.
        decided_by: Who said so; empty for silence.
        comment: Why.
        timed_out: True when silence decided.
    """

    schema_name: ClassVar[str] = "octolog.task.ApprovalDecided"
    at_ms: int
    task_id: TaskId
    number: int
    approved: bool
    decided_by: str
    comment: str
    timed_out: bool


@dataclass(frozen=True, slots=True)
class PlanRefused:
    """An arm's plan is none that can be followed; the arm is asked again, and told why.

    Attributes:
        at_ms: When, by the broker's clock.
        task_id: The task the plan was for.
        attempt_id: The attempt that made it.
        number: How many plans for the task were refused, this one included.
        reason: What is wrong with it.
    """

    schema_name: ClassVar[str] = "octolog.task.PlanRefused"
    at_ms: int
    task_id: TaskId
    attempt_id: AttemptId
    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class JudgingStarted:
    """A task's result is held against its acceptance criteria; the judge's task joins the tree.

    Attributes:
        at_ms: When, by the broker's clock.
        task_id: The task.
        judge_task_id: The judge's task.
        number: Its number at the task, from 1.
        output: What several steps gave together, canonical JSON; else empty, and the attempt's own end has it.
        output_blob: Claim check of a large output.
        attempt_id: The attempt whose output is judged; null when it joins several.
    """

    schema_name: ClassVar[str] = "octolog.task.JudgingStarted"
    at_ms: int
    task_id: TaskId
    judge_task_id: TaskId
    number: int
    output: str
    output_blob: BlobRef | None
    attempt_id: AttemptId | None


@dataclass(frozen=True, slots=True)
class TaskJudged:
    """The judge's verdict.

    Attributes:
        at_ms: When, by the broker's clock.
        task_id: The task that was judged.
        judge_task_id: The judge's task.
        attempt_id: The judge's attempt.
        number: The verdict's number at the task, from 1.
        accepted: True when every criterion is met and no issue is an error.
        confidence: The verdict's confidence, 0.0 to 1.0.
        passed: Criteria that are met.
        failed: Criteria that are not.
        feedback: What is to be done better.
    """

    schema_name: ClassVar[str] = "octolog.task.TaskJudged"
    at_ms: int
    task_id: TaskId
    judge_task_id: TaskId
    attempt_id: AttemptId
    number: int
    accepted: bool
    confidence: float
    passed: tuple[str, ...]
    failed: tuple[str, ...]
    feedback: str


@dataclass(frozen=True, slots=True)
class RepairStarted:
    """What the judge did not accept is done again, with its feedback. No retry, and not counted as one.

    Attributes:
        at_ms: When, by the broker's clock.
        task_id: The task that was judged.
        number: The repair's number at the task, from 1.
        repaired: Tasks that get another attempt: those whose outputs make the result.
        failed: Criteria that were not met.
        feedback: What the judge said.
    """

    schema_name: ClassVar[str] = "octolog.task.RepairStarted"
    at_ms: int
    task_id: TaskId
    number: int
    repaired: tuple[TaskId, ...]
    failed: tuple[str, ...]
    feedback: str


@dataclass(frozen=True, slots=True)
class ReplanStarted:
    """A step of a plan failed for good; the planner is asked again, with what is done.

    Attributes:
        at_ms: When, by the broker's clock.
        task_id: The task whose plan it is.
        number: The new plan's number at the task, from 1.
        failed_task_id: The step that failed.
        reason: Why it failed.
        dropped: Steps that will not be done.
    """

    schema_name: ClassVar[str] = "octolog.task.ReplanStarted"
    at_ms: int
    task_id: TaskId
    number: int
    failed_task_id: TaskId
    reason: str
    dropped: tuple[TaskId, ...]


@dataclass(frozen=True, slots=True)
class MemoriesProposed:
    """A successful attempt proposed memories; they wait until its result is accepted.

    Attributes:
        at_ms: When, by the broker's clock.
        task_id: The task.
        attempt_id: The attempt whose result proposed them.
        arm_id: The arm.
        memories: What it proposed, in its order.
    """

    schema_name: ClassVar[str] = "octolog.task.MemoriesProposed"
    at_ms: int
    task_id: TaskId
    attempt_id: AttemptId
    arm_id: ArmId
    memories: tuple[MemoryProposal, ...]


@dataclass(frozen=True, slots=True)
class MemoriesAccepted:
    """The result that proposed memories was accepted: the same transaction records them in `octolog.memory`.

    Attributes:
        at_ms: When, by the broker's clock.
        task_id: The task.
        attempt_id: The attempt whose result proposed them.
        arm_id: The arm.
        accepted_with: The task whose result was accepted: itself, or one that it is part of.
        memory_ids: The memories recorded, in the order proposed.
    """

    schema_name: ClassVar[str] = "octolog.task.MemoriesAccepted"
    at_ms: int
    task_id: TaskId
    attempt_id: AttemptId
    arm_id: ArmId
    accepted_with: TaskId
    memory_ids: tuple[str, ...]


Fact: TypeAlias = (
    TaskSubmitted
    | RequestRejected
    | AttemptAssigned
    | RoutingDeferred
    | LeaseRenewed
    | UsageRecorded
    | BudgetWarned
    | BudgetExhausted
    | BudgetAmended
    | AttemptEnded
    | ResultIgnored
    | RetryScheduled
    | RetryDue
    | TaskPlanned
    | TaskCompleted
    | TaskFailed
    | TaskCancelled
    | OperatorStarted
    | RecoveryStarted
    | ProgramAdopted
    | SubtaskRequested
    | ApprovalRequested
    | ApprovalDecided
    | PlanRefused
    | JudgingStarted
    | TaskJudged
    | RepairStarted
    | ReplanStarted
    | MemoriesProposed
    | MemoriesAccepted
)

for _kind in get_args(Fact):
    quick(_kind)
