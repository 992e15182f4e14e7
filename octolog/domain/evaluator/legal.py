"""Which programs are legal: every fault a VALIDATION_ERROR with its path, found in one pass before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from octolog.domain.bounds import (
    check_between,
    check_criteria,
    check_fraction,
    check_json,
    check_limits,
    check_routing,
    check_timeout,
)
from octolog.domain.errors import InvalidContract
from octolog.domain.evaluator.outputs import OUTPUT_TYPES
from octolog.domain.evaluator.text import is_input_name, is_reserved
from octolog.domain.ids import MAX_TASK_ID_LENGTH, TaskId, is_step_id
from octolog.domain.operators import FailurePolicy, Operator, Program, Role
from octolog.domain.tasksystem import AccumulationFormat, AtomicTaskSubtype, FreshContext, TaskType

CODE: Final = "VALIDATION_ERROR"
MAX_NESTING: Final = 32
MAX_TASKS: Final = 20_000
"""Tasks that a program may make, an INNER and a REDUCTION counted once for each input."""

MAX_TEXT_CHARS: Final = 256 * 1024
_MAX_GOAL_CHARS: Final = 10_000
_MAX_MODEL_CHARS: Final = 255
_SHOWN_CHARS: Final = 64


@dataclass(slots=True)
class _Family:
    """What stands under an operator."""

    names: set[str] = field(default_factory=set[str])
    steps: int = 0
    arguments: int = 0
    inner: int = 0
    reduction: int = 0


def check_program(path: str, program: Program, root: TaskId, nesting: int = 0) -> None:
    """Raise InvalidContract for the first rule a program breaks.

    Args:
        path: Of the program in what bears it.
        program: The program.
        root: The task that its root operator is.
        nesting: Operators around its root; 0 for a contract's.
    """
    if not program or len(program) > MAX_TASKS:
        raise InvalidContract(CODE, path, f"{len(program)} operators; 1 to {MAX_TASKS}")
    families = [_Family() for _ in program]
    for place, operator in enumerate(program):
        at = f"{path}[{place}]"
        _check_place(at, place, operator)
        _check_operator(at, operator, named=place > 0)
        if place:
            _join(at, operator, families[operator.parent])
    for place, operator in enumerate(program):
        _check_family(f"{path}[{place}]", operator, families[place])
    _check_size(path, program, root, nesting)


def broken_rules(path: str, program: Program, root: TaskId, nesting: int = 0) -> list[InvalidContract]:
    """Everything that can be said against a program that `check_program` refuses, its own reason the first.

    Args:
        path: As there.
        program: As there.
        root: As there.
        nesting: As there.
    """
    found: dict[str, InvalidContract] = {}

    def attempt(check: Callable[[], None]) -> None:
        try:
            check()
        except InvalidContract as broken:
            found.setdefault(broken.field, broken)

    attempt(lambda: check_program(path, program, root, nesting))
    for place, operator in enumerate(program[:MAX_TASKS]):
        at = f"{path}[{place}]"
        for check in (_check_modes, _check_texts, _check_inputs, _check_bounds):
            attempt(partial(check, at, operator))
    return list(found.values())


def _check_place(at: str, place: int, operator: Operator) -> None:
    if (operator.role is Role.ROOT) != (place == 0):
        raise InvalidContract(CODE, f"{at}.role", "exactly the first operator is the ROOT")
    if operator.role is Role.UNKNOWN:
        raise InvalidContract(CODE, f"{at}.role", "is none of ROOT, STEP, ARGUMENT, INNER, REDUCTION")
    if operator.parent != -1 if place == 0 else not 0 <= operator.parent < place:
        raise InvalidContract(CODE, f"{at}.parent", f"{operator.parent} is no place before its own")


def _check_operator(at: str, operator: Operator, *, named: bool) -> None:
    if named and (not is_step_id(operator.name) or is_reserved(operator.name)):
        raise InvalidContract(CODE, f"{at}.name", f"{operator.name[:_SHOWN_CHARS]!r} is no name of a step")
    if operator.type is TaskType.UNKNOWN:
        raise InvalidContract(CODE, f"{at}.type", "is none of ATOMIC, SEQUENTIAL, MAP, REDUCE")
    _check_modes(at, operator)
    if operator.output_type not in OUTPUT_TYPES:
        known = ", ".join(OUTPUT_TYPES[1:])
        raise InvalidContract(CODE, f"{at}.output_type", f"{operator.output_type[:40]!r} is none of {known}")
    _check_texts(at, operator)
    _check_inputs(at, operator)
    try:
        _check_bounds(at, operator)
    except InvalidContract as broken:
        raise InvalidContract(CODE, broken.field, broken.message) from None


def _check_modes(at: str, operator: Operator) -> None:
    atomic = operator.type is TaskType.ATOMIC
    if operator.subtype is AtomicTaskSubtype.UNKNOWN or (
        not atomic and operator.subtype is not AtomicTaskSubtype.NONE
    ):
        raise InvalidContract(CODE, f"{at}.subtype", f"{operator.subtype} on a {operator.type} operator")
    if operator.inherit_context and operator.accumulate_data:
        raise InvalidContract(CODE, f"{at}.accumulate_data", "excludes inherit_context")
    if operator.fresh_context is FreshContext.UNKNOWN:
        raise InvalidContract(CODE, f"{at}.fresh_context", "is none of UNSAID, ENABLED, DISABLED")
    if operator.inherit_context and operator.fresh_context is FreshContext.ENABLED:
        raise InvalidContract(CODE, f"{at}.fresh_context", "ENABLED needs inherit_context false")
    if operator.accumulation_format is AccumulationFormat.UNKNOWN:
        raise InvalidContract(CODE, f"{at}.accumulation_format", "is none of FULL_OUTPUT, NOTES_ONLY")
    if operator.on_failure is FailurePolicy.UNKNOWN:
        raise InvalidContract(CODE, f"{at}.on_failure", "is none of FAIL_FAST, COLLECT")


def _check_texts(at: str, operator: Operator) -> None:
    for name in ("instructions", "system", "initial_value"):
        _length(f"{at}.{name}", getattr(operator, name), MAX_TEXT_CHARS)
    _length(f"{at}.goal", operator.goal, _MAX_GOAL_CHARS)
    _length(f"{at}.model", operator.model, _MAX_MODEL_CHARS)


def _check_inputs(at: str, operator: Operator) -> None:
    seen: set[str] = set()
    for number, given in enumerate(operator.inputs):
        here = f"{at}.inputs[{number}]"
        if not is_input_name(given.name) or is_reserved(given.name):
            raise InvalidContract(
                CODE, f"{here}.name", f"{given.name[:_SHOWN_CHARS]!r} is no name of an input"
            )
        if given.name in seen:
            raise InvalidContract(CODE, f"{here}.name", f"{given.name!r} stands twice")
        seen.add(given.name)
        _length(f"{here}.text", given.text, MAX_TEXT_CHARS)
        _length(f"{here}.variable", given.variable, _MAX_GOAL_CHARS)


def _check_bounds(at: str, operator: Operator) -> None:
    if operator.max_turns is not None:
        check_between(f"{at}.max_turns", operator.max_turns, 1, 1_000_000, CODE)
    if operator.max_context_fraction is not None:
        check_fraction(f"{at}.max_context_fraction", operator.max_context_fraction, 0.0, 1.0, CODE)
        if operator.max_context_fraction == 0.0:
            raise InvalidContract(CODE, f"{at}.max_context_fraction", "must be above 0")
    if operator.priority is not None:
        check_between(f"{at}.priority", operator.priority, 1, 10, CODE)
    check_routing(f"{at}.", operator.assigned_arm, operator.required_capabilities, operator.max_cost_tier)
    check_criteria(f"{at}.acceptance_criteria", operator.acceptance_criteria)
    check_limits(f"{at}.budget", operator.budget)
    check_timeout(f"{at}.timeout_ms", operator.timeout_ms)
    check_json(f"{at}.metadata_json", operator.metadata_json)


def _length(field_: str, text: str, most: int) -> None:
    if len(text) > most:
        raise InvalidContract(CODE, field_, f"{len(text)} characters; at most {most}")


def _join(at: str, operator: Operator, family: _Family) -> None:
    if operator.name in family.names:
        raise InvalidContract(CODE, f"{at}.name", f"{operator.name!r} stands twice under its parent")
    family.names.add(operator.name)
    match operator.role:
        case Role.STEP:
            family.steps += 1
        case Role.INNER:
            family.inner += 1
        case Role.REDUCTION:
            family.reduction += 1
        case _:
            family.arguments += 1


def _check_family(at: str, operator: Operator, family: _Family) -> None:
    counts = family.steps, family.inner, family.reduction
    match operator.type:
        case TaskType.ATOMIC:
            right, rule = counts == (0, 0, 0), "an atomic operator has no children but ARGUMENTs"
        case TaskType.SEQUENTIAL:
            right = family.steps > 0 and counts[1:] == (0, 0) and family.arguments == 0
            rule = "a sequence has at least one STEP and nothing else"
        case TaskType.MAP:
            right = counts == (0, 1, 0) or (family.steps > 0 and counts[1:] == (0, 0))
            rule = "a map has STEPs, or exactly one INNER over its inputs"
        case _:
            right, rule = counts == (0, 1, 1), "a reduce has exactly one INNER and one REDUCTION"
    if not right:
        raise InvalidContract(CODE, at, rule)


def _check_size(path: str, program: Program, root: TaskId, nesting: int) -> None:
    """How deep it nests, how many tasks it makes, how long their ids become; and arguments have their input."""
    depth, copies, id_chars = [nesting + 1], [1], [len(root)]
    made = 1
    takers = [{given.name for given in operator.inputs if not given.variable} for operator in program]
    for place, operator in enumerate(program[1:], 1):
        at, parent = f"{path}[{place}]", program[operator.parent]
        if operator.role is Role.ARGUMENT and operator.name not in takers[operator.parent]:
            raise InvalidContract(
                CODE, f"{at}.name", "an ARGUMENT needs an input of its name without a variable"
            )
        names, suffix = [operator.name], ""
        if operator.role in (Role.INNER, Role.REDUCTION):
            names = [given.name for given in parent.inputs]
            suffix = ".reduction" if operator.role is Role.REDUCTION else ""
        elif operator.role is Role.ARGUMENT:
            suffix = ".argument"
        copies.append(copies[operator.parent] * len(names))
        depth.append(depth[operator.parent] + 1)
        id_chars.append(id_chars[operator.parent] + 1 + max(map(len, names), default=0) + len(suffix))
        made += copies[-1]
        if copies[-1] and depth[-1] > MAX_NESTING:
            raise InvalidContract(CODE, at, f"nests deeper than {MAX_NESTING}")
        if made > MAX_TASKS:
            raise InvalidContract(CODE, at, f"the program makes more than {MAX_TASKS} tasks")
        if copies[-1] and id_chars[-1] > MAX_TASK_ID_LENGTH:
            raise InvalidContract(CODE, f"{at}.name", "makes a task id that is too long")
    if id_chars[0] > MAX_TASK_ID_LENGTH:
        raise InvalidContract(CODE, path, "makes a task id that is too long")
    if nesting + 1 > MAX_NESTING:
        raise InvalidContract(CODE, path, f"nests deeper than {MAX_NESTING}")
