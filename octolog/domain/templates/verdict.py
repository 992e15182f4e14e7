"""Verdicts on documents, as seed B words them: what is valid, what is only worth a warning, and where the fault is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from octolog.domain.operators import Operator
from octolog.domain.tasksystem import FreshContext, TemplateValidation, ValidationResult, XMLValidation
from octolog.domain.templates.document import Document, empty_inputs
from octolog.domain.templates.errors import MAX_FAULTS, DocumentRefused, Fault, invalid
from octolog.domain.templates.names import unbound
from octolog.domain.values import TaskError, TaskErrorType

NOT_EXPECTED: Final = "is not expected here"
"""How the schema's message on an element in the wrong place begins."""

MISSING: Final = "missing child element"
"""What the schema's message on an element that is not there has in it."""

_OF_INPUTS: Final = re.compile(r"/inputs(/input(\[\d+\])?(/@\w+)?)?$")
_OF_MODEL: Final = re.compile(r"/model(\[\d+\])?$")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What there is to say about a document.

    Attributes:
        xml: Whether it is XML that follows the schema.
        template: Whether its structure, models and inputs are right.
        faults: Why not, each with its line and column; empty when it is valid.
        document: What it says; None when it is not valid.
    """

    xml: XMLValidation
    template: TemplateValidation
    faults: tuple[Fault, ...]
    document: Document | None

    @property
    def valid(self) -> bool:
        """True when nothing is wrong with it."""
        return not self.faults

    @property
    def errors(self) -> tuple[TaskError, ...]:
        """Why it is not valid, as the task system's errors; the first is the reason."""
        return tuple(fault.error for fault in self.faults)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is worth a look; never decides."""
        return self.template.result.warnings

    def required(self) -> Document:
        """The document.

        Raises:
            DocumentRefused: It is not valid; the first reason, with the others beside it.
        """
        if self.document is None:
            raise DocumentRefused(self.errors[0], self.faults)
        return self.document


def verdict(
    faults: Sequence[Fault],
    *,
    schema_errors: int,
    document: Document | None = None,
    rest: Document | None = None,
    parsed_content_json: str | None = None,
) -> Verdict:
    """A verdict from what was found.

    Args:
        faults: Everything that is wrong, the first first.
        schema_errors: How many of them the schema found.
        document: What the document says; None when it could not be read.
        rest: What could be read of it then, for warnings.
        parsed_content_json: Its syntax tree, canonical JSON; None when it is no XML.
    """
    errors = [fault.error for fault in faults]
    warnings = () if rest is None else _sure_warnings(rest)
    if document is not None:
        warnings = warnings_of(document)
    told = tuple(f"{error.type}: {error.path or error.location}: {error.message}" for error in errors)
    where = (errors[0].path or errors[0].location) if errors else None
    xml_valid = not any(error.type is TaskErrorType.XML_PARSE_ERROR for error in errors)
    schema_valid = xml_valid and not schema_errors
    of_schema = told[:schema_errors] if xml_valid else told
    xml = XMLValidation(
        ValidationResult(not of_schema, (), of_schema, where if of_schema else None),
        xml_valid,
        schema_valid,
        parsed_content_json if xml_valid else None,
    )
    template = TemplateValidation(
        ValidationResult(not errors, warnings, told, where),
        template_valid=xml_valid and all(_is_of_model(error) or _is_of_inputs(error) for error in errors),
        model_valid=xml_valid and not any(map(_is_of_model, errors)),
        inputs_valid=xml_valid and not any(map(_is_of_inputs, errors)),
    )
    return Verdict(xml, template, tuple(faults), None if errors else document)


def model_errors(unknown: Sequence[tuple[str, str]]) -> list[TaskError]:
    """A VALIDATION_ERROR for each model that nobody knows, from its path and id."""
    hint = "is no known model; name it in OCTOLOG_MODELS if it is one"
    return [invalid(path, f"{model[:80]!r} {hint}", invalid_model=True).error for path, model in unknown]


def warnings_of(document: Document) -> tuple[str, ...]:
    """What is worth a look in a document that is valid; of each kind at most `MAX_FAULTS`."""
    free = (
        f"{name!r}{_of(operator)} is bound by nothing in the document: "
        "the task fails unless its contract's context has it"
        for operator, name in unbound(document.program)
    )
    return (*_sure_warnings(document), *islice(free, MAX_FAULTS))


def _sure_warnings(document: Document) -> tuple[str, ...]:
    """Those that do not depend on what is not there."""
    empty = (
        f"input {given.name!r}{_of(operator)} has no text: it is empty unless a value is given"
        for operator, given in empty_inputs(document.program)
    )
    minimal = (
        f"the task{_of(operator)} has a minimal context: it inherits nothing, no earlier step is told, and memory "
        "is not asked; write fresh_context enabled if it should be"
        for operator in document.program
        if operator.fresh_context is FreshContext.DISABLED
        and not (operator.inherit_context or operator.accumulate_data)
    )
    return (*islice(empty, MAX_FAULTS), *islice(minimal, MAX_FAULTS))


def is_told(error: TaskError, of_schema: Sequence[TaskError]) -> bool:
    """Whether the schema's errors have said it: at the same place, or by an element where none of its name belongs."""
    path = error.path or ""
    for told in of_schema:
        at = told.path or ""
        if path == at:
            return True
        if _is_structural(told) and (path == at.rpartition("/")[0] or path.startswith(f"{at}/")):
            return True
    return False


def _is_structural(error: TaskError) -> bool:
    return not _in_place(error) or MISSING in error.message


def _of(operator: Operator) -> str:
    return f" of {operator.name!r}" if operator.name else ""


def _is_of_model(error: TaskError) -> bool:
    return bool(error.invalid_model) or (_in_place(error) and _OF_MODEL.search(error.path or "") is not None)


def _is_of_inputs(error: TaskError) -> bool:
    return _in_place(error) and _OF_INPUTS.search(error.path or "") is not None


def _in_place(error: TaskError) -> bool:
    """False for an element where none of its name belongs: a fault of the structure, whatever the element is."""
    return NOT_EXPECTED not in error.message


def as_json(found: Verdict) -> dict[str, Any]:
    """A verdict as JSON."""
    document = found.document
    return {
        "valid": found.valid,
        "kind": None if document is None else "operators" if document.template is None else "template",
        "name": None if document is None else document.name or None,
        "version": None if document is None else document.version or None,
        "xml_valid": found.xml.xml_valid,
        "schema_valid": found.xml.schema_valid,
        "template_valid": found.template.template_valid,
        "model_valid": found.template.model_valid,
        "inputs_valid": found.template.inputs_valid,
        "location": found.template.result.location,
        "warnings": list(found.warnings),
        "errors": [fault_json(fault) for fault in found.faults],
    }


def fault_json(fault: Fault) -> dict[str, Any]:
    """What is wrong, as JSON."""
    error = fault.error
    told: dict[str, Any] = {"type": error.type, "message": error.message}
    if error.path is not None:
        told |= {"path": error.path, "invalid_model": bool(error.invalid_model)}
    if error.location is not None:
        told["location"] = error.location
    if fault.line:
        told |= {"line": fault.line, "column": fault.column}
    return told
