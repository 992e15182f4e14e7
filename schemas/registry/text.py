"""One text for one schema: the text that Apache Avro's Java library prints.

Registries tell schemas apart by their text. Confluent's compares what Avro's `Schema.toString()` prints,
Karapace sorts the keys of whatever it is given. Writing Java's text into the topic makes both find octolog's
schemas again under their ids. The order of keys and the way names shorten follow `org.apache.avro.Schema`,
version 1.12.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, cast

import avro.errors
import avro.schema

from octolog.domain.errors import IncompatibleSchema

if TYPE_CHECKING:
    from collections.abc import Mapping

PRIMITIVES: Final = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
_NAMED: Final = frozenset({"record", "error", "enum", "fixed"})
# Keys that are printed in a fixed place; all others are properties and follow in the order they came.
_KEYS: Final = frozenset(
    {"type", "name", "namespace", "doc", "fields", "symbols", "size", "items", "values", "aliases"}
)
_FIELD_KEYS: Final = frozenset({"name", "type", "doc", "default", "order", "aliases"})

Json = dict[str, object]


def schema_text(schema: str | Mapping[str, object]) -> str:
    """Return the one text of a self-contained schema.

    Args:
        schema: Avro schema as JSON text or as parsed JSON; how it is laid out does not matter.

    Raises:
        IncompatibleSchema: It is not JSON, or not the shape of an Avro schema.
    """
    try:
        parsed: object = json.loads(schema) if isinstance(schema, str) else schema
        return _dump(_type(parsed, namespace=""))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IncompatibleSchema(f"not an Avro schema ({error!r}); check the .avsc file") from error


def full_name(schema: str | Mapping[str, object]) -> str:
    """Return the full name of the record that `schema` defines, e.g. `octolog.task.TaskSubmitted`.

    Raises:
        IncompatibleSchema: It is not JSON, or defines no record.
    """
    try:
        parsed: object = json.loads(schema) if isinstance(schema, str) else schema
    except ValueError as error:
        raise IncompatibleSchema(f"the schema is not JSON ({error})") from error
    if not isinstance(parsed, dict) or parsed.get("type") != "record" or not parsed.get("name"):
        raise IncompatibleSchema("the schema defines no record; register records only, by their full name")
    name, namespace = _split(cast("Json", parsed), namespace="")
    return f"{namespace}.{name}" if namespace else name


def checked_text(subject: str, schema: str | Mapping[str, object]) -> str:
    """Return the text of a schema to be registered under `subject`.

    Raises:
        IncompatibleSchema: The schema is invalid, or is no record of the subject's name.
    """
    text = schema_text(schema)
    try:
        avro.schema.parse(text)
    except avro.errors.AvroException as error:
        reason = " ".join(str(error).split())
        raise IncompatibleSchema(f"{subject} is not self-contained Avro: {reason}") from error
    if (name := full_name(text)) != subject:
        raise IncompatibleSchema(
            f"subject {subject} does not name the record {name}; subjects are full names"
        )
    return text


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _split(named: Mapping[str, object], namespace: str) -> tuple[str, str]:
    """Return the simple name and the namespace of a named type; a dotted name outweighs `namespace`."""
    head, dot, tail = str(named["name"]).rpartition(".")
    if dot:
        return tail, head
    return tail, str(named.get("namespace", namespace))


def _reference(name: str, namespace: str) -> str:
    """Shorten the full name of a type of the same namespace, unless it would read as a primitive."""
    head, _, tail = name.rpartition(".")
    return tail if head == namespace and tail not in PRIMITIVES else name


def _type(schema: object, namespace: str) -> object:
    if isinstance(schema, str):
        return _reference(schema, namespace)
    if isinstance(schema, list):
        return [_type(branch, namespace) for branch in cast("list[object]", schema)]
    if not isinstance(schema, dict):
        raise TypeError(f"{schema!r} is no type")
    return _complex(cast("Json", schema), namespace)


def _complex(schema: Json, namespace: str) -> object:
    kind = schema["type"]
    if not isinstance(kind, str):  # {"type": {"type": ...}}: a wrapper that Java drops as well
        return _type(kind, namespace)
    if kind in _NAMED:
        return _named(schema, kind, namespace)
    if kind in {"array", "map"}:
        content = "items" if kind == "array" else "values"
        return {"type": kind, content: _type(schema[content], namespace), **_properties(schema, _KEYS)}
    properties = _properties(schema, _KEYS)
    return {"type": kind, **properties} if properties else _reference(kind, namespace)


def _named(schema: Json, kind: str, outer: str) -> Json:
    name, namespace = _split(schema, outer)
    text: Json = {"type": kind, "name": name}
    if namespace != outer:
        text["namespace"] = namespace
    if "doc" in schema:
        text["doc"] = schema["doc"]
    if kind == "enum":
        text["symbols"] = schema["symbols"]
    elif kind == "fixed":
        text["size"] = schema["size"]
    else:
        text["fields"] = [_field(field, namespace) for field in cast("list[Json]", schema["fields"])]
    text |= _properties(schema, _KEYS)
    if schema.get("aliases"):
        text["aliases"] = schema["aliases"]
    return text


def _field(field: Json, namespace: str) -> Json:
    text: Json = {"name": field["name"], "type": _type(field["type"], namespace)}
    if "doc" in field:
        text["doc"] = field["doc"]
    if "default" in field:
        text["default"] = field["default"]
    if field.get("order", "ascending") != "ascending":
        text["order"] = field["order"]
    if field.get("aliases"):
        text["aliases"] = field["aliases"]
    return text | _properties(field, _FIELD_KEYS)


def _properties(schema: Json, known: frozenset[str]) -> Json:
    return {key: schema[key] for key in schema if key not in known}
