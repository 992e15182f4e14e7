"""Where a task of a program stands: its operator, what it is to its parent, and the ids of what it makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from octolog.domain.evaluator.program import Loaded
from octolog.domain.evaluator.state import Op, Phase
from octolog.domain.ids import TaskId
from octolog.domain.operators import ATOMIC, Operator, Role
from octolog.domain.tasksystem import TaskType

if TYPE_CHECKING:
    from octolog.domain.task.state import Node, Tree

_NOTHING: Final = Loaded((), "{}")


def program_of(tree: Tree, op: Op) -> Loaded:
    """The program a task stands in."""
    return tree.programs.get(op.program, _NOTHING)


def operator_of(tree: Tree, op: Op) -> Operator:
    """The operator a task evaluates; of a recovery that of the failed task."""
    try:
        return tree.programs[op.program].operators[op.position]
    except LookupError:  # a history that never was
        return ATOMIC


def parent_of(tree: Tree, node: Node) -> Node | None:
    """The task a task is part of."""
    return tree.nodes.get(node.parent) if node.parent is not None else None


def child_id(parent: TaskId, operator: Operator, input_name: str = "") -> TaskId:
    """The id of a child: by its name, or by the input it is made for."""
    match operator.role:
        case Role.ARGUMENT:
            return TaskId(f"{parent}/{operator.name}.argument")
        case Role.INNER:
            return TaskId(f"{parent}/{input_name}")
        case Role.REDUCTION:
            return TaskId(f"{parent}/{input_name}.reduction")
        case _:
            return TaskId(f"{parent}/{operator.name}")


def recovery_id(task_id: TaskId, number: int) -> TaskId:
    """The id of a recovery."""
    return TaskId(f"{task_id}/recovery-{number}")


def decomposed_id(task_id: TaskId, number: int) -> TaskId:
    """The id of the root of the program that a recovery gave."""
    return TaskId(f"{task_id}/decomposed-{number}")


def subtask_id(task_id: TaskId, number: int) -> TaskId:
    """The id of a subtask that an arm asked for."""
    return TaskId(f"{task_id}/subtask-{number}")


def is_subtask(parent: Node, task_id: TaskId) -> bool:
    """Whether a task is the subtask that its parent waits for."""
    spawn = parent.spawn
    return spawn is not None and spawn.waiting and task_id == subtask_id(parent.task_id, spawn.number)


def is_decomposed(parent: Node, task_id: TaskId) -> bool:
    """Whether a task is the root of the program that is evaluated in its parent's place."""
    op = parent.op
    return (
        op is not None
        and op.phase in (Phase.DECOMPOSED, Phase.DONE)
        and op.trouble is not None
        and task_id == decomposed_id(parent.task_id, op.trouble.number)
    )


def is_leaf(node: Node) -> bool:
    """Whether nothing stands below a task."""
    return not node.children and node.spawn is None and (node.op is None or not node.op.open)


def is_evaluated(parent: Node, node: Node) -> bool:
    """Whether a task is its parent's by the parent's program; else it is a plan's step, or was submitted."""
    return (
        parent.op is not None
        and node.op is not None
        and (
            node.op.recovery is not None
            or node.op.position > 0
            or is_decomposed(parent, node.task_id)
            or is_subtask(parent, node.task_id)
        )
    )


def nth_child(tree: Tree, op: Op, index: int) -> tuple[int, str]:
    """Place and input of a compound operator's child: of its step, or of its inner task for an input."""
    loaded = program_of(tree, op)
    steps = loaded.steps.get(op.position)
    if steps is not None:
        return steps[index], ""
    return loaded.inner[op.position], operator_of(tree, op).inputs[index].name


def nth_id(tree: Tree, node: Node, op: Op, index: int) -> TaskId:
    """The id of that child."""
    place, input_name = nth_child(tree, op, index)
    return child_id(node.task_id, program_of(tree, op).operators[place], input_name)


def ended_children(tree: Tree, node: Node) -> list[TaskId]:
    """Children of a compound operator that were completed, in their order; of a reduce the reductions."""
    op = node.op
    if op is None or op.body is None:
        return []
    body, loaded = op.body, program_of(tree, op)
    if body.results:
        return [nth_id(tree, node, op, place) for place in sorted(body.results)]
    if op.position in loaded.reduction:
        reduction = loaded.operators[loaded.reduction[op.position]]
        names = [given.name for given in operator_of(tree, op).inputs[: body.ended]]
        return [child_id(node.task_id, reduction, name) for name in names]
    if body.history is None:
        return []
    return [nth_id(tree, node, op, place) for place in range(body.ended)]


def total(tree: Tree, op: Op) -> int:
    """Children that a compound operator has in all: steps, or one for each input."""
    steps = program_of(tree, op).steps.get(op.position)
    if steps is not None:
        return len(steps)
    operator = operator_of(tree, op)
    return 0 if operator.type is TaskType.ATOMIC else len(operator.inputs)


def around(tree: Tree, node: Node) -> Node | None:
    """The task of the operator around a task's, through recovered programs and subtasks; None at the outermost."""
    parent = parent_of(tree, node)
    if parent is None or parent.op is None:
        return None
    return parent if is_evaluated(parent, node) else None
