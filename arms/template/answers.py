"""What a model's answer says: a TaskResult of the declared type, or a program."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import Any, Final

import orjson

from arms.arm import Fail
from octolog.domain.evaluator.outputs import violations
from octolog.domain.json_text import canonical, exactly
from octolog.domain.operators import Program
from octolog.domain.templates.errors import DocumentRefused
from octolog.domain.values import TaskError, TaskErrorType
from schemas.xml.parser import MAX_DOCUMENT_BYTES
from schemas.xml.reader import read_output, read_program

__all__ = ["checked", "program", "result", "schema_of"]

_VALUES: Final[Mapping[str, Mapping[str, Any]]] = {
    "json": {},
    "object": {"type": "object"},
    "array": {"type": "array", "items": {}},
    "string[]": {"type": "array", "items": {"type": "string"}},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
}
_FENCED: Final = re.compile(r"\s*```[A-Za-z]*[ \t]*\n(?P<inner>.*)\n[ \t]*```\s*", re.DOTALL)
_LOOKS_LIKE_JSON: Final = re.compile(r"\s*(?:[{\[]|true\b|false\b|null\b|-?\d)")
_EXTRA: Final = frozenset({"content", "dataUsage", "notes"})


def schema_of(output_type: str) -> Mapping[str, Any] | None:
    """The JSON Schema of an answer of a declared type; None: any text will do."""
    if output_type not in _VALUES:
        return None
    return {
        "type": "object",
        "properties": {"content": dict(_VALUES[output_type]), "dataUsage": {"type": "string"}},
        "required": ["content", "dataUsage"],
        "additionalProperties": False,
    }


def result(text: str, output_type: str, derived_usage: str) -> dict[str, Any]:
    """The TaskResult that an answer stands for.

    Args:
        text: What the model wrote.
        output_type: Declared type; empty: any.
        derived_usage: Which data was used, as far as it is known without the model; taken where it does not say.
    """
    content, notes = _taken_apart(text, output_type)
    said = notes.get("dataUsage")
    if not isinstance(said, str) or not said.strip():
        notes = {**notes, "dataUsage": derived_usage, "dataUsageDerived": True}
    found: dict[str, Any] = {"content": content, "notes": notes}
    if output_type != "text":
        parsed = _parsed(content)
        if parsed is not None:
            found["parsedContent"] = parsed
    if output_type in ("", "text"):
        warnings = read_output(content).warnings
        if warnings:
            found["warnings"] = list(warnings)
    return found


def checked(found: dict[str, Any], output_type: str) -> dict[str, Any]:
    """The same TaskResult.

    Raises:
        Fail: INVALID_OUTPUT: its content is not of the declared type. It bears the result all the same.
    """
    broken = violations(orjson.dumps(found).decode(), output_type)
    if broken:
        message = "; ".join(broken)
        error = TaskError(TaskErrorType.INVALID_OUTPUT, message, violations=broken)
        raise Fail(message, "INVALID_OUTPUT", task_error=error, output=found)
    return found


def program(text: str, known_models: Container[str]) -> Program:
    """The program in a decomposition's answer, strictly; a code fence around the whole is no part of it.

    Raises:
        Fail: XML_PARSE_ERROR with `line:column` in the answer, or VALIDATION_ERROR with the path.
    """
    # What is too long with whatever fence and blanks is not searched for one: it is refused as it is.
    fenced = _FENCED.fullmatch(text) if len(text) <= 2 * MAX_DOCUMENT_BYTES else None
    # The line of the fence stays as an empty one, so that places are those of the answer.
    before = text[: fenced.start("inner")].count("\n") if fenced else 0
    inner = fenced["inner"] if fenced else text
    try:
        if "<?xml" in inner[:64]:
            return read_program(inner.strip(), known_models)
        return read_program("\n" * before + inner.rstrip(), known_models)
    except DocumentRefused as refused:
        error = refused.error
        where = error.location or error.path or "document"
        raise Fail(
            f"the decomposition is no program: {where}: {error.message}",
            str(error.type),
            task_error=error,
            output={"content": text[:65_536], "notes": {"dataUsage": "the failed task, its error"}},
        ) from refused


def _taken_apart(text: str, output_type: str) -> tuple[str, dict[str, Any]]:
    """Content and notes; an answer that is no TaskResult is all content."""
    inner = text
    if output_type in _VALUES:
        fenced = _FENCED.fullmatch(text)
        inner = fenced["inner"] if fenced else text
    value = _parsed(inner)
    if not isinstance(value, dict) or "content" not in value or not value.keys() <= _EXTRA:
        return inner, {}
    notes = value.get("notes")
    kept = dict(notes) if isinstance(notes, dict) else {}
    if isinstance(notes, str):
        kept["dataUsage"] = notes
    if isinstance(value.get("dataUsage"), str):
        kept["dataUsage"] = value["dataUsage"]
    content = value["content"]
    if not isinstance(content, str):
        return orjson.dumps(content, option=orjson.OPT_SORT_KEYS).decode(), kept
    # A schema for any JSON value lets a model write it as one, or as the text of one.
    return content if _fits(content, output_type) else canonical(content), kept


def _fits(content: str, output_type: str) -> bool:
    """Whether a string stands for itself: it is no declared JSON, or the text of one."""
    if output_type != "json":
        return True
    try:
        exactly(content.strip())
    except ValueError:
        return False
    return True


def _parsed(text: str) -> Any:
    """The value of a text that looks like JSON and is; else None."""
    if not _LOOKS_LIKE_JSON.match(text):
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
