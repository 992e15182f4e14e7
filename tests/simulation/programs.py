"""Random programs, and arms that answer them: every choice is drawn, so every example shrinks.

An arm's behaviour depends on the task's id and what it was given, never on when it was asked. Its answers contain a
digest of what it was given, so that one wrong context or input is seen in every output after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from zlib import crc32

from hypothesis import strategies as st

from octolog.domain.operators import FailurePolicy, Operator, OperatorInput, Program, Role
from octolog.domain.tasksystem import AccumulationFormat, AtomicTaskSubtype, FreshContext, TaskType
from tests.simulation.terms import Failed, Given, Reply, Request, Succeeded
from tests.simulation.texts import canonical

MAX_OPERATORS: Final = 200
MAX_TASKS: Final = 400
"""A map or reduce copies its inner tasks once for each input."""

COMPOUND: Final = (TaskType.SEQUENTIAL, TaskType.MAP, TaskType.REDUCE)
INPUTS: Final = ("x", "y", "z")
TYPES: Final = ("", "text", "json", "object", "array", "string[]", "number", "boolean")
_UNSAID, _ENABLED, _DISABLED = FreshContext.UNSAID, FreshContext.ENABLED, FreshContext.DISABLED
MODES: Final = (
    (False, False, _UNSAID),
    (True, False, _UNSAID),
    (False, True, _UNSAID),
    (False, False, _UNSAID),
    (True, False, _DISABLED),
    (False, True, _DISABLED),
    (False, True, _ENABLED),
    (False, False, _ENABLED),
    (False, False, _DISABLED),
)
"""Inherit, accumulate, fresh: every combination that is legal."""

CONTEXTS: Final = (
    "{}",
    '{"topic":"tides","x":"outer"}',
    '{"n":1.50,"deep":{"b":[1,"1",null],"a":true},"topic":"{{x}}"}',
)
OUTPUTS: Final = (
    '{{"content":"{0}","notes":{{"dataUsage":"{1}"}}}}',
    '"{0}"',
    '{{"notes":{{"n":1e3}},"b":[1.50,"{0}"],"a":null}}',
    "{0} is no JSON",
    "",
    '{{"content":"\\ud800{0}{{{{x}}}}"}}',
    '["{0}","b"]',
    "17",
    '{{"content":"[1, 2]","notes":"{0}"}}',
    "true",
    '{{"content":"no data usage {0}","notes":{{"n":1}}}}',
)
LONG: Final = 40_000


def shout(number: int) -> str:
    """A long text, so that histories are cut."""
    return f"{number:07d}" * (LONG // 7)


@dataclass
class Growing:
    """A program while it is read from a tape of bytes: quick to draw, and quick to shrink."""

    tape: Iterator[int]
    operators: list[Operator] = field(default_factory=list[Operator])
    room: int = MAX_OPERATORS

    def pick(self, most: int) -> int:
        """A number from 0 to `most`, at most 255; 0 is the simplest, and all there is at the tape's end."""
        return next(self.tape, 0) % (most + 1)

    def grow(
        self, parent: int, role: Role, name: str, depth: int, scope: tuple[str, ...], copies: int
    ) -> None:
        """Add an operator with everything inside it."""
        compound = self.pick(7) > 5 - depth and depth > 0 and self.room > 4 * copies
        type_ = COMPOUND[self.pick(2)] if compound else TaskType.ATOMIC
        place = len(self.operators)
        self.operators.append(Operator(name, parent, role, type_))
        self.room -= copies
        inputs = self._inputs(type_, scope)
        op = replace(self._flagged(self.operators[place]), inputs=inputs)
        names = tuple(given.name for given in inputs)
        inside = scope + names
        self.operators[place] = op
        match type_:
            case TaskType.ATOMIC:
                self.operators[place] = self._atomic(op, inside)
                self._arguments(place, depth, scope, copies)
            case TaskType.SEQUENTIAL:
                self._steps(place, depth, inside, copies)
            case TaskType.MAP:
                self._map(place, depth, scope, inside, copies)
            case _:
                self._reduce(place, depth, scope, inside, copies)

    def _inputs(self, type_: TaskType, scope: tuple[str, ...]) -> tuple[OperatorInput, ...]:
        count = self.pick(3 if type_ in (TaskType.MAP, TaskType.REDUCE) else 2)
        return tuple(self._input(name, scope) for name in INPUTS[:count])

    def _input(self, name: str, scope: tuple[str, ...]) -> OperatorInput:
        if scope and self.pick(3) == 1:
            return OperatorInput(name, variable=self._known(scope))
        return OperatorInput(name, self.text(scope))

    def _known(self, scope: tuple[str, ...]) -> str:
        return "nowhere" if self.pick(255) == 255 else scope[-1 - self.pick(len(scope) - 1)]

    def text(self, scope: tuple[str, ...]) -> str:
        """A text with up to two placeholders."""
        words = ["do", " it {{", " {{ no name }}"][: 1 + self.pick(2)]
        if scope:
            words += [f" {{{{{self._known(scope)}}}}}", f"{{{{ {self._known(scope)} }}}}"][: self.pick(2)]
        return "".join(words)

    def _flagged(self, op: Operator) -> Operator:
        inherit, accumulate, fresh = MODES[self.pick(len(MODES) - 1)]
        formats = (AccumulationFormat.FULL_OUTPUT, AccumulationFormat.NOTES_ONLY)
        policies = (FailurePolicy.FAIL_FAST, FailurePolicy.COLLECT)
        return replace(
            op,
            inherit_context=inherit,
            accumulate_data=accumulate,
            fresh_context=fresh,
            accumulation_format=formats[self.pick(1)],
            on_failure=policies[self.pick(1)],
            disable_reparsing=self.pick(39) == 39,
            is_manual_xml=self.pick(39) == 39,
        )

    def _atomic(self, op: Operator, inside: tuple[str, ...]) -> Operator:
        subtypes = (AtomicTaskSubtype.NONE, AtomicTaskSubtype.STANDARD, AtomicTaskSubtype.SUBTASK)
        return replace(
            op,
            subtype=subtypes[self.pick(2)],
            goal=f"goal of {op.name}",
            instructions=self.text(inside),
            output_type=TYPES[max(0, self.pick(99) - 92)],
        )

    def _arguments(self, place: int, depth: int, scope: tuple[str, ...], copies: int) -> None:
        for given in self.operators[place].inputs:
            if not given.variable and self.room > copies and self.pick(2) == 2:
                self.grow(place, Role.ARGUMENT, given.name, max(0, depth - 2), scope, copies)

    def _steps(self, place: int, depth: int, inside: tuple[str, ...], copies: int) -> None:
        binds = self.operators[place].type is TaskType.SEQUENTIAL
        for number in range(1 + self.pick(11 if self.pick(9) == 9 else 4)):
            if number and self.room <= copies:
                return
            name = f"s{number}" if self.pick(9) else f"S.{number}-x"
            self.grow(place, Role.STEP, name, depth - 1, inside, copies)
            inside = (*inside, name) if binds else inside

    def _map(
        self, place: int, depth: int, scope: tuple[str, ...], inside: tuple[str, ...], copies: int
    ) -> None:
        self._arguments(place, depth, scope, copies)
        if self.pick(1):
            self._steps(place, depth, inside, copies)
            return
        times = len(self.operators[place].inputs) * copies
        bound = (*inside, "current_input", "input_name")
        self.grow(place, Role.INNER, "inner", self._affordable(depth, times), bound, times)

    def _reduce(
        self, place: int, depth: int, scope: tuple[str, ...], inside: tuple[str, ...], copies: int
    ) -> None:
        self.operators[place] = replace(self.operators[place], initial_value=self.text(inside))
        self._arguments(place, depth, scope, copies)
        times = len(self.operators[place].inputs) * copies
        bound = (*inside, "current_input", "input_name")
        self.grow(place, Role.INNER, "inner", self._affordable(depth, 2 * times), bound, times)
        bound = (*inside, "current_result", "accumulator", "original_input", "input_name")
        self.grow(place, Role.REDUCTION, "reduction", self._affordable(depth, times), bound, times)

    def _affordable(self, depth: int, copies: int) -> int:
        return depth - 1 if self.room > 4 * copies else 0


