"""Random programs that a document can say: `programs()` for every operator, with every setting it may have."""

from __future__ import annotations

import string
from dataclasses import dataclass, field
from typing import Any, Final

from hypothesis import strategies as st

from octolog.domain.ids import ArmId
from octolog.domain.operators import FailurePolicy, Operator, OperatorInput, Program, Role
from octolog.domain.tasksystem import AccumulationFormat, AtomicTaskSubtype, FreshContext, TaskType
from octolog.domain.templates.fields import OUTPUT_TYPES
from octolog.domain.values import NO_LIMITS, Limits

COMPOUND: Final = (TaskType.SEQUENTIAL, TaskType.MAP, TaskType.REDUCE)

# XML has no place for most control characters, nor for U+FFFE and U+FFFF; everything else is a text.
_CHARACTERS: Final = st.characters(
    codec="utf-8",
    exclude_characters=[*map(chr, {*range(0x20)} - {0x9, 0xA, 0xD}), "\ufffe", "\uffff"],
)
texts: Final = st.one_of(
    st.sampled_from(("", " ", "\n", "a", "<task/>", "&amp;", "]]>", "{{x}}", "\r\n", "\t")),
    st.text(_CHARACTERS, max_size=20),
)
said: Final = texts.filter(bool)
_names: Final = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=6).map("n".__add__)
_tags: Final = st.lists(st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True), max_size=3).map(tuple)
_arms: Final = st.sampled_from((None, ArmId("coder"), ArmId("safety-guardian")))
_metadata: Final = st.sampled_from(("{}", '{"a":[1,{"b":null}]}', '{"owner":"ops","ü":1.5}'))


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), values)


limits: Final = st.one_of(
    st.just(NO_LIMITS),
    st.builds(
        Limits,
        max_tokens=maybe(st.integers(1, 100_000_000)),
        max_time_ms=maybe(st.integers(1, 30 * 24 * 3_600_000)),
        max_cost_micros=maybe(st.integers(0, 10**12)),
        max_llm_calls=maybe(st.integers(0, 1_000_000)),
    ),
)
modes: Final = st.sampled_from(
    (
        *(((False, False), fresh) for fresh in list(FreshContext)[1:]),
        *(((False, True), fresh) for fresh in list(FreshContext)[1:]),
        ((True, False), FreshContext.UNSAID),
        ((True, False), FreshContext.DISABLED),
    )
)


