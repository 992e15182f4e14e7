"""Which fields can hold personal data, and a record without them: the one place that exports pass through.

A field says so in its schema, by `"personal": true`. What lies below such a field is personal as a whole. Ids,
numbers, digests and times are not marked: without them a record could not be found, counted or proved.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any, Final

from octolog.domain.chain import Link
from octolog.safety import redact
from schemas import catalog
from schemas.codec import RecordedFact

REDACTED: Final = "[redacted]"
REDACTED_JSON: Final = '"[redacted]"'
"""For texts that must stay JSON: fields whose name ends in `_json`."""

_WHO: Final = frozenset(
    {"amended_by", "approved_by", "denied_by", "registered_by", "requested_by", "submitted_by"}
)
"""Who asked for what: whoever may see personal data is told it in full, as the log has it."""


@cache
def personal_fields(name: str) -> frozenset[str]:
    """Fields of a record that can hold personal data, not those of records within it."""
    fields = catalog.file_schema(name).get("fields", ())
    return frozenset(field["name"] for field in fields if field.get("personal") is True)


@cache
def personal_paths(name: str) -> tuple[str, ...]:
    """Dotted paths of all personal fields of a record and the records within it; `[]` stands for any item."""
    found: list[str] = []

    def walk(schema: Any, path: str, inside: frozenset[str]) -> None:
        if isinstance(schema, list):
            for branch in schema:
                walk(branch, path, inside)
        elif isinstance(schema, str):
            if "." in schema and schema not in inside:
                walk(catalog.file_schema(schema), path, inside | {schema})
        elif schema["type"] == "array":
            walk(schema["items"], f"{path}[]", inside)
        elif schema["type"] == "record":
            for field in schema["fields"]:
                below = f"{path}.{field['name']}".lstrip(".")
                if field.get("personal") is True:
                    found.append(below)
                else:
                    walk(field["type"], below, inside)

    walk(name, "", frozenset())
    return tuple(found)


def shown(record: str, field: str, text: str, *, personal: bool = True) -> str:
    """One text of a record as an export may show it.

    Args:
        record: Full name of the record that holds the field itself.
        field: The field.
        text: What stands in it, or one item of it.
        personal: False: what can be personal data is left out. True: it is shown, without what the detectors of
            personal data and secrets find in it, which is what lay in the log if they were off when it was written.
    """
    if not personal and field in personal_fields(record):
        return REDACTED if text else text
    return text if field in _WHO else redact(text, key=field).text


def redacted(record: Any) -> Any:
    """A record of the catalog, or a `RecordedFact`, without personal data; the same object where it has none.

    Texts become `[redacted]`, lists and bytes empty, nested records and numbers their defaults or nothing. What is
    empty already stays so. A recorded fact keeps its link and the hash of what it was.
    """
    if isinstance(record, RecordedFact):
        fact = redacted(record.fact)
        return record if fact is record.fact else dataclasses.replace(record, fact=fact)
    return _without(record)


def _without(value: Any) -> Any:
    if isinstance(value, tuple):
        items = tuple(_without(item) for item in value)
        return value if all(a is b for a, b in zip(items, value, strict=True)) else items
    if not dataclasses.is_dataclass(value) or isinstance(value, type | Link):
        return value
    personal = personal_fields(type(value).schema_name)  # type: ignore[attr-defined]  # every record has one
    changed: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        ours = getattr(value, field.name)
        theirs = _blank(field.name, ours) if field.name in personal else _without(ours)
        if theirs is not ours and theirs != ours:
            changed[field.name] = theirs
    return dataclasses.replace(value, **changed) if changed else value


def _blank(name: str, value: Any) -> Any:
    match value:
        case str():
            return (REDACTED_JSON if name.endswith("_json") else REDACTED) if value else value
        case bytes():
            return b""
        case tuple():
            return ()
        case _:
            return None
