"""What a task remembers of its orchestration. Tasks without any have none of this."""

from __future__ import annotations

from dataclasses import dataclass, field

from octolog.domain.assignment import FeedbackKind
from octolog.domain.contract import ApprovalRule, OnTimeout, Orchestration
from octolog.domain.facts import ApprovalReason
from octolog.domain.ids import TaskId
from octolog.domain.values import BlobRef


@dataclass(slots=True)
class Hold:
    """A request for approval that is open.

    Attributes:
        reason: Why a person is asked.
        on_timeout: What silence means.
        due_ms: When silence is an answer; None: never.
        about: The step or judge that led to it.
        question: What the person is asked.
    """

    reason: ApprovalReason
    on_timeout: OnTimeout
    due_ms: int | None
    about: TaskId | None
    question: str


@dataclass(slots=True)
class Told:
    """What the task's next attempt is told.

    Attributes:
        kind: Why there is another attempt.
        number: Its number of that kind.
        message: In words.
        failed: Criteria that were not met.
    """

    kind: FeedbackKind
    number: int
    message: str
    failed: tuple[str, ...] = ()


@dataclass(slots=True)
class Judged:
    """What a judge is given: the result of the task that it judges, as it was then.

    Attributes:
        task_id: The task that is judged.
        number: The verdict's number there.
    """

    task_id: TaskId
    number: int


@dataclass(slots=True)
class Flow:
    """A task's orchestration.

    Attributes:
        rule: What was asked for; None: nothing but approvals.
        gate: The approval that the task needs before it begins, until it has it.
        hold: The request that is open.
        told: What the next attempt is told.
        judges: Set when this task is a judge.
        approvals: Requests so far.
        refusals: Plans refused so far.
        judgings: Verdicts asked for so far.
        repairs: Repairs so far.
        replans: New plans so far.
        attempts_before: Attempts that count as no retries any more.
        accepted: True once the result may stand.
        failed: The step of its plan that failed last.
        fault: Code, category and message of that.
        result: What was judged last, as a joined output; empty: the task's own.
        result_blob: Claim check of it.
    """

    rule: Orchestration | None = None
    gate: ApprovalRule | None = None
    hold: Hold | None = None
    told: Told | None = None
    judges: Judged | None = None
    approvals: int = 0
    refusals: int = 0
    judgings: int = 0
    repairs: int = 0
    replans: int = 0
    attempts_before: int = 0
    accepted: bool = False
    failed: TaskId | None = None
    fault: tuple[str, str, str] = ("", "", "")
    result: str = ""
    result_blob: BlobRef | None = field(default=None)