@dataclass
class Growing:
    """A program while it is drawn.

    Attributes:
        draw: Draws from a strategy.
        room: How many operators may still be added.
        operators: Those there are.
    """

    draw: st.DrawFn
    room: int
    operators: list[Operator] = field(default_factory=list[Operator])

    def grow(self, parent: int, role: Role, name: str, depth: int) -> None:
        """Add an operator and everything inside it."""
        kind = self.draw(st.sampled_from(COMPOUND)) if depth and self.draw(st.booleans()) else TaskType.ATOMIC
        place = len(self.operators)
        self.room -= 1
        inputs, arguments = self._inputs(kind, depth)
        within_reduce = parent >= 0 and self.operators[parent].type is TaskType.REDUCE
        self.operators.append(self._operator(name, parent, role, kind, inputs, plain=within_reduce))
        for argument in arguments:
            self.grow(place, Role.ARGUMENT, argument, depth - 1)
        if kind is TaskType.REDUCE:
            self.grow(place, Role.INNER, self.draw(st.sampled_from(("inner", "square"))), depth - 1)
            self.grow(place, Role.REDUCTION, self.draw(st.sampled_from(("reduction", "sum"))), depth - 1)
        elif kind is TaskType.MAP and self.draw(st.booleans()):
            self.grow(place, Role.INNER, "inner", depth - 1)
        elif kind is not TaskType.ATOMIC:
            self._steps(place, depth, arguments)

    def _steps(self, place: int, depth: int, taken: list[str]) -> None:
        names = self.draw(
            st.lists(_names.filter(lambda n: n not in taken), min_size=1, max_size=3, unique=True)
        )
        for index, name in enumerate(names):
            if index and self.room <= 0:
                return
            self.grow(place, Role.STEP, name, depth - 1)

    def _inputs(self, kind: TaskType, depth: int) -> tuple[tuple[OperatorInput, ...], list[str]]:
        names = self.draw(st.lists(st.one_of(_names, _names.map("_".__add__)), max_size=3, unique=True))
        found: list[OperatorInput] = []
        arguments: list[str] = []
        for name in names:
            source = self.draw(st.sampled_from(("text", "variable", "task")))
            if source == "variable":
                found.append(OperatorInput(name, variable=self.draw(said)))
            elif source == "task" and not name.startswith("_") and self._has_room(kind, depth):
                found.append(OperatorInput(name))
                arguments.append(name)
                self.room -= 1
            else:
                found.append(OperatorInput(name, self.draw(texts)))
        return tuple(found), arguments

    def _has_room(self, kind: TaskType, depth: int) -> bool:
        return depth > 0 and self.room > 0 and kind is not TaskType.SEQUENTIAL

    def _operator(
        self,
        name: str,
        parent: int,
        role: Role,
        kind: TaskType,
        inputs: tuple[OperatorInput, ...],
        *,
        plain: bool,
    ) -> Operator:
        draw = self.draw
        (inherit, accumulate), fresh = draw(modes)
        atomic = kind is TaskType.ATOMIC
        subtypes = (AtomicTaskSubtype.STANDARD, AtomicTaskSubtype.SUBTASK)
        subtype = (
            draw(st.sampled_from(subtypes[: 1 if plain or inherit else 2]))
            if atomic
            else AtomicTaskSubtype.NONE
        )
        policies = (FailurePolicy.COLLECT, FailurePolicy.FAIL_FAST)
        return Operator(
            name=name,
            parent=parent,
            role=role,
            type=kind,
            subtype=subtype,
            goal=draw(texts),
            instructions=draw(texts) if atomic else "",
            system=draw(texts),
            model=draw(st.sampled_from(("", "gpt-4", "claude-3-opus"))),
            inputs=inputs,
            inherit_context=inherit,
            accumulate_data=accumulate,
            accumulation_format=draw(
                st.sampled_from((AccumulationFormat.FULL_OUTPUT, AccumulationFormat.NOTES_ONLY))
            ),
            on_failure=draw(st.sampled_from(policies)) if kind is TaskType.MAP else FailurePolicy.FAIL_FAST,
            initial_value=draw(texts) if kind is TaskType.REDUCE else "",
            disable_reparsing=draw(st.booleans()),
            is_manual_xml=draw(st.booleans()),
            output_type=draw(st.sampled_from(("", *OUTPUT_TYPES))),
            max_turns=draw(maybe(st.integers(1, 1_000_000))),
            max_context_fraction=draw(maybe(st.floats(0.0, 1.0, exclude_min=True))),
            assigned_arm=draw(_arms),
            required_capabilities=draw(_tags),
            max_cost_tier=draw(maybe(st.integers(1, 5))),
            acceptance_criteria=tuple(draw(st.lists(texts, max_size=3))),
            budget=draw(limits),
            priority=draw(maybe(st.integers(1, 10))),
            timeout_ms=draw(maybe(st.integers(1, 24 * 3_600_000))),
            metadata_json=draw(_metadata),
            fresh_context=fresh,
        )


@st.composite
def programs(draw: st.DrawFn, depth: int = 3, operators: int = 12) -> Program:
    """A legal program in the form that a document gives it.

    Args:
        draw: Given by hypothesis.
        depth: How many levels below the root, at most.
        operators: About how many operators, at most.
    """
    growing = Growing(draw, operators)
    growing.grow(-1, Role.ROOT, "", depth)
    return tuple(growing.operators)
