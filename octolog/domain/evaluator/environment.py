"""Environments: what a name stands for, seen from a task. Looked up outward through the tasks that are open."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from octolog.domain.evaluator.places import is_decomposed, is_subtask, operator_of, parent_of, program_of
from octolog.domain.evaluator.text import filled, names_in
from octolog.domain.operators import OperatorInput, Role
from octolog.domain.tasksystem import TaskType

if TYPE_CHECKING:
    from octolog.domain.task.state import Node, Tree


def inside(tree: Tree, node: Node, name: str) -> str | None:
    """What a name stands for inside a task: its inputs first, then outward. None: nothing."""
    found = _own(tree, node, name)
    return outside(tree, node, name) if found is None else found


def outside(tree: Tree, node: Node, name: str) -> str | None:
    """What a name stands for around a task."""
    op = node.op
    parent = parent_of(tree, node)
    if op is None:
        return None
    if op.position == 0:
        return _outermost(tree, node, parent, name)
    if parent is None:
        return None
    if operator_of(tree, op).role is Role.ARGUMENT:
        return outside(tree, parent, name)
    found = _bound_for(tree, node, parent, name)
    return inside(tree, parent, name) if found is None else found


def values(tree: Tree, node: Node) -> dict[str, str]:
    """The values of a task's inputs that are no plain literals; ARGUMENTs bring their own.

    Raises:
        InputTooLarge: When one grows beyond all bounds.
    """
    op = node.op
    if op is None:
        return {}
    arguments = program_of(tree, op).arguments.get(op.position, {})
    look_up = partial(outside, tree, node)
    found: dict[str, str] = {}
    for given in operator_of(tree, op).inputs:
        if given.name in arguments:
            continue
        if given.variable:
            found[given.name] = look_up(given.variable) or ""
        elif "{{" in given.text:
            found[given.name] = filled(given.text, look_up)
    return found


def input_value(node: Node, given: OperatorInput) -> str:
    """The value of an input of a task that has begun."""
    return given.text if node.op is None else node.op.bound.get(given.name, given.text)


def first_missing(tree: Tree, node: Node) -> str | None:
    """The first name that a task wants and nothing binds."""
    op = node.op
    if op is None:
        return None
    loaded, operator = program_of(tree, op), operator_of(tree, op)
    arguments, inputs = loaded.arguments.get(op.position, {}), loaded.inputs.get(op.position, {})
    for given in operator.inputs:
        if given.name in arguments or not (given.variable or "{{" in given.text):
            continue
        for name in (given.variable,) if given.variable else names_in(given.text):
            if outside(tree, node, name) is None:
                return name
    text = operator.initial_value if operator.type is TaskType.REDUCE else ""
    text = operator.instructions if operator.type is TaskType.ATOMIC else text
    for name in names_in(text):
        if name not in inputs and outside(tree, node, name) is None:
            return name
    return None


def bound_for(tree: Tree, node: Node) -> tuple[tuple[str, str], ...]:
    """What the map or reduce around a task binds for it, by name."""
    parent = parent_of(tree, node)
    if node.op is None or parent is None or not node.op.input_name:
        return ()
    names = ("current_input", "current_result", "accumulator", "original_input", "input_name")
    found = ((name, _bound_for(tree, node, parent, name)) for name in names)
    return tuple((name, value) for name, value in found if value is not None)


def _own(tree: Tree, node: Node, name: str) -> str | None:
    op = node.op
    if op is None:
        return None
    found = op.bound.get(name)
    if found is not None:
        return found
    loaded = program_of(tree, op)
    place = loaded.inputs.get(op.position, {}).get(name)
    if place is None or name in loaded.arguments.get(op.position, {}):
        return None
    return operator_of(tree, op).inputs[place].text


def _bound_for(tree: Tree, node: Node, parent: Node, name: str) -> str | None:
    op, above = node.op, parent.op
    if op is None or above is None or not op.input_name:
        return None
    if name == "input_name":
        return op.input_name
    is_reduction = operator_of(tree, op).role is Role.REDUCTION
    if name == ("original_input" if is_reduction else "current_input"):
        return _own(tree, parent, op.input_name)
    if is_reduction and above.body is not None:
        if name == "current_result":
            return above.body.current
        if name == "accumulator":
            return above.body.accumulator
    return None


def _outermost(tree: Tree, node: Node, parent: Node | None, name: str) -> str | None:
    """Around a program: its context; around one that a recovery gave, the failed task's inputs before that."""
    if node.op is None:
        return None
    if parent is None or parent.op is None or not is_decomposed(parent, node.task_id):
        is_root = parent is None or not is_subtask(parent, node.task_id)
        return program_of(tree, node.op).context.get(name) if is_root else None
    found = _own(tree, parent, name)
    grandparent = parent_of(tree, parent)
    if found is None and grandparent is not None:
        found = _bound_for(tree, parent, grandparent, name)
    if found is not None:
        return found
    root = tree.nodes.get(parent.op.program)
    return None if root is None else _outermost(tree, root, parent_of(tree, root), name)
