"""Operator programs as JSON: flat, in document order, in the names of `docs/reference/operators.md`."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from octolog.domain.errors import InvalidContract
from octolog.domain.ids import ArmId
from octolog.domain.operators import FailurePolicy, Operator, OperatorInput, Program, Role
from octolog.domain.tasksystem import AccumulationFormat, AtomicTaskSubtype, FreshContext, TaskType
from octolog.domain.templates.document import models_of
from octolog.domain.templates.modes import (
    Mode,
    Said,
    checked,
    default_of,
    inheritance,
    is_of_seed,
    merged,
    of_seed,
)
from octolog.edge.document import shown
from octolog.edge.limits import BudgetEdge, Timeout, milliseconds
from octolog.edge.model import Edge, Fraction, lower, object_json


def _word(value: object) -> object:
    """Seed B's truth value as the word that a document has for it."""
    return str(value).lower() if isinstance(value, bool | str) else value


_Role = Annotated[Literal["root", "step", "argument", "inner", "reduction"], BeforeValidator(lower)]
_Type = Annotated[Literal["atomic", "sequential", "map", "reduce"], BeforeValidator(lower)]
_Subtype = Annotated[Literal["none", "standard", "subtask"], BeforeValidator(lower)]
_Format = Annotated[Literal["full_output", "notes_only"], BeforeValidator(lower)]
_Policy = Annotated[Literal["fail_fast", "collect"], BeforeValidator(lower)]
_Freshness = Annotated[Literal["enabled", "disabled"], BeforeValidator(lower)]


class InputEdge(Edge):
    """A named input."""

    noun: ClassVar[str] = "input"

    name: str
    text: str = ""
    variable: str = ""


class OperatorEdge(Edge):
    """One operator; defaults are the domain's."""

    noun: ClassVar[str] = "operator"

    name: str = ""
    parent: int = -1
    role: _Role = "root"
    type: _Type
    subtype: _Subtype | None = None
    goal: str = ""
    instructions: str = ""
    system: str = ""
    model: str = ""
    inputs: list[InputEdge] = Field(default_factory=list)
    inherit_context: Annotated[str, BeforeValidator(_word)] | None = None
    accumulate_data: bool | None = None
    accumulation_format: _Format | None = None
    fresh_context: _Freshness | None = None
    on_failure: _Policy | None = None
    initial_value: str = ""
    disable_reparsing: bool = False
    is_manual_xml: bool = False
    output_type: str = ""
    max_turns: int | None = None
    max_context_fraction: Fraction | None = None
    assigned_arm: str | None = None
    required_capabilities: list[str] = Field(default_factory=list)
    max_cost_tier: int | None = None
    acceptance_criteria: list[str] = Field(default_factory=list)
    budget: BudgetEdge | None = None
    priority: int | None = None
    timeout_seconds: Timeout | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)

    def mode(self, at: str, around: TaskType) -> Mode:
        """How its context comes about, as in a document; here what a truth value leaves out is false."""
        said = Said(
            None
            if self.inherit_context is None
            else inheritance(self.inherit_context, f"{at}.inherit_context"),
            self.accumulate_data,
            None
            if self.accumulation_format is None
            else AccumulationFormat(self.accumulation_format.upper()),
            None if self.fresh_context is None else FreshContext(self.fresh_context.upper()),
        )
        is_subtask = self.subtype == "subtask"
        if is_of_seed(self.inherit_context or "false", said):
            return of_seed(replace(said, accumulate=bool(said.accumulate)), at)
        kind, role = TaskType(self.type.upper()), Role(self.role.upper())
        found = merged(default_of(kind, role, around, is_subtask=is_subtask), said)
        return checked(found, lambda name: f"{at}.{name or 'accumulate_data'}", is_subtask=is_subtask)

    def operator(self, at: str, around: TaskType = TaskType.UNKNOWN) -> Operator:
        """The domain's value.

        Args:
            at: Its path.
            around: Its parent's type; UNKNOWN at the root.
        """
        mode = self.mode(at, around)
        kind = TaskType(self.type.upper())
        atomic, is_map = kind is TaskType.ATOMIC, kind is TaskType.MAP
        subtype = self.subtype or ("standard" if atomic else "none")
        policy = self.on_failure or ("collect" if is_map else "fail_fast")
        return Operator(
            name=self.name,
            parent=self.parent,
            role=Role(self.role.upper()),
            type=kind,
            subtype=AtomicTaskSubtype(subtype.upper()),
            goal=self.goal,
            instructions=self.instructions,
            system=self.system,
            model=self.model,
            inputs=tuple(OperatorInput(given.name, given.text, given.variable) for given in self.inputs),
            inherit_context=mode.inherit,
            accumulate_data=mode.accumulate,
            accumulation_format=mode.keep,
            fresh_context=mode.fresh,
            on_failure=FailurePolicy(policy.upper()),
            initial_value=self.initial_value,
            disable_reparsing=self.disable_reparsing,
            is_manual_xml=self.is_manual_xml,
            output_type=self.output_type,
            max_turns=self.max_turns,
            max_context_fraction=self.max_context_fraction,
            assigned_arm=None if self.assigned_arm is None else ArmId(self.assigned_arm),
            required_capabilities=tuple(self.required_capabilities),
            max_cost_tier=self.max_cost_tier,
            acceptance_criteria=tuple(self.acceptance_criteria),
            **({} if self.budget is None else {"budget": self.budget.limits(f"{at}.budget")}),
            priority=self.priority,
            timeout_ms=milliseconds(self.timeout_seconds),
            metadata_json=object_json(self.metadata),
        )


def program_of(operators: Iterable[OperatorEdge]) -> Program:
    """The program that they are; whether it is legal is checked with the contract."""
    found: list[Operator] = []
    for index, edge in enumerate(operators):
        around = found[edge.parent].type if 0 <= edge.parent < index else TaskType.UNKNOWN
        found.append(edge.operator(f"operators[{index}]", around))
    return tuple(found)


def check_models(program: Program, known: Container[str] | None) -> None:
    """Refuse a model that nobody knows.

    Raises:
        InvalidContract: VALIDATION_ERROR.
    """
    for index, model in models_of(program).items():
        if known is not None and model not in known:
            where = f"operators[{index}].model"
            raise InvalidContract("VALIDATION_ERROR", where, f"{shown(model)} is no known model")
