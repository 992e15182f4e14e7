"""The dialect of Avro that every columnar reader takes (design, section 6).

No `map`, no union beyond `["null", X]`, no nullable enum, an `UNKNOWN` symbol in every enum, no type inside
itself, `timestamp-millis` and no other logical type; and a doc on every field.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import avro.errors
import avro.schema

from schemas.registry.text import PRIMITIVES

if TYPE_CHECKING:
    from collections.abc import Iterator

LOGICAL_TYPES: Final = {"timestamp-millis": "long"}
DEFAULT_SYMBOL: Final = "UNKNOWN"
_OPTIONAL_BRANCHES: Final = 2
_Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing wrong with one schema; `str()` is one line.

    Attributes:
        subject: Full name of the record, or for the dialect of the type that holds the field.
        path: Dotted path of the field from there; `[]` are an array's items; empty for the type itself.
        reason: What is wrong.
        release: The released version that it breaks; None for the dialect.
    """

    subject: str
    path: str
    reason: str
    release: str | None = None

    def __str__(self) -> str:
        place = f"{self.subject}.{self.path}" if self.path else self.subject
        against = f" (released in {self.release})" if self.release else ""
        return f"{place}: {self.reason}{against}"


def not_avro(error: Exception) -> str:
    """Return, on one line, why Avro's parser refuses a schema."""
    return f"Avro does not take it: {' '.join(str(error).split())}"


def dialect_violations(schema: str, recursive: frozenset[str] = frozenset()) -> tuple[Violation, ...]:
    """Return what in a self-contained schema is outside the dialect.

    Args:
        schema: JSON text of a record.
        recursive: Full names of the types that may contain themselves.
    """
    try:
        parsed: object = json.loads(schema)
        name = avro.schema.parse(schema).get_prop("name")
    except (ValueError, avro.errors.AvroException) as error:
        return (Violation("schema", "", not_avro(error)),)
    if not isinstance(parsed, dict) or parsed.get("type") != "record":
        return (Violation(str(name), "", "the top level must be a record"),)
    return tuple(dict.fromkeys(_Dialect(recursive).type(parsed, "", "", "")))


class _Dialect:
    """A walk over one schema; knows the named types behind it and those it is inside of."""

    def __init__(self, recursive: frozenset[str]) -> None:
        self._recursive = recursive
        self._kinds: dict[str, object] = {}
        self._inside: list[str] = []

    def type(self, node: object, namespace: str, owner: str, path: str) -> Iterator[Violation]:
        if isinstance(node, list):
            yield from self._union(cast("list[object]", node), namespace, owner, path)
        elif isinstance(node, str):
            name = self._full(node, namespace)
            if name in self._inside and name not in self._recursive:
                yield Violation(owner, path, f"{name} contains itself; readers by column cannot follow")
        elif isinstance(node, dict):
            yield from self._complex(cast("_Json", node), namespace, owner, path)

    def _union(self, branches: list[object], namespace: str, owner: str, path: str) -> Iterator[Violation]:
        if len(branches) != _OPTIONAL_BRANCHES or branches[0] != "null":
            yield Violation(owner, path, 'the only union is ["null", X]')
        for branch in branches:
            if self._kind(branch, namespace) == "enum":
                yield Violation(owner, path, f"an enum is never nullable; use its symbol {DEFAULT_SYMBOL}")
            yield from self.type(branch, namespace, owner, path)

    def _complex(self, node: _Json, namespace: str, owner: str, path: str) -> Iterator[Violation]:
        kind = node["type"]
        logical = node.get("logicalType")
        if logical is not None and LOGICAL_TYPES.get(str(logical)) != kind:
            allowed = ", ".join(f"{name} on {base}" for name, base in LOGICAL_TYPES.items())
            yield Violation(owner, path, f"logical type {logical} on {kind}; allowed: {allowed}")
        if kind == "map":
            yield Violation(owner, path, "no map; use an array of records, or canonical JSON in a string")
            yield from self.type(node["values"], namespace, owner, path)
        elif kind == "array":
            yield from self.type(node["items"], namespace, owner, f"{path}[]")
        elif kind == "record":
            yield from self._record(node, self._define(node, namespace))
        elif kind in {"enum", "fixed"}:
            name = self._define(node, namespace)
            if kind == "enum" and node.get("default") != DEFAULT_SYMBOL:
                yield Violation(name, "", f'an enum needs "default": "{DEFAULT_SYMBOL}", one of its symbols')
        elif not isinstance(kind, str):
            yield from self.type(kind, namespace, owner, path)

    def _record(self, node: _Json, name: str) -> Iterator[Violation]:
        self._inside.append(name)
        for field in cast("list[_Json]", node["fields"]):
            place = str(field["name"])
            if not str(field.get("doc", "")).strip():
                yield Violation(name, place, "a field needs a doc: what, in which unit, from where")
            if isinstance(field["type"], list) and field.get("default", ...) is not None:
                yield Violation(name, place, 'a nullable field needs "default": null')
            yield from self.type(field["type"], name.rpartition(".")[0], name, place)
        self._inside.pop()

    def _define(self, node: _Json, namespace: str) -> str:
        own = str(node.get("namespace", namespace))
        name = self._full(str(node["name"]), own)
        self._kinds[name] = node["type"]
        return name

    def _kind(self, node: object, namespace: str) -> object:
        return (
            node.get("type") if isinstance(node, dict) else self._kinds.get(self._full(str(node), namespace))
        )

    @staticmethod
    def _full(name: str, namespace: str) -> str:
        return name if "." in name or not namespace or name in PRIMITIVES else f"{namespace}.{name}"
