"""A program is accepted exactly when the operators page calls it legal, and nothing runs of one that is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from hypothesis import example, given
from hypothesis import strategies as st

from octolog.domain import facts as f
from octolog.domain.operators import ATOMIC, FailurePolicy, Operator, OperatorInput, Program, Role
from octolog.domain.tasksystem import AccumulationFormat, AtomicTaskSubtype, FreshContext, TaskType
from octolog.testing import ArmsTopic, ShardLog, capability, submit
from tests.simulation.legality import faults
from tests.simulation.programs import programs
from tests.simulation.test_programs import simulated

ROOT: Final = "program"
NAMES: Final = (
    "s0",
    "x",
    "y",
    "",
    "recovery-1",
    "decomposed-22",
    "subtask-3",
    "recovery-x",
    "recovery-",
    "a.argument",
    "a.reduction",
    ".argument",
    "argument",
    "_x",
    "a b",
    "ä",
    "a/b",
    "n" * 64,
    "n" * 65,
    "x\n",
)

Change = Callable[[Operator, int], Operator]

_CHANGES: Final[tuple[Change, ...]] = (
    lambda op, n: replace(op, name=NAMES[n % len(NAMES)]),
    lambda op, n: replace(op, parent=n % 5 - 1),
    lambda op, n: replace(op, role=list(Role)[n % 6]),
    lambda op, n: replace(op, type=list(TaskType)[n % 5]),
    lambda op, n: replace(op, subtype=list(AtomicTaskSubtype)[n % 4]),
    lambda op, _: replace(op, inherit_context=True, accumulate_data=True),
    lambda op, _: replace(op, accumulation_format=AccumulationFormat.UNKNOWN),
    lambda op, n: replace(op, fresh_context=list(FreshContext)[n % 4]),
    lambda op, _: replace(op, on_failure=FailurePolicy.UNKNOWN),
    lambda op, n: replace(op, inputs=(*op.inputs, OperatorInput(NAMES[n % len(NAMES)]))),
    lambda op, n: replace(op, inputs=op.inputs[n % 2 :]),
    lambda op, _: replace(op, inputs=tuple(replace(given, variable="x") for given in op.inputs)),
    lambda op, n: replace(op, inputs=tuple(OperatorInput(f"i{k}") for k in range(1 + n * 30))),
)


@st.composite
def changed(draw: st.DrawFn) -> Program:
    """A legal program with up to three changes; some leave it legal."""
    program = list(draw(programs(depth=3, room=40)))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(program) - 1))
        change = draw(st.integers(0, len(_CHANGES)))
        if change == len(_CHANGES):
            program.append(replace(program[place], parent=draw(st.integers(-2, len(program) + 1))))
        else:
            program[place] = _CHANGES[change](program[place], draw(st.integers(0, 40)))
    return tuple(program)


def nested(depth: int) -> Program:
    """Sequences in each other, the innermost an atomic task: `depth` levels."""
    sequences = [Operator("s", at - 1, Role.STEP, TaskType.SEQUENTIAL) for at in range(depth - 1)]
    sequences[0] = Operator("", -1, Role.ROOT, TaskType.SEQUENTIAL)
    return (*sequences, Operator("s", depth - 2, Role.STEP, TaskType.ATOMIC))


def multiplied(inputs: int, levels: int) -> Program:
    """Maps in each other, each over so many inputs."""
    many = tuple(OperatorInput(f"i{number}") for number in range(inputs))
    maps = [Operator("m", at - 1, Role.INNER, TaskType.MAP, inputs=many) for at in range(levels)]
    maps[0] = Operator("", -1, Role.ROOT, TaskType.MAP, inputs=many)
    return (*maps, Operator("m", levels - 1, Role.INNER, TaskType.ATOMIC))


def named(length: int, depth: int) -> Program:
    """Sequences in each other with names of a length."""
    return tuple(replace(op, name="n" * length if op.name else "") for op in nested(depth))


@simulated
@given(changed())
@example(nested(32))
@example(nested(33))
@example(multiplied(27, 3))  # 1 + 27 + 27 ** 2 + 27 ** 3 = 20,440 tasks
@example(multiplied(26, 3))  # 18,279
@example(multiplied(140, 2))  # 19,741
@example(multiplied(141, 2))  # 20,023
@example(named(61, 5))  # 7 + 4 * 62 = 255 characters
@example(named(62, 5))
@example((ATOMIC, replace(ATOMIC, name="x", parent=0, role=Role.ARGUMENT)))
def test_a_program_is_accepted_exactly_when_it_is_legal(program: Program) -> None:
    found = faults(program, ROOT)
    log = ShardLog(ArmsTopic(capability("arm-a")))
    facts = log.send(submit(ROOT, operators=program))
    first = facts[0]
    if not found:
        assert isinstance(first, f.TaskSubmitted), (first, "the program is legal")
        return
    assert isinstance(first, f.RequestRejected), f"accepted, although {found}"
    assert (first.code, len(facts)) == ("VALIDATION_ERROR", 1)
    assert first.field
    assert log.shard.trees == {}