def _names_of(context_json: str) -> tuple[str, ...]:
    return tuple(name for name in ("topic", "x", "n", "deep") if f'"{name}":' in context_json)


@st.composite
def tapes(draw: st.DrawFn, lengths: tuple[int, ...]) -> bytes:
    """Bytes to choose by, of one of these lengths; a list of its own accord is mostly short."""
    length = draw(st.sampled_from(lengths))
    return draw(st.binary(min_size=length, max_size=length))


@st.composite
def programs(draw: st.DrawFn, context_json: str = "{}", depth: int = 5, room: int = MAX_OPERATORS) -> Program:
    """A legal program of at most `depth` + 1 levels and `room` operators."""
    growing = Growing(iter(draw(tapes((600, 64, 200, 1_500, 3_000)))), room=room)
    growing.grow(-1, Role.ROOT, "", depth, _names_of(context_json), 1)
    return tuple(growing.operators)


@dataclass(frozen=True)
class Behaviour:
    """How an arm treats some tasks.

    Attributes:
        output: Which output it gives.
        long: Whether its content is very long.
        flaky: How many attempts end with a transient failure first.
        ending: What it says instead of an output: an error's code, or empty.
        asks: How many subtasks it asks for first.
        goal: What it asks for; 0 is a goal of its own each time.
        program: Which program it gives as a recovery; -1: none.
    """

    output: int = 0
    long: bool = False
    flaky: int = 0
    ending: str = ""
    asks: int = 0
    goal: int = 0
    program: int = 0


