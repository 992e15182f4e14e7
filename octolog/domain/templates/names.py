"""Names that nothing in a document binds: found before anything runs, as far as they can be."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import Final

from octolog.domain.evaluator.text import names_in
from octolog.domain.operators import Operator, Program, Role
from octolog.domain.tasksystem import TaskType

_BY_ROLE: Final = {
    Role.INNER: ("current_input", "input_name"),
    Role.REDUCTION: ("current_result", "accumulator", "original_input", "input_name"),
}
"""What a map or reduce binds for what it makes. Source: docs/reference/operators.md."""


def unbound(program: Program) -> list[tuple[Operator, str]]:
    """Operators with the names that only a contract's context can bind for them, in document order, each once."""
    children = {(each.parent, each.role, each.name): place for place, each in enumerate(program)}
    inputs = [frozenset(given.name for given in each.inputs) for each in program]
    found: dict[tuple[int, str], Operator] = {}
    for place, operator in enumerate(program):
        for name, inside in _wanted(operator, place, children):
            if not _is_bound(program, children, inputs, place, name, inside=inside):
                found[place, name] = operator
    return [(operator, name) for (_, name), operator in found.items()]


def _wanted(
    operator: Operator, place: int, children: dict[tuple[int, Role, str], int]
) -> Iterator[tuple[str, bool]]:
    """Each name that an operator needs, and whether its own inputs may bind it."""
    for given in operator.inputs:
        if (place, Role.ARGUMENT, given.name) not in children:
            for name in (given.variable,) if given.variable else names_in(given.text):
                yield name, False
    for text in (operator.initial_value, operator.instructions):
        for name in names_in(text):
            yield name, True


def _is_bound(
    program: Program,
    children: dict[tuple[int, Role, str], int],
    inputs: Sequence[Container[str]],
    place: int,
    name: str,
    *,
    inside: bool,
) -> bool:
    """Whether a name is found on the way out from an operator."""
    here = place
    while True:
        operator = program[here]
        if inside and name in inputs[here]:
            return True
        if here == 0:
            return False
        if name in _BY_ROLE.get(operator.role, ()):
            return True
        outer = program[operator.parent]
        if outer.type is TaskType.SEQUENTIAL:
            earlier = children.get((operator.parent, Role.STEP, name))
            if earlier is not None and earlier < here:
                return True
        # An argument is evaluated in the environment around its operator.
        here, inside = operator.parent, operator.role is not Role.ARGUMENT
