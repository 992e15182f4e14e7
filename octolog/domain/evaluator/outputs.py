"""What an output says: its content, its notes, whether it is of the type that was declared."""

from __future__ import annotations

from typing import Final, cast

from octolog.domain.json_text import canonical, exactly, is_number, quoted, whole
from octolog.domain.values import BlobRef, TaskErrorType

OUTPUT_TYPES: Final = ("", "text", "json", "object", "array", "string[]", "number", "boolean")
UNION: Final = (
    TaskErrorType.RESOURCE_EXHAUSTION,
    TaskErrorType.INVALID_OUTPUT,
    TaskErrorType.VALIDATION_ERROR,
    TaskErrorType.XML_PARSE_ERROR,
)
"""The four errors of seed B; TASK_FAILURE is an extension."""


def text_of(output: str, blob: BlobRef | None) -> str:
    """An output's text; of one in the blob store its reference."""
    if blob is None:
        return output
    return f'{{"sha256":{quoted(blob.sha256)},"size_bytes":{blob.size_bytes}}}'


def content_of(output: str) -> str:
    """The content of an output: a text.

    Its `content` when it is an object with a string there, the string when it is one, else its canonical JSON; an
    output that is no JSON is its own content.
    """
    try:
        value = exactly(output)
    except ValueError:
        return whole(output)
    return _content(value)


def notes_of(output: str) -> str:
    """The notes of an output, a canonical JSON object; notes that are one text are its data usage."""
    if '"notes"' not in output:
        return "{}"
    try:
        value = exactly(output)
    except ValueError:
        return "{}"
    notes = cast("dict[str, object]", value).get("notes") if isinstance(value, dict) else None
    if isinstance(notes, str) and not is_number(notes):
        return canonical({"dataUsage": notes})
    return canonical(cast("object", notes)) if isinstance(notes, dict) else "{}"


def element_of(output: str) -> str:
    """An output as an element of a JSON array: canonical, or a string when it is no JSON."""
    try:
        return canonical(exactly(output))
    except ValueError:
        return quoted(whole(output))


def violations(output: str, output_type: str) -> tuple[str, ...]:
    """The rules an output breaks: its declared type, and that a TaskResult says which data it used."""
    if output_type in ("", "text") and '"notes"' not in output:
        return ()
    try:
        value = exactly(output)
    except ValueError:
        value = None if output == "" else output
    found = list(_result_faults(value))
    if output_type not in ("", "text"):
        actual = _mismatch(_content(value) if output else "", output_type)
        if actual is not None:
            expected = "array of strings" if output_type == "string[]" else output_type
            found.append(f"content: expected {expected}, actual {actual}")
    return tuple(found)


def _result_faults(value: object) -> list[str]:
    """Whoever gives both content and notes gives a TaskResult, and its notes name the data."""
    if not isinstance(value, dict):
        return []
    members = cast("dict[str, object]", value)
    notes = members.get("notes")
    if not _is_text(members.get("content")) or not isinstance(notes, dict):
        return []
    usage = cast("dict[str, object]", notes).get("dataUsage")
    return (
        [] if _is_text(usage) else [f"notes.dataUsage: expected string, actual {_type_of(usage, 'absent')}"]
    )


def _content(value: object) -> str:
    inner = cast("dict[str, object]", value).get("content") if isinstance(value, dict) else None
    text: object = inner if _is_text(inner) else value  # pyright: ignore[reportUnknownVariableType]
    return whole(text) if isinstance(text, str) and not is_number(text) else canonical(text)  # pyright: ignore[reportUnknownArgumentType]


def _mismatch(content: str, output_type: str) -> str | None:
    """The actual type of a content that is not of the declared one."""
    try:
        value = exactly(content.strip())
    except ValueError:
        return "text"
    if output_type == "json":
        return None
    actual = _type_of(value, "null")
    if output_type != "string[]":
        return None if actual == output_type else actual
    if not isinstance(value, list):
        return actual
    wrong = (item for item in cast("list[object]", value) if not _is_text(item))
    odd = next((_type_of(item, "null") for item in wrong), None)
    return None if odd is None else f"array with {odd}"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not is_number(value)


def _type_of(value: object, nothing: str) -> str:
    if value is None:
        return nothing
    if isinstance(value, bool):
        return "boolean"
    if is_number(value):
        return "number"
    if isinstance(value, str):
        return "string"
    return "object" if isinstance(value, dict) else "array"
