"""Task contracts and the commands that carry them (topic `octolog.contracts`)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, TypeAlias

from octolog.domain.ids import ArmId, TaskId
from octolog.domain.operators import Operator
from octolog.domain.values import DEFAULT_RETRY, NO_LIMITS, NOTHING, Amounts, BlobRef, Limits, RetryPolicy


class OnTimeout(StrEnum):
    """What a person's silence means."""

    UNKNOWN = "UNKNOWN"
    DENY = "DENY"
    APPROVE = "APPROVE"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """A task that a person must approve before it begins.

    Attributes:
        question: What the person is asked; empty: the task's goal.
        timeout_ms: How long the person may take, milliseconds; None: any time.
        on_timeout: What silence means; UNKNOWN counts as DENY.
    """

    schema_name: ClassVar[str] = "octolog.contract.ApprovalRule"
    question: str = ""
    timeout_ms: int | None = None
    on_timeout: OnTimeout = OnTimeout.DENY


@dataclass(frozen=True, slots=True)
class Orchestration:
    """How a task is brought to its goal: planned, judged, repaired, planned again, and whom to ask at the end.

    Attributes:
        judge: Hold the result against the acceptance criteria before the task counts as completed.
        judge_capabilities: Tags the judging arm must have.
        max_repairs: Repairs of a result that the judge did not accept; apart from retries.
        max_replans: New plans after a step failed for good.
        min_confidence: A verdict of less confidence goes to a person, 0.0 to 1.0.
        escalate: Ask a person where the task would fail otherwise.
        approval_timeout_ms: How long that person may take, milliseconds; None: any time.
        on_timeout: What silence means; UNKNOWN counts as DENY.
    """

    schema_name: ClassVar[str] = "octolog.contract.Orchestration"
    judge: bool = True
    judge_capabilities: tuple[str, ...] = ("criteria_validation",)
    max_repairs: int = 2
    max_replans: int = 2
    min_confidence: float = 0.0
    escalate: bool = False
    approval_timeout_ms: int | None = None
    on_timeout: OnTimeout = OnTimeout.DENY


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a plan: an atomic task with its prerequisites.

    Attributes:
        step_id: Name inside the task; the step's task id is `<task>/<step_id>`.
        goal: What the step shall achieve, natural language.
        depends_on: Step ids that must be completed first; each stands earlier in the plan.
        assigned_arm: Run on this arm only.
        required_capabilities: Tags the arm must have, all of them.
        max_cost_tier: Highest cost tier allowed, 1 to 5; None: any.
        context_json: Background for the arm, canonical JSON object.
        acceptance_criteria: What the judge holds the result against.
        budget: What the step may use at most, out of the tree's budget.
        priority: 1 (first) to 10; None: the task's.
        timeout_ms: Longest run of one attempt, milliseconds; None: the arm's own.
        approval: Set when a person must approve it before it begins.
        context_blob: Claim check of a large background; `context_json` is `{}` then.
    """

    schema_name: ClassVar[str] = "octolog.contract.Step"
    step_id: str
    goal: str
    depends_on: tuple[str, ...] = ()
    assigned_arm: ArmId | None = None
    required_capabilities: tuple[str, ...] = ()
    max_cost_tier: int | None = None
    context_json: str = "{}"
    acceptance_criteria: tuple[str, ...] = ()
    budget: Limits = NO_LIMITS
    priority: int | None = None
    timeout_ms: int | None = None
    approval: ApprovalRule | None = None
    context_blob: BlobRef | None = None


@dataclass(frozen=True, slots=True)
class TaskContract:
    """A task with its requirements, constraints and context (seed A). Immutable once submitted.

    Attributes:
        task_id: Opaque id, chosen by the producer.
        goal: What shall be achieved, natural language, 1 to 10,000 characters.
        constraints_json: Hard constraints, canonical JSON object.
        context_json: Background, canonical JSON object.
        acceptance_criteria: Success conditions, at most 10.
        budget: What the whole tree may use.
        assigned_arm: Run on this arm only.
        parent_task_id: The task this one is a subtask of.
        priority: 1 (first) to 10.
        security_policy: Name of the policy in force; None: `default`.
        required_capabilities: Tags the arm must have, all of them, at most 10.
        max_cost_tier: Highest cost tier allowed, 1 to 5; None: any.
        routing_policy: `cost_first` or `weighted`.
        retry: How transient failures are repeated.
        timeout_ms: Longest run of one attempt, milliseconds; None: the arm's own.
        steps: A plan, if the producer has one; empty: the task is atomic.
        operators: A program, flat, in document order; its root is this task. Not together with `steps`.
        approval: Set when a person must approve it before it begins.
        orchestration: Judging, repairs and new plans; None: a result counts as its arm says, a plan is made once.
        nested_budgets: On a root: a budget below it bounds all attempts at its task and everything below that,
            together. False: it bounds each attempt.
        context_blob: Claim check of a large background; `context_json` is `{}` then. Not in a program.
    """

    schema_name: ClassVar[str] = "octolog.contract.TaskContract"
    task_id: TaskId
    goal: str
    constraints_json: str = "{}"
    context_json: str = "{}"
    acceptance_criteria: tuple[str, ...] = ()
    budget: Limits = NO_LIMITS
    assigned_arm: ArmId | None = None
    parent_task_id: TaskId | None = None
    priority: int = 5
    security_policy: str | None = None
    required_capabilities: tuple[str, ...] = ()
    max_cost_tier: int | None = None
    routing_policy: str = "cost_first"
    retry: RetryPolicy = DEFAULT_RETRY
    timeout_ms: int | None = None
    steps: tuple[Step, ...] = ()
    operators: tuple[Operator, ...] = ()
    approval: ApprovalRule | None = None
    orchestration: Orchestration | None = None
    nested_budgets: bool = False
    context_blob: BlobRef | None = None


@dataclass(frozen=True, slots=True)
class SubmitTask:
    """Start a task, or add a subtask to a running tree.

    Attributes:
        root_task_id: The tree; equals the contract's task id for a root.
        contract: What to do.
        submitted_by: Who asks: a user or an arm.
    """

    schema_name: ClassVar[str] = "octolog.contract.SubmitTask"
    root_task_id: TaskId
    contract: TaskContract
    submitted_by: str


@dataclass(frozen=True, slots=True)
class CancelTask:
    """Stop a whole tree.

    Attributes:
        root_task_id: The tree.
        reason: Why, for the log.
        requested_by: Who asks.
    """

    schema_name: ClassVar[str] = "octolog.contract.CancelTask"
    root_task_id: TaskId
    reason: str
    requested_by: str


@dataclass(frozen=True, slots=True)
class ApproveTask:
    """Let a task that waits for a person go on.

    Attributes:
        root_task_id: The tree.
        task_id: The task that waits.
        approved_by: Who says so.
        comment: Why, for the log; the arm is told.
        number: Which of the task's requests for approval is meant, from 1; 0: the open one.
    """

    schema_name: ClassVar[str] = "octolog.contract.ApproveTask"
    root_task_id: TaskId
    task_id: TaskId
    approved_by: str
    comment: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True)
class DenyTask:
    """Stop a task that waits for a person.

    Attributes:
        root_task_id: The tree.
        task_id: The task that waits.
        denied_by: Who says so.
        reason: Why, for the log.
        number: Which of the task's requests for approval is meant, from 1; 0: the open one.
    """

    schema_name: ClassVar[str] = "octolog.contract.DenyTask"
    root_task_id: TaskId
    task_id: TaskId
    denied_by: str
    reason: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True)
class AmendBudget:
    """Replace the limits of a running tree.

    Attributes:
        root_task_id: The tree.
        limits: The new limits; none may lie below what is used or reserved.
        amended_by: Who says so.
        reason: Why, for the log.
    """

    schema_name: ClassVar[str] = "octolog.contract.AmendBudget"
    root_task_id: TaskId
    limits: Limits
    amended_by: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ExtendBudget:
    """Add to the limits of a running tree; what is not limited stays so.

    Attributes:
        root_task_id: The tree.
        request_id: Tells a repeat from another request; the sender chooses it.
        add: What is added to each limit.
        amended_by: Who says so.
        reason: Why, for the log.
    """

    schema_name: ClassVar[str] = "octolog.contract.ExtendBudget"
    root_task_id: TaskId
    request_id: str
    add: Amounts = NOTHING
    amended_by: str = ""
    reason: str = ""


ContractCommand: TypeAlias = SubmitTask | CancelTask | ApproveTask | DenyTask | AmendBudget | ExtendBudget