ENDINGS: Final = (
    "",
    "RESOURCE_EXHAUSTION",
    "RESOURCE_EXHAUSTION",
    "RESOURCE_EXHAUSTION",
    "INVALID_OUTPUT",
    "TASK_FAILURE",
    "VALIDATION_ERROR",
    "XML_PARSE_ERROR",
    "BROKEN",
)
UNION_ENDINGS: Final = ("RESOURCE_EXHAUSTION", "INVALID_OUTPUT", "VALIDATION_ERROR", "XML_PARSE_ERROR")

calm: Final = st.builds(
    Behaviour,
    output=st.integers(0, len(OUTPUTS) - 1),
    long=st.integers(0, 5).map(lambda n: n == 5),
    flaky=st.sampled_from((0, 0, 0, 0, 0, 1)),
)
recoveries: Final = st.builds(
    Behaviour,
    output=st.integers(0, len(OUTPUTS) - 1),
    flaky=st.sampled_from((0, 0, 0, 0, 1, 2, 3)),
    ending=st.sampled_from(("",) * 9 + ENDINGS),
    asks=st.sampled_from((0, 0, 0, 0, 1)),
    program=st.integers(-1, 9),
)
wild: Final = st.builds(
    Behaviour,
    output=st.integers(0, len(OUTPUTS) - 1),
    flaky=st.sampled_from((0, 0, 0, 1, 2, 3)),
    ending=st.sampled_from(ENDINGS),
    asks=st.sampled_from((0, 0, 0, 1, 2, 11)),
    goal=st.integers(0, 2),
)


@dataclass(frozen=True)
class Arms:
    """Every arm: which behaviour a task meets follows from its id.

    Attributes:
        behaviours: One of them for each task.
        recoveries: One of them for each recovery.
        programs: What decompositions give; some are illegal.
    """

    behaviours: Sequence[Behaviour]
    recoveries: Sequence[Behaviour]
    programs: Sequence[Program]

    def of(self, task_id: str) -> Behaviour:
        """The behaviour that a task meets."""
        among = self.recoveries if "recovery-" in task_id.rsplit("/", 1)[-1] else self.behaviours
        return among[crc32(task_id.encode()) % len(among)]

    def __call__(self, task_id: str, given: Given, answered: int) -> Reply:
        """What the arm says once it no longer fails for a moment."""
        behaviour = self.of(task_id)
        level = task_id.count("subtask-")
        asks = behaviour.asks if level == 0 else min(1, behaviour.asks)
        if answered < asks:
            return self._request(task_id, behaviour, answered)
        if behaviour.ending:
            union = behaviour.ending if behaviour.ending in UNION_ENDINGS else ""
            return Failed(behaviour.ending, f"{task_id} ends so", union)
        digest = f"{crc32(repr(given).encode('utf-8', 'surrogatepass')):08x}" if given.kind == "task" else "r"
        if behaviour.long:
            return Succeeded(canonical({"content": shout(int(digest, 16) % 10**7 if digest != "r" else 0)}))
        output = OUTPUTS[behaviour.output].format(f"{task_id[-20:]}:{digest}", task_id[-9:])
        if given.kind == "decomposition" and behaviour.program >= 0:
            return Succeeded(output, self.programs[behaviour.program % len(self.programs)])
        return Succeeded(output)

    def _request(self, task_id: str, behaviour: Behaviour, answered: int) -> Request:
        goal = (f"{task_id} wants {answered}", "the same", f"deeper {task_id.count('subtask-')}")[
            behaviour.goal
        ]
        text = "{{x}} please" if behaviour.goal else "{{x}} and {{y}}"
        return Request(goal, text, (("x", goal[:12]), ("y", "why")), canonical({"n": f"remember {answered}"}))


@st.composite
def arms(draw: st.DrawFn) -> Arms:
    """Arms that mostly do what they should, with up to four in twelve that do not."""
    pool = [draw(programs(depth=2, room=8)) for _ in range(draw(st.integers(1, 2)))]
    if draw(st.integers(0, 3)) == 3:
        pool.append((replace(pool[0][0], inherit_context=True, accumulate_data=True), *pool[0][1:]))
    usual = draw(st.lists(calm, min_size=1, max_size=8))
    odd = draw(st.lists(wild, max_size=4))
    if draw(st.integers(0, 3)) == 3:
        odd.append(Behaviour(ending="RESOURCE_EXHAUSTION"))
    return Arms(usual + odd, draw(st.lists(recoveries, min_size=1, max_size=4)), pool)
