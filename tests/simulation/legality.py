"""Whether a program is legal, as the operators page says it: a second opinion, written separately."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from octolog.domain.operators import FailurePolicy, Operator, Program, Role
from octolog.domain.tasksystem import AccumulationFormat, AtomicTaskSubtype, FreshContext, TaskType

MAX_NESTING: Final = 32
MAX_TASKS: Final = 20_000
MAX_ID_CHARS: Final = 255

_STEP: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_INPUT: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_RESERVED: Final = re.compile(r"(recovery|decomposed|subtask)-[0-9]+|.*\.(argument|reduction)")


def children(program: Program, place: int, role: Role) -> list[int]:
    """Places of an operator's children of one role, in order."""
    return [at for at, op in enumerate(program) if op.parent == place and op.role is role]


def faults(program: Program, root_id: str, nesting: int = 0) -> list[str]:
    """Everything that is wrong with a program; empty: it is legal.

    Args:
        program: The program.
        root_id: The task that its root is.
        nesting: How deep its root stands already; 0 for a contract's.
    """
    found = list(_shape(program))
    if found:
        return found
    for place in range(len(program)):
        found += [f"[{place}] {fault}" for fault in _operator(program, place)]
    if found:
        return found
    for made, (task_id, depth) in enumerate(_made(program, 0, root_id, nesting + 1), 1):
        if made > MAX_TASKS:
            return ["too many tasks"]
        if depth > MAX_NESTING:
            return [f"{task_id[:40]}: nests too deep"]
        if len(task_id) > MAX_ID_CHARS:
            return [f"{task_id[:40]}: its id is too long"]
    return []


def _shape(program: Program) -> Iterator[str]:
    for place, op in enumerate(program):
        is_root = op.role is Role.ROOT
        if is_root != (place == 0) or (op.parent == -1) != is_root or not -1 <= op.parent < max(place, 1):
            yield f"[{place}] parent or role"
        if op.type is TaskType.UNKNOWN or op.role is Role.UNKNOWN:
            yield f"[{place}] type or role"
    if not program:
        yield "no operator"


def _operator(program: Program, place: int) -> Iterator[str]:
    op = program[place]
    atomic = op.type is TaskType.ATOMIC
    if not atomic and op.subtype is not AtomicTaskSubtype.NONE:
        yield "subtype on a compound operator"
    if op.subtype is AtomicTaskSubtype.UNKNOWN:
        yield "unknown subtype"
    if op.inherit_context and op.accumulate_data:
        yield "inherits and accumulates"
    if op.inherit_context and op.fresh_context is FreshContext.ENABLED:
        yield "inherits and is fresh"
    if op.fresh_context is FreshContext.UNKNOWN:
        yield "unknown freshness"
    if AccumulationFormat.UNKNOWN is op.accumulation_format or FailurePolicy.UNKNOWN is op.on_failure:
        yield "unknown policy"
    if place and (not _STEP.fullmatch(op.name) or _RESERVED.fullmatch(op.name)):
        yield "name"
    inputs = [given.name for given in op.inputs]
    if len(set(inputs)) < len(inputs):
        yield "two inputs of one name"
    if any(not _INPUT.fullmatch(name) or _RESERVED.fullmatch(name) for name in inputs):
        yield "input name"
    siblings = [child.name for child in program if child.parent == place]
    if len(set(siblings)) < len(siblings):
        yield "two children of one name"
    yield from _children(program, place)


def _children(program: Program, place: int) -> Iterator[str]:
    op = program[place]
    steps, arguments, inner, reduction = (
        len(children(program, place, role)) for role in (Role.STEP, Role.ARGUMENT, Role.INNER, Role.REDUCTION)
    )
    match op.type:
        case TaskType.ATOMIC:
            right = steps == inner == reduction == 0
        case TaskType.SEQUENTIAL:
            right = steps > 0 == inner == reduction == arguments
        case TaskType.MAP:
            right = reduction == 0 and ((steps > 0 and inner == 0) or (steps == 0 and inner == 1))
        case _:
            right = steps == 0 and inner == reduction == 1
    if not right:
        yield "children"
    takers = {given.name for given in op.inputs if not given.variable}
    if any(program[at].name not in takers for at in children(program, place, Role.ARGUMENT)):
        yield "argument without an input"


def _made(program: Program, place: int, task_id: str, depth: int) -> Iterator[tuple[str, int]]:
    """Every task a program makes, with its nesting."""
    yield task_id, depth
    if depth > MAX_NESTING:
        return
    for at, op in enumerate(program):
        if op.parent != place:
            continue
        for name in _names(program[place], op):
            yield from _made(program, at, f"{task_id}/{name}", depth + 1)


def _names(parent: Operator, op: Operator) -> list[str]:
    match op.role:
        case Role.ARGUMENT:
            return [f"{op.name}.argument"]
        case Role.INNER:
            return [given.name for given in parent.inputs]
        case Role.REDUCTION:
            return [f"{given.name}.reduction" for given in parent.inputs]
        case _:
            return [op.name]
