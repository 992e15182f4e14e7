"""How tasks end: completed upwards, failed as a whole, out of budget."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from octolog.domain import facts as f
from octolog.domain.bounds import MAX_JSON_BYTES
from octolog.domain.evaluator.places import ended_children
from octolog.domain.evaluator.state import Fault
from octolog.domain.ids import TaskId
from octolog.domain.json_text import parse, quoted
from octolog.domain.task.ledger import Vector, add, amounts
from octolog.domain.task.state import Attempt, Node, NodeStatus, Tree
from octolog.domain.values import Amounts, Category

OVER: Final = (NodeStatus.COMPLETED, NodeStatus.FAILED, NodeStatus.CANCELLED)
_FAILED_OR_STOPPED: Final = (NodeStatus.FAILED, NodeStatus.CANCELLED)
_WAITING: Final = NodeStatus.WAITING


def complete(tree: Tree, node: Node, at_ms: int) -> Iterator[f.Fact]:
    """Complete a task whose own work is done, and every ancestor that waited for it alone."""
    here: Node | None = node
    while here is not None and here.open_children == 0:
        yield completed(tree, here, at_ms)
        parent = tree.nodes.get(here.parent) if here.parent is not None else None
        here = parent if parent is not None and parent.status is _WAITING else None


def fail(tree: Tree, node: Node, code: str, category: Category, message: str, at_ms: int) -> Iterator[f.Fact]:
    """Fail a task, and with it the tree: what still runs is cancelled, what was completed stays citable."""
    yield from fail_with(tree, node, Fault(code, category, message), at_ms)


def fail_with(tree: Tree, node: Node, fault: Fault, at_ms: int) -> Iterator[f.Fact]:
    """As `fail`, with all that is known of the fault."""
    yield from cancel_attempts(tree, f"{node.task_id} failed", at_ms)
    category, root = Category(fault.category), node.task_id == tree.root_id
    if not root:
        yield f.TaskFailed(at_ms, node.task_id, fault.code, category, fault.message, None, (), used(tree))
    yield f.TaskFailed(
        at_ms,
        tree.root_id,
        fault.code,
        category,
        fault.message,
        fault.failed_step if root else node.task_id,
        completed_steps(tree),
        used(tree),
        fault.details_json,
        fault.task_error,
    )


def check_budget(tree: Tree, at_ms: int) -> Iterable[f.Fact]:
    """Warn of what is nearly spent; end the tree when something is overdrawn."""
    return () if tree.closed or not tree.ledger.is_strained() else _budget_checked(tree, at_ms)


def _budget_checked(tree: Tree, at_ms: int) -> Iterator[f.Fact]:
    for resource, spent, limit in tree.ledger.warnings_due():
        yield f.BudgetWarned(at_ms, resource, spent, limit)
    overdrawn = tree.ledger.overdrawn()
    if overdrawn is not None:
        yield f.BudgetExhausted(at_ms, *overdrawn)
        resource, spent, limit = overdrawn
        yield from exhaust(tree, f"{resource.lower()}: {spent} used of {limit}", at_ms)


def category_of(ended: f.AttemptEnded) -> Category:
    """What kind of fault ended an attempt."""
    silent = ended.outcome in (f.Outcome.TIMED_OUT, f.Outcome.LOST)
    return Category.TIMEOUT if silent else Category.INTERNAL


def exhaust(tree: Tree, message: str, at_ms: int) -> Iterator[f.Fact]:
    """End the tree because its budget is spent. Never retried, never decomposed."""
    root = tree.nodes[tree.root_id]
    yield from fail(tree, root, "BUDGET_EXCEEDED", Category.RESOURCE_EXHAUSTED, message, at_ms)


def cancel_attempts(tree: Tree, reason: str, at_ms: int) -> Iterator[f.Fact]:
    """End every open attempt, in the order they were assigned."""
    for attempt in list(tree.attempts.values()):
        yield stopped(attempt, f.Outcome.CANCELLED, "CANCELLED", reason, at_ms)


def stopped(attempt: Attempt, outcome: f.Outcome, code: str, reason: str, at_ms: int) -> f.AttemptEnded:
    """The end of an attempt nobody reported on: charged its known use, and at most what its intents prove."""
    announced: Vector = (0, 0, 0, 0)
    for intent in attempt.intents.values():
        announced = add(announced, intent)
    charged = add(add(attempt.used, announced), (0, elapsed(attempt, at_ms), 0, 0))
    return f.AttemptEnded(
        at_ms=at_ms,
        task_id=attempt.task_id,
        attempt_id=attempt.attempt_id,
        arm_id=attempt.arm_id,
        outcome=outcome,
        settled=amounts(charged),
        unknown=amounts(announced),
        output="",
        output_blob=None,
        confidence=0.0,
        execution_time_ms=attempt.timeout_ms if outcome is f.Outcome.TIMED_OUT else 0,
        error=reason,
        error_code=code,
        retryable=outcome is not f.Outcome.CANCELLED,
        task_error=None,
        provenance=None,
    )


def elapsed(attempt: Attempt, at_ms: int) -> int:
    """Working time charged: from assignment to now, and never beyond the time reserved for it."""
    passed = max(0, at_ms - attempt.assigned_ms)
    return min(passed, attempt.reserved[1]) if attempt.reserved[1] else passed


def completed_steps(tree: Tree) -> tuple[TaskId, ...]:
    """Tasks completed so far, in the order they joined the tree; of programs what their open operators hold."""
    plain = (
        node.task_id
        for node in tree.nodes.values()
        if node.status is NodeStatus.COMPLETED and (node.flow is None or node.flow.judges is None)
    )
    if not tree.programs:
        return tuple(plain)
    return (*plain, *(task_id for node in tree.nodes.values() for task_id in ended_children(tree, node)))


def used(tree: Tree) -> Amounts:
    """What the tree used in all."""
    return amounts(tree.ledger.used)


def completed(tree: Tree, node: Node, at_ms: int) -> f.TaskCompleted:
    """A task that reached its goal; of a planned one with what its last steps gave."""
    is_root = node.parent is None
    if not node.planned:
        output, blob = (node.output, node.output_blob) if is_root else ("", None)
        return f.TaskCompleted(at_ms, node.task_id, node.output_of, output, blob)
    last = last_steps(tree, node)
    if len(last) == 1:
        only = last[0]
        return f.TaskCompleted(at_ms, node.task_id, only.output_of, only.output, only.output_blob)
    return f.TaskCompleted(at_ms, node.task_id, None, _joined(last), None)


def last_steps(tree: Tree, node: Node) -> list[Node]:
    """Steps whose outputs make the task's: completed, and no step that was done depends on them."""
    steps = (tree.nodes[child] for child in node.children)
    return [
        step
        for step in steps
        if step.status not in _FAILED_OR_STOPPED
        and all(tree.nodes[task_id].status in _FAILED_OR_STOPPED for task_id in step.dependents)
    ]


def _joined(last: list[Node]) -> str:
    """The outputs of several tasks as one JSON object, by name; where that is too large, where to find them."""
    names = [node.spec.step_id or node.task_id for node in last]
    if len(set(names)) < len(names):
        names = [node.task_id for node in last]
    outputs = dict(zip(names, map(_output, last), strict=True))
    if sum(map(len, outputs.values())) > MAX_JSON_BYTES:
        outputs = {
            name: f'{{"attempt_id":{quoted(node.output_of or "")}}}'
            for name, node in zip(names, last, strict=True)
        }
    return "{" + ",".join(f"{quoted(name)}:{outputs[name]}" for name in sorted(outputs)) + "}"


def _output(node: Node) -> str:
    """A task's output as JSON: as the arm wrote it, or as a JSON string when that is none."""
    if node.output_blob is not None:
        return f'{{"sha256":{quoted(node.output_blob.sha256)},"size_bytes":{node.output_blob.size_bytes}}}'
    if not node.output:
        return "null"
    try:
        parse(node.output)
    except ValueError:
        return quoted(node.output)
    return node.output.strip()
