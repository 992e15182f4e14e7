"""What follows when a task of a program begins, ends or fails: the evaluator's decisions, move by move."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from octolog.domain import facts as f
from octolog.domain.evaluator import failing
from octolog.domain.evaluator.environment import first_missing
from octolog.domain.evaluator.history import MAX_ARRAY_CHARS
from octolog.domain.evaluator.moves import Begin, Complete, Fail, Look, Move, Start
from octolog.domain.evaluator.places import (
    child_id,
    is_decomposed,
    is_evaluated,
    is_subtask,
    nth_child,
    nth_id,
    operator_of,
    parent_of,
    program_of,
    total,
)
from octolog.domain.evaluator.state import Body, Fault, Op, Phase
from octolog.domain.evaluator.text import MAX_FILLED_CHARS
from octolog.domain.ids import TaskId
from octolog.domain.json_text import quoted
from octolog.domain.operators import Operator, Role
from octolog.domain.orchestration import judging
from octolog.domain.task import ending
from octolog.domain.task.state import Node, NodeStatus, Tree
from octolog.domain.tasksystem import TaskType
from octolog.domain.values import Category, TaskError, TaskErrorType


def run(tree: Tree, first: Move, at_ms: int) -> Iterator[f.Fact]:
    """Do a move, and all that it leads to."""
    agenda = [first]
    while agenda and not tree.closed:
        move = agenda.pop()
        match move:
            case Start():
                yield from _start(tree, move, agenda, at_ms)
            case Fail():
                yield from failing.fail(tree, move, agenda, at_ms)
            case Begin(task_id=task_id):
                _begin(tree, task_id, agenda)
            case Look():
                _look(tree, move, agenda)
            case Complete(task_id=task_id):
                yield from _complete(tree, task_id, agenda, at_ms)
            case _:
                assert_never(move)


def root_of(task_id: TaskId, parent: TaskId | None) -> Start:
    """The start of a program whose root is `task_id`."""
    return Start(task_id, parent, task_id, 0)


def _start(tree: Tree, move: Start, agenda: list[Move], at_ms: int) -> Iterator[f.Fact]:
    loaded = tree.programs.get(move.program)
    if loaded is None or (move.parent is not None and move.parent not in tree.nodes):
        return  # its parent was stopped in the meantime
    kind = loaded.operators[move.position].type
    yield f.OperatorStarted(
        at_ms, move.task_id, move.parent, move.program, move.position, kind, move.input_name, move.index
    )
    node = tree.nodes[move.task_id]
    missing = first_missing(tree, node)
    if missing is not None:
        message = f"Missing required input: {missing}"
        error = TaskError(TaskErrorType.TASK_FAILURE, message, reason="input_validation")
        agenda.append(Fail(move.task_id, Fault("TASK_FAILURE", Category.VALIDATION, message, error)))
        return
    arguments = loaded.arguments.get(move.position)
    if arguments is None:
        agenda.append(Begin(move.task_id))
        return
    places = enumerate(arguments.values())
    moves = [_child(loaded.operators[place], place, node, move.program, n) for n, place in places]
    agenda += reversed(moves)


def _child(
    operator: Operator, place: int, parent: Node, program: TaskId, index: int, input_name: str = ""
) -> Start:
    task_id = child_id(parent.task_id, operator, input_name)
    return Start(task_id, parent.task_id, program, place, index, input_name)


def _begin(tree: Tree, task_id: TaskId, agenda: list[Move]) -> None:
    node = tree.nodes.get(task_id)
    if node is None or node.op is None:
        return
    op = node.op
    if op.too_long:
        agenda.append(Fail(task_id, too_large(MAX_FILLED_CHARS)))
    elif operator_of(tree, op).type is TaskType.MAP and total(tree, op):
        agenda += [_nth(tree, node, op, index) for index in reversed(range(total(tree, op)))]
    elif op.body is not None:
        agenda.append(_nth(tree, node, op, 0) if total(tree, op) else Complete(task_id))


def too_large(most: int) -> Fault:
    """The failure of a task that would be told more than anyone may be."""
    return Fault(
        "INPUT_TOO_LARGE", Category.VALIDATION, f"filled in, its texts are longer than {most} characters"
    )


def _nth(tree: Tree, node: Node, op: Op, index: int) -> Start:
    """The start of a step, or of the inner task for an input."""
    place, name = nth_child(tree, op, index)
    return _child(program_of(tree, op).operators[place], place, node, op.program, index, name)


def _look(tree: Tree, move: Look, agenda: list[Move]) -> None:
    node = tree.nodes.get(move.task_id)
    if node is None or node.op is None:
        return
    op, body = node.op, node.op.body
    if move.role is Role.ARGUMENT:
        if op.phase is Phase.BODY:
            agenda.append(Begin(move.task_id))
    elif body is None:
        return
    elif move.role is Role.INNER and operator_of(tree, op).type is TaskType.REDUCE:
        loaded = program_of(tree, op)
        place, name = loaded.reduction[op.position], loaded.operators[op.position].inputs[body.ended].name
        agenda.append(_child(loaded.operators[place], place, node, op.program, body.ended, name))
    elif body.ended == total(tree, op):
        if body.first is not None:
            agenda.append(Fail(move.task_id, failing.of_map(tree, node, body, body.first)))
        else:
            agenda.append(Complete(move.task_id))
    elif operator_of(tree, op).type is not TaskType.MAP:
        agenda.append(_nth(tree, node, op, body.ended))


def _complete(tree: Tree, task_id: TaskId, agenda: list[Move], at_ms: int) -> Iterator[f.Fact]:
    node = tree.nodes.get(task_id)
    if node is None or node.open_children:
        return
    if node.flow is not None and judging.is_wanted(node):
        yield judging.started(tree, node, at_ms)
        return
    parent = parent_of(tree, node)
    role = Role.UNKNOWN if node.op is None else operator_of(tree, node.op).role
    after = _after(parent, node, role)
    yield (
        ending.completed(tree, node, at_ms)
        if node.op is None or node.planned
        else _outcome(tree, node, at_ms)
    )
    if after is not None:
        agenda.append(after)
    elif parent is not None and not is_evaluated_now(parent) and _is_done(tree, parent):
        agenda.append(Complete(parent.task_id))


def is_evaluated_now(node: Node) -> bool:
    """Whether a task waits for its program or a subtask rather than for plain children."""
    return node.spawn is not None and node.spawn.waiting


def _after(parent: Node | None, node: Node, role: Role) -> Move | None:
    """The move that a child's completion asks for; None: its parent may be done with it."""
    if (
        parent is None
        or parent.op is None
        or not is_evaluated(parent, node)
        or is_subtask(parent, node.task_id)
    ):
        return None
    if node.op is not None and (node.op.recovery is not None or is_decomposed(parent, node.task_id)):
        return None
    return Look(parent.task_id, role)


