"""What the reference interpreter speaks of: what an arm is given and says, outcomes, modes, scopes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from octolog.domain.operators import Operator, OperatorInput, Program, Role
from octolog.domain.tasksystem import AccumulationFormat, AtomicTaskSubtype, FreshContext, TaskType
from tests.simulation import texts
from tests.simulation.legality import children
from tests.simulation.texts import Kept


class Request(NamedTuple):
    """A subtask that an arm asks for."""

    goal: str
    instructions: str
    inputs: tuple[tuple[str, str], ...]
    remember: str


class Failed(NamedTuple):
    """A failure; `union` is the task error's type, empty for an error outside the union; `by` the subtask's."""

    code: str
    message: str
    union: str = ""
    by: str | None = None


class Succeeded(NamedTuple):
    """An answer: an output as the arm wrote it, and from a decomposition the program."""

    output: str
    program: Program = ()


Reply: TypeAlias = Succeeded | Failed | Request


class Given(NamedTuple):
    """What an attempt at a task is given; `continued` and `remembered` are set after a subtask.

    `memory` says whether it is to ask for a context of its own; a recovery never is.
    """

    kind: str
    instructions: str
    inputs: tuple[tuple[str, str], ...]
    context_json: str
    continued: str | None = None
    remembered: str | None = None
    memory: bool = False


Oracle: TypeAlias = Callable[[str, Given, int], Reply]
"""Task id, what it is given, and how many subtasks were answered before."""


@dataclass
class Outcome:
    """How a task ended: its output, or its failure with the details and the child whose failure it is."""

    output: str = ""
    failure: Failed | None = None
    details: dict[str, object] | None = None
    failed_step: str | None = None


class Mode(NamedTuple):
    """An operator's effective mode; `memory` says whether it is asked for a context."""

    inherit: bool = False
    accumulate: bool = False
    full: bool = True
    memory: bool = True


NO_MODE: Final = Mode()


@dataclass(frozen=True)
class Scope:
    """What an operator finds around it.

    Attributes:
        names: The environment.
        outermost: The outermost environment of the program.
        bound: What the map or reduce it stands in binds for it; within `names`, too.
        mode: Its parent's mode.
        context_json: What its parent was given.
        earlier: Completed steps of the nearest sequence.
        used: Recoveries that were used for what it stands in.
        nesting: Of its parent; the root's is 0.
        no_reparsing: Whether an operator around it disables reparsing.
        manual: Whether one around it is manual.
        chain: Requests of the subtasks it stands in.
    """

    names: Mapping[str, str]
    outermost: Mapping[str, str] = field(default_factory=dict[str, str])
    bound: Mapping[str, str] = field(default_factory=dict[str, str])
    mode: Mode = NO_MODE
    context_json: str = "{}"
    earlier: tuple[Kept, ...] = ()
    used: int = 0
    nesting: int = 0
    no_reparsing: bool = False
    manual: bool = False
    chain: tuple[Request, ...] = ()


def without(bound: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in bound.items() if name not in names}


def failed(code: str, message: str) -> Outcome:
    return Outcome(failure=Failed(code, message))


def outcome_of(reply: Succeeded | Failed) -> Outcome:
    return Outcome(reply.output) if isinstance(reply, Succeeded) else Outcome(failure=reply)


def mode_of(op: Operator, parent: Mode) -> Mode:
    asked = op.fresh_context is not FreshContext.DISABLED
    if op.subtype is AtomicTaskSubtype.SUBTASK:
        return NO_MODE._replace(memory=asked)
    if op.inherit_context:
        return Mode(inherit=True, full=op.accumulation_format is AccumulationFormat.FULL_OUTPUT, memory=False)
    if op.accumulate_data:
        full = op.accumulation_format is AccumulationFormat.FULL_OUTPUT
        return Mode(accumulate=True, full=full, memory=asked)
    return parent if op.fresh_context is FreshContext.UNSAID else NO_MODE._replace(memory=asked)


def context_of(mode: Mode, around: Scope) -> str:
    if mode.inherit:
        return around.context_json
    if not mode.accumulate:
        return "{}"
    entries, cut = texts.history(around.earlier, full=mode.full)
    return texts.canonical({"history": entries} | ({"truncated": True} if cut else {}))


def partial(op: Operator, kept: Sequence[Kept]) -> dict[str, object]:
    full = op.accumulation_format is AccumulationFormat.FULL_OUTPUT
    entries, cut = texts.history(kept, full=full)
    details: dict[str, object] = {"partial_results": entries}
    return details | {"truncated": True} if cut else details


def missing_name(program: Program, place: int, names: Mapping[str, str]) -> str | None:
    """The first name that is bound nowhere."""
    op = program[place]
    argued = {program[at].name for at in children(program, place, Role.ARGUMENT)}
    for given in op.inputs:
        wanted = [given.variable] if given.variable else texts.names_in(given.text)
        if given.name not in argued:
            for name in wanted:
                if name not in names:
                    return name
    inside = {*names, *(given.name for given in op.inputs)}
    wanted = texts.names_in(op.initial_value) if op.type is TaskType.REDUCE else []
    wanted += texts.names_in(op.instructions) if op.type is TaskType.ATOMIC else []
    return next((name for name in wanted if name not in inside), None)


def value_of(given: OperatorInput, names: Mapping[str, str], contents: Mapping[str, str]) -> str | None:
    if given.name in contents:
        return contents[given.name]
    return names[given.variable] if given.variable else texts.filled(given.text, names)


def size(given: Given) -> int:
    return len(given.instructions) + len(given.context_json) + sum(len(text) for _, text in given.inputs)


def typed(reply: Succeeded, output_type: str) -> Succeeded | Failed:
    if texts.lacks_data_usage(reply.output):
        return Failed("INVALID_OUTPUT", "", "INVALID_OUTPUT")
    if output_type in ("", "text") or texts.is_of_type(texts.content(reply.output), output_type):
        return reply
    return Failed("INVALID_OUTPUT", "", "INVALID_OUTPUT")
