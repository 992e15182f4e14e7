"""The types of the task system (seed B): templates, operators, handler limits, results, validation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar


class TaskType(StrEnum):
    """The four operators."""

    UNKNOWN = "UNKNOWN"
    ATOMIC = "ATOMIC"
    SEQUENTIAL = "SEQUENTIAL"
    MAP = "MAP"
    REDUCE = "REDUCE"


class AtomicTaskSubtype(StrEnum):
    """What kind of atomic task; NONE on the other operators."""

    UNKNOWN = "UNKNOWN"
    NONE = "NONE"
    STANDARD = "STANDARD"
    SUBTASK = "SUBTASK"


class AccumulationFormat(StrEnum):
    """What a sequence keeps of its steps' results."""

    UNKNOWN = "UNKNOWN"
    FULL_OUTPUT = "FULL_OUTPUT"
    NOTES_ONLY = "NOTES_ONLY"


class FreshContext(StrEnum):
    """Whether memory is asked for a context of the task's own; UNSAID leaves it to seed B's two truth values."""

    UNKNOWN = "UNKNOWN"
    UNSAID = "UNSAID"
    ENABLED = "ENABLED"
    DISABLED = "DISABLED"


@dataclass(frozen=True, slots=True)
class NamedText:
    """A name with a text: one entry of a string-to-string table.

    Attributes:
        name: Unique in its table.
        text: The value.
    """

    schema_name: ClassVar[str] = "octolog.tasksystem.NamedText"
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class ContextManagement:
    """How a task's context comes about.

    Attributes:
        inherit_context: True: the parent's context as it is.
        accumulate_data: True: earlier steps' results feed later ones; not together with `inherit_context`.
        accumulation_format: What is kept of them.
        fresh_context: Whether memory is asked; ENABLED not together with `inherit_context`.
    """

    schema_name: ClassVar[str] = "octolog.tasksystem.ContextManagement"
    inherit_context: bool
    accumulate_data: bool
    accumulation_format: AccumulationFormat
    fresh_context: FreshContext = FreshContext.UNSAID


@dataclass(frozen=True, slots=True)
class TaskTemplate:
    """A template of an atomic task; immutable.

    Attributes:
        task_prompt: Element `instructions`.
        system_prompt: Element `system`; may be empty.
        model: Element `model`; a known model id.
        inputs: Named inputs.
        is_manual_xml: True: the structure is used as written.
        disable_reparsing: True: errors go straight to the caller.
        atomic_subtype: Standard or subtask.
    """

    schema_name: ClassVar[str] = "octolog.tasksystem.TaskTemplate"
    task_prompt: str
    system_prompt: str
    model: str
    inputs: tuple[NamedText, ...] = ()
    is_manual_xml: bool = False
    disable_reparsing: bool = False
    atomic_subtype: AtomicTaskSubtype = AtomicTaskSubtype.STANDARD


@dataclass(frozen=True, slots=True)
class OperatorSpec:
    """An operator with its inputs.

    Attributes:
        type: Which operator.
        subtype: For atomic tasks; else NONE.
        inputs: Named inputs.
        disable_reparsing: True: no recovery task.
    """

    schema_name: ClassVar[str] = "octolog.tasksystem.OperatorSpec"
    type: TaskType
    subtype: AtomicTaskSubtype = AtomicTaskSubtype.NONE
    inputs: tuple[NamedText, ...] = ()
    disable_reparsing: bool = False


@dataclass(frozen=True, slots=True)
class ASTNode:
    """A node of a task's syntax tree; recursive.

    Attributes:
        type: Element name.
        content: Its text.
        operator_type: The operator, on nodes that run.
        children: In document order.
        metadata_json: Free-form, canonical JSON object; never changes the meaning.
    """

    schema_name: ClassVar[str] = "octolog.tasksystem.ASTNode"
    type: str
    content: str
    operator_type: TaskType = TaskType.UNKNOWN
    children: tuple[ASTNode, ...] = ()
    metadata_json: str = "{}"


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What a model-backed task returns.

    Attributes:
        content: The answer.
        data_usage: What data was used and how; required.
        notes_json: The other notes, canonical JSON object.
    """

    schema_name: ClassVar[str] = "octolog.tasksystem.TaskResult"
    content: str
    data_usage: str
    notes_json: str = "{}"


@dataclass(frozen=True, slots=True)
class RevisedTaskResult:
    """The two-string form of a result; read back as a TaskResult whose data usage is `notes`.

    Attributes:
        content: The answer.
        notes: All notes in one text.
    """

    schema_name: ClassVar[str] = "octolog.tasksystem.RevisedTaskResult"
    content: str
    notes: str


@dataclass(frozen=True, slots=True)
class HandlerConfig:
    """A handler's configuration; immutable.

    Attributes:
        max_turns: Model responses allowed.
        max_context_window_fraction: Share of the model's window that may be filled, 0.0 to 1.0.
        default_model: Model where the template names none.
        system_prompt: May be empty.
    """

    schema_name: ClassVar[str] = "octolog.tasksystem.HandlerConfig"
    max_turns: int
    max_context_window_fraction: float
    default_model: str | None = None
    system_prompt: str = ""


@dataclass(frozen=True, slots=True)
class ResourceLimits:
    """A handler's limits.

    Attributes:
        max_turns: Model responses.
        max_context_window: Tokens.
        warning_threshold: Share of a limit that warns, 0.0 to 1.0.
        timeout_ms: Longest run, milliseconds.
    """

    schema_name: ClassVar[str] = "octolog.tasksystem.ResourceLimits"
    max_turns: int
    max_context_window: int
    warning_threshold: float = 0.8
    timeout_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ResourceMetrics:
    """A handler's use so far.

    Attributes:
        turns_used: Model responses.
        turns_limit: Model responses allowed.
        last_turn_at_ms: When the last one came, milliseconds since the epoch; null before the first.
        context_used: Tokens.
        context_limit: Tokens allowed.
        context_peak: Highest `context_used`.
    """

    schema_name: ClassVar[str] = "octolog.tasksystem.ResourceMetrics"
    turns_used: int
    turns_limit: int
    last_turn_at_ms: int | None
    context_used: int
    context_limit: int
    context_peak: int


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """Whether something is valid.

    Attributes:
        valid: The verdict.
        warnings: Never decide the verdict.
        errors: Set when it is False.
        location: Where the first error is.
    """

    schema_name: ClassVar[str] = "octolog.tasksystem.ValidationResult"
    valid: bool
    warnings: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    location: str | None = None


@dataclass(frozen=True, slots=True)
class XMLValidation:
    """A document's validity.

    Attributes:
        result: The verdict; valid means both flags.
        xml_valid: It is well-formed.
        schema_valid: It follows the schema; implies `xml_valid`.
        parsed_content_json: What was read, canonical JSON; only when `xml_valid`.
    """

    schema_name: ClassVar[str] = "octolog.tasksystem.XMLValidation"
    result: ValidationResult
    xml_valid: bool
    schema_valid: bool
    parsed_content_json: str | None = None


@dataclass(frozen=True, slots=True)
class TemplateValidation:
    """A template's validity.

    Attributes:
        result: The verdict; valid means all three flags.
        template_valid: Its structure is right.
        model_valid: Its model is known.
        inputs_valid: Its inputs are right.
    """

    schema_name: ClassVar[str] = "octolog.tasksystem.TemplateValidation"
    result: ValidationResult
    template_valid: bool
    model_valid: bool
    inputs_valid: bool
