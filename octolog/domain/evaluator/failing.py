"""How a task of a program fails: what is stopped with it, what its operator knows, and who fails next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from octolog.domain import facts as f
from octolog.domain.evaluator import recovery
from octolog.domain.evaluator.history import shown, shown_results
from octolog.domain.evaluator.moves import Fail, Move
from octolog.domain.evaluator.places import (
    ended_children,
    is_decomposed,
    is_evaluated,
    is_leaf,
    is_subtask,
    nth_child,
    nth_id,
    operator_of,
    parent_of,
    program_of,
    total,
)
from octolog.domain.evaluator.state import Body, Fault, Op
from octolog.domain.ids import AttemptId, TaskId
from octolog.domain.json_text import canonical
from octolog.domain.operators import FailurePolicy, Operator, Role
from octolog.domain.task import ending
from octolog.domain.task.state import Node, Tree
from octolog.domain.tasksystem import AccumulationFormat, TaskType
from octolog.domain.values import Category, TaskError, TaskErrorType


def fail(tree: Tree, move: Fail, agenda: list[Move], at_ms: int) -> Iterator[f.Fact]:
    """Fail a task: stop what runs below it, say so, and see what it means to its parent."""
    node, fault = tree.nodes.get(move.task_id), move.fault
    if node is None:
        return
    parent = parent_of(tree, node)
    if parent is None or (node.op is None and not _has_program_above(tree, node)):
        yield from ending.fail_with(tree, node, fault, at_ms)
        return
    stopped = _attempts_below(tree, node)
    if stopped:
        for attempt_id in stopped:
            attempt = tree.attempts[attempt_id]
            reason = f"{node.task_id} failed"
            yield ending.stopped(attempt, f.Outcome.CANCELLED, "CANCELLED", reason, at_ms)
        yield from ending.check_budget(tree, at_ms)
        if tree.closed:
            return
    after = _before_the_end(parent, node, fault)
    yield f.TaskFailed(
        at_ms,
        node.task_id,
        fault.code,
        Category(fault.category),
        fault.message,
        fault.failed_step,
        tuple(ended_children(tree, node)),
        ending.used(tree),
        fault.details_json,
        fault.task_error,
    )
    if after is not None:
        agenda.append(after)
    elif is_evaluated(parent, node) and node.op is not None:
        yield from _after(tree, parent, node, node.op, fault, agenda, at_ms)


def of_map(tree: Tree, node: Node, body: Body, first: Fault) -> Fault:
    """The failure of a map whose children have all ended, or the first of which failed fast."""
    if node.op is None:
        return first
    places = ",".join(map(str, sorted(body.failed)))
    names = {place: _child_name(tree, node.op, place) for place in body.results}
    entries, cut = shown_results(body, names, full=_is_full(operator_of(tree, node.op)))
    said = f'"failed":[{places}],{_partial(entries)},"total":{total(tree, node.op)}'
    failed_step = nth_id(tree, node, node.op, min(body.failed))
    return replace(first, details_json="{" + said + _cut(cut) + "}", failed_step=failed_step)


def _has_program_above(tree: Tree, node: Node) -> bool:
    here: Node | None = node
    while here is not None:
        if here.op is not None:
            return True
        here = parent_of(tree, here)
    return False


def _attempts_below(tree: Tree, node: Node) -> list[AttemptId]:
    """Open attempts at a task and at what stands below it, in the order they were assigned."""
    if is_leaf(node):
        return [] if node.current is None else [node.current]
    return [
        attempt.attempt_id
        for attempt in tree.attempts.values()
        if _is_below(tree, attempt.task_id, node.task_id)
    ]


def _is_below(tree: Tree, task_id: TaskId, above: TaskId) -> bool:
    here = tree.nodes.get(task_id)
    while here is not None and here.task_id != above:
        here = parent_of(tree, here)
    return here is not None


def _before_the_end(parent: Node, node: Node, fault: Fault) -> Move | None:
    """What a parent does that is not told by its program: it fails too."""
    if is_subtask(parent, node.task_id):
        return Fail(parent.task_id, _of_subtask(node, fault))
    if not is_evaluated(parent, node):
        return Fail(parent.task_id, replace(fault, details_json="", failed_step=node.task_id))
    return None


def _of_subtask(node: Node, fault: Fault) -> Fault:
    """A failed subtask fails the task that asked for it; what was asked is in the log."""
    error = TaskError(TaskErrorType.TASK_FAILURE, fault.message, reason="subtask_failure")
    return replace(fault, task_error=error, details_json="", failed_step=node.task_id)


def _after(
    tree: Tree, parent: Node, node: Node, op: Op, fault: Fault, agenda: list[Move], at_ms: int
) -> Iterator[f.Fact]:
    """What a child's failure means to its operator."""
    if parent.op is None:
        return
    if op.recovery is not None:
        yield from recovery.next_or_fail(tree, parent, fault, agenda, at_ms)
        return
    body, operator, above = parent.op.body, operator_of(tree, parent.op), parent.op
    role = operator_of(tree, op).role
    fault = replace(fault, details_json="", failed_step=node.task_id)
    if body is None or role is Role.ARGUMENT or is_decomposed(parent, node.task_id):
        agenda.append(Fail(parent.task_id, fault))
    elif operator.type is TaskType.MAP:
        fast = operator.on_failure is FailurePolicy.FAIL_FAST
        if (fast or body.ended == total(tree, above)) and body.first is not None:
            agenda.append(Fail(parent.task_id, of_map(tree, parent, body, body.first)))
    elif body.history is not None:
        entries, cut = shown(body.history, full=_is_full(operator))
        said = f'"failed_step":{op.index},{_partial(entries)},"total_steps":{total(tree, above)}'
        agenda.append(Fail(parent.task_id, replace(fault, details_json="{" + said + _cut(cut) + "}")))
    else:
        agenda.append(
            Fail(parent.task_id, replace(fault, details_json=_of_reduce(tree, above, body, op.index)))
        )


def _of_reduce(tree: Tree, op: Op, body: Body, index: int) -> str:
    processed = ",".join(map(str, range(index)))
    return (
        f'{{"accumulator":{canonical(body.accumulator)},"failed_input":{index},'
        f'"processed_inputs":[{processed}],"total_inputs":{total(tree, op)}}}'
    )


def _child_name(tree: Tree, op: Op, place: int) -> str:
    step, input_name = nth_child(tree, op, place)
    return input_name or program_of(tree, op).operators[step].name


def _is_full(operator: Operator) -> bool:
    return operator.accumulation_format is AccumulationFormat.FULL_OUTPUT


def _partial(entries: Iterable[str]) -> str:
    return f'"partial_results":[{",".join(entries)}]'


def _cut(cut: bool) -> str:  # noqa: FBT001 -- one word of JSON
    return ',"truncated":true' if cut else ""
