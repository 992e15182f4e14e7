"""Operator programs: tasks made of tasks (seed B). Flat, in document order, so that every reader can take them.

A program is a tuple of operators; the first is the root, and each other names its parent's place in the tuple,
which stands before its own. What the four operators mean is told in `docs/reference/operators.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final, TypeAlias

from octolog.domain.ids import ArmId
from octolog.domain.tasksystem import (
    AccumulationFormat,
    AtomicTaskSubtype,
    FreshContext,
    NamedText,
    TaskType,
)
from octolog.domain.values import NO_LIMITS, Limits


class Role(StrEnum):
    """What an operator is to its parent."""

    UNKNOWN = "UNKNOWN"
    ROOT = "ROOT"
    STEP = "STEP"
    ARGUMENT = "ARGUMENT"
    INNER = "INNER"
    REDUCTION = "REDUCTION"


class FailurePolicy(StrEnum):
    """What a failing child means to its operator."""

    UNKNOWN = "UNKNOWN"
    FAIL_FAST = "FAIL_FAST"
    COLLECT = "COLLECT"


class ContextMode(StrEnum):
    """Which context an attempt is given, and how memory is to be asked."""

    UNKNOWN = "UNKNOWN"
    INHERIT = "INHERIT"
    ACCUMULATE = "ACCUMULATE"
    FRESH = "FRESH"
    HISTORY = "HISTORY"
    MINIMAL = "MINIMAL"


class RecoveryKind(StrEnum):
    """How a failed task is tried with another structure."""

    UNKNOWN = "UNKNOWN"
    DECOMPOSITION = "DECOMPOSITION"
    ALTERNATIVE = "ALTERNATIVE"


@dataclass(frozen=True, slots=True)
class OperatorInput:
    """A named input: a literal, a variable's value, or the result of the ARGUMENT child of the same name.

    Attributes:
        name: Unique in its operator.
        text: The literal; used when `variable` is empty and no ARGUMENT child has this name.
        variable: Name of the environment variable it is bound to (`from` in XML); empty: none.
    """

    schema_name: ClassVar[str] = "octolog.tasksystem.OperatorInput"
    name: str
    text: str = ""
    variable: str = ""


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator of a program.

    Attributes:
        name: Step id, unique among its siblings; its task id is `<parent's task id>/<name>`. Empty at the root.
        parent: Place of its parent in the program; -1 for the root.
        role: What it is to its parent.
        type: Which operator.
        subtype: STANDARD or SUBTASK on atomic ones; else NONE.
        goal: For people and for routing: element or attribute `description`.
        instructions: The task prompt, with `{{placeholders}}`; atomic ones only.
        system: The system prompt; may be empty.
        model: Model id; empty: the arm's own.
        inputs: Named inputs, in document order.
        inherit_context: True: the parent's context as it is.
        accumulate_data: True: what earlier steps gave feeds the later ones.
        accumulation_format: What is kept of them.
        on_failure: Sequences and reduces always fail fast; a map collects by default.
        initial_value: First accumulator of a reduce.
        disable_reparsing: True: no recovery task, errors go straight to the caller.
        is_manual_xml: True: used as written, never restructured.
        output_type: Declared type of the content: empty, `text`, `json`, `object`, `array`, `string[]`, `number`
            or `boolean`.
        max_turns: Model responses one attempt may use; None: the arm's own bound.
        max_context_fraction: Share of the model's window, above 0.0 to 1.0; None: the arm's own bound.
        assigned_arm: Run on this arm only.
        required_capabilities: Tags the arm must have.
        max_cost_tier: Highest cost tier allowed, 1 to 5; None: any.
        acceptance_criteria: What the result is held against.
        budget: What one attempt may use at most, out of the tree's budget.
        priority: 1 (first) to 10; None: the task's.
        timeout_ms: Longest run of one attempt, milliseconds; None: the arm's own.
        metadata_json: Free-form, canonical JSON object; never changes the meaning.
        fresh_context: ENABLED: memory is asked, and nothing is inherited; DISABLED: it is not asked; UNSAID: as
            the two truth values have it.
    """

    schema_name: ClassVar[str] = "octolog.tasksystem.Operator"
    name: str
    parent: int
    role: Role
    type: TaskType
    subtype: AtomicTaskSubtype = AtomicTaskSubtype.NONE
    goal: str = ""
    instructions: str = ""
    system: str = ""
    model: str = ""
    inputs: tuple[OperatorInput, ...] = ()
    inherit_context: bool = False
    accumulate_data: bool = False
    accumulation_format: AccumulationFormat = AccumulationFormat.FULL_OUTPUT
    on_failure: FailurePolicy = FailurePolicy.FAIL_FAST
    initial_value: str = ""
    disable_reparsing: bool = False
    is_manual_xml: bool = False
    output_type: str = ""
    max_turns: int | None = None
    max_context_fraction: float | None = None
    assigned_arm: ArmId | None = None
    required_capabilities: tuple[str, ...] = ()
    max_cost_tier: int | None = None
    acceptance_criteria: tuple[str, ...] = ()
    budget: Limits = NO_LIMITS
    priority: int | None = None
    timeout_ms: int | None = None
    metadata_json: str = "{}"
    fresh_context: FreshContext = FreshContext.UNSAID


@dataclass(frozen=True, slots=True)
class SubtaskRequest:
    """What an arm wants another to do before it goes on: an atomic task with a context of its own.

    Attributes:
        goal: What shall be achieved, 1 to 10,000 characters.
        instructions: The task prompt; `{{placeholders}}` stand for the inputs below.
        inputs: Its whole environment, in order.
        system: The system prompt; may be empty.
        model: Model id; empty: the arm's own.
        output_type: Declared type of the content, as in `Operator`.
        assigned_arm: Run on this arm only.
        required_capabilities: Tags the arm must have; with no arm and no tags, those of the task that asks.
        max_cost_tier: Highest cost tier allowed, 1 to 5; None: the asking task's.
        acceptance_criteria: What the result is held against.
        budget: What one attempt may use at most, out of the tree's budget.
        max_turns: Model responses one attempt may use; None: the arm's own bound.
        max_context_fraction: Share of the model's window, above 0.0 to 1.0; None: the arm's own bound.
        timeout_ms: Longest run of one attempt, milliseconds; None: the asking task's.
    """

    schema_name: ClassVar[str] = "octolog.result.SubtaskRequest"
    goal: str
    instructions: str = ""
    inputs: tuple[NamedText, ...] = ()
    system: str = ""
    model: str = ""
    output_type: str = ""
    assigned_arm: ArmId | None = None
    required_capabilities: tuple[str, ...] = ()
    max_cost_tier: int | None = None
    acceptance_criteria: tuple[str, ...] = ()
    budget: Limits = NO_LIMITS
    max_turns: int | None = None
    max_context_fraction: float | None = None
    timeout_ms: int | None = None


Program: TypeAlias = tuple[Operator, ...]

ATOMIC: Final = Operator("", -1, Role.ROOT, TaskType.ATOMIC, AtomicTaskSubtype.STANDARD)
"""An atomic root with every default, to be replaced in parts."""
