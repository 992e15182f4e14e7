"""Asking a person, and what follows from the answer or from silence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from octolog.domain import facts as f
from octolog.domain.contract import ApproveTask, DenyTask, OnTimeout
from octolog.domain.errors import InvalidContract
from octolog.domain.ids import TaskId
from octolog.domain.task.state import Node, NodeStatus, Tree
from octolog.domain.values import Category

MAX_APPROVALS: Final = 10
"""Requests that one task may make: an arm that asks for ever is stopped."""

MAX_QUESTION_CHARS: Final = 2_000


def ask_for_held(tree: Tree, at_ms: int) -> Iterator[f.Fact]:
    """Ask for every task that became ready behind a gate."""
    for task_id in tuple(tree.unasked):
        node = tree.nodes[task_id]
        if node.flow is None or node.flow.gate is None:
            continue
        gate = node.flow.gate
        due_ms = None if gate.timeout_ms is None else at_ms + gate.timeout_ms
        question = gate.question or node.spec.goal[:MAX_QUESTION_CHARS]
        number = node.flow.approvals + 1
        reason = f.ApprovalReason.BEFORE_START
        yield f.ApprovalRequested(
            at_ms, task_id, number, reason, question, gate.on_timeout, due_ms, about=None
        )


def requested(
    node: Node, reason: f.ApprovalReason, question: str, at_ms: int, about: TaskId | None = None
) -> f.ApprovalRequested:
    """The fact that a task waits for a person, by the task's own rule where it has one."""
    rule = None if node.flow is None else node.flow.rule
    timeout_ms = None if rule is None else rule.approval_timeout_ms
    return f.ApprovalRequested(
        at_ms,
        node.task_id,
        1 if node.flow is None else node.flow.approvals + 1,
        reason,
        question[:MAX_QUESTION_CHARS],
        OnTimeout.DENY if rule is None else rule.on_timeout,
        None if timeout_ms is None else at_ms + timeout_ms,
        about,
    )


def answered(tree: Tree, command: ApproveTask | DenyTask, at_ms: int) -> f.ApprovalDecided:
    """The fact that a person decided.

    Raises:
        InvalidContract: The task waits for nobody, or another request is open by now.
    """
    node = tree.nodes.get(command.task_id)
    if node is None or node.flow is None or node.flow.hold is None or node.status is not NodeStatus.HELD:
        raise InvalidContract("NOTHING_TO_APPROVE", "task_id", f"{command.task_id} waits for nobody")
    number = node.flow.approvals
    if command.number not in (0, number):
        message = f"request {command.number} of {command.task_id} is decided; {number} is open"
        raise InvalidContract("ALREADY_DECIDED", "number", message)
    approved = isinstance(command, ApproveTask)
    who, why = (
        (command.approved_by, command.comment)
        if isinstance(command, ApproveTask)
        else (command.denied_by, command.reason)
    )
    return f.ApprovalDecided(at_ms, node.task_id, number, approved, who, why, timed_out=False)


def timed_out(node: Node, at_ms: int) -> f.ApprovalDecided | None:
    """The fact that silence decided; None: it is not time."""
    flow = node.flow
    if flow is None or flow.hold is None or flow.hold.due_ms is None or at_ms < flow.hold.due_ms:
        return None
    approved = flow.hold.on_timeout is OnTimeout.APPROVE
    return f.ApprovalDecided(
        at_ms, node.task_id, flow.approvals, approved, "", "nobody decided in time", timed_out=True
    )


def failure(node: Node, decided: f.ApprovalDecided) -> tuple[str, Category, str]:
    """Code, category and message of the failure that a denial is."""
    hold = None if node.flow is None else node.flow.hold
    if decided.timed_out and hold is not None and hold.on_timeout is OnTimeout.FAIL:
        return "APPROVAL_TIMEOUT", Category.TIMEOUT, f"{node.task_id}: nobody decided in time"
    who = "nobody decided in time" if decided.timed_out else f"denied by {decided.decided_by}"
    why = "" if decided.timed_out or not decided.comment else f": {decided.comment}"
    return "DENIED", Category.AUTHORIZATION, f"{node.task_id}: {who}{why}"