def _is_done(tree: Tree, node: Node) -> bool:
    """Whether a task's own work is done, so that it ends with the last of what was submitted under it."""
    if node.status is not NodeStatus.WAITING or node.open_children:
        return False
    op = node.op
    if op is None or op.phase is Phase.DONE:
        return True
    if op.phase is not Phase.BODY or op.open:
        return False
    if op.body is None:
        return node.planned or node.output_of is not None
    return op.body.ended == total(tree, op) and op.body.first is None


def _outcome(tree: Tree, node: Node, at_ms: int) -> f.TaskCompleted:
    """A task of a program has its output; only what no attempt gave, or the root's, is said again."""
    op = node.op
    if op is not None and op.body is not None and operator_of(tree, op).type is TaskType.MAP:
        return f.TaskCompleted(at_ms, node.task_id, None, _array(tree, node, op, op.body), None)
    said = node.parent is None or node.output_of is None
    output, blob = (node.output, node.output_blob) if said else ("", None)
    return f.TaskCompleted(at_ms, node.task_id, node.output_of, output, blob)


def _array(tree: Tree, node: Node, op: Op, body: Body) -> str:
    places = range(total(tree, op))
    if not body.is_wide and body.result_chars < MAX_ARRAY_CHARS:
        return "[" + ",".join(body.results[place] for place in places) + "]"
    names = (nth_id(tree, node, op, place) for place in places)
    return "[" + ",".join(f'{{"task_id":{quoted(name)}}}' for name in names) + "]"
