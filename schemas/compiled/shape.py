"""What a record looks like on the wire, paired with the class that stands for it.

The `.avsc` file gives the order and the types, the dataclass gives the classes of nested records and enums.
A schema that the generators cannot write is refused here, when a function is made, never while records flow.
"""

from __future__ import annotations

import dataclasses
import typing
from enum import StrEnum
from types import UnionType
from typing import Any, Final, TypeAlias, Union, get_args, get_origin

from octolog.domain.chain import Link
from octolog.domain.errors import IncompatibleSchema
from schemas import catalog

_SCALARS: Final = frozenset({"boolean", "int", "long", "double", "string", "bytes"})
_MAX_SYMBOLS: Final = 64  # more, and the index of a symbol takes two bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Scalar:
    """A primitive.

    Attributes:
        kind: Its Avro type; `timestamp` for a long that is milliseconds since the epoch: never a small number.
    """

    kind: str


@dataclasses.dataclass(frozen=True, slots=True)
class Fixed:
    """A known number of bytes."""

    size_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class Symbols:
    """An enum.

    Attributes:
        cls: Its class.
        symbols: In the order of the schema: a symbol's place is its number on the wire.
    """

    cls: type[StrEnum]
    symbols: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Nullable:
    """A union of null, first, and one other type."""

    inner: Shape


@dataclasses.dataclass(frozen=True, slots=True)
class Sequence:
    """An array."""

    items: Shape


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """A record.

    Attributes:
        cls: Its class.
        fields: Name and shape, in the order of the schema.
    """

    cls: type[Any]
    fields: tuple[tuple[str, Shape], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Again:
    """A record inside itself."""

    cls: type[Any]


Shape: TypeAlias = Scalar | Fixed | Symbols | Nullable | Sequence | Record | Again


def shape_of(cls: type[Any]) -> Record:
    """The shape of a class of `catalog.RECORDS`; of a fact, without its link and hash.

    Raises:
        IncompatibleSchema: When the schema has a part the generators cannot write.
    """
    schema = catalog.file_schema(cls.schema_name)
    if cls in catalog.FACTS:
        link, *fields, last = schema["fields"]
        if (link["name"], link["type"]) != ("link", Link.schema_name) or last["name"] != "hash":
            raise IncompatibleSchema(f"{cls.schema_name} is a fact: put `link` first and `hash` last")
        schema = {**schema, "fields": fields}
    return _record(schema, cls, ())


def _record(schema: catalog.Schema, cls: type[Any], around: tuple[type[Any], ...]) -> Record:
    names = tuple(field.name for field in dataclasses.fields(cls))
    if getattr(cls, "__slots__", None) != names or hasattr(cls, "__post_init__"):
        raise IncompatibleSchema(f"{cls.__qualname__} must be a slotted dataclass without __post_init__")
    if not schema["fields"] or {field["name"] for field in schema["fields"]} != set(names):
        raise IncompatibleSchema(f"{cls.__qualname__} must have the fields of {schema['name']}, at least one")
    hints = typing.get_type_hints(cls)
    inside = (*around, cls)
    return Record(
        cls,
        tuple(
            (field["name"], _shape(field["type"], hints[field["name"]], inside)) for field in schema["fields"]
        ),
    )


def _shape(node: Any, hint: Any, around: tuple[type[Any], ...]) -> Shape:
    if isinstance(node, str):
        return Scalar(node) if node in _SCALARS else _shape(catalog.file_schema(node), hint, around)
    if isinstance(node, list):
        if len(node) != 2 or node[0] != "null":  # noqa: PLR2004 - null and one other
            raise IncompatibleSchema(f"{node} must be a union of null, first, and one other type")
        return Nullable(_shape(node[1], _not_none(hint), around))
    match node["type"]:
        case "array":
            return Sequence(_shape(node["items"], get_args(hint)[0], around))
        case "record":
            return Again(hint) if hint in around else _record(node, hint, around)
        case "enum" if len(node["symbols"]) <= _MAX_SYMBOLS:
            return Symbols(hint, tuple(node["symbols"]))
        case "fixed" if node["size"] > 0:
            return Fixed(node["size"])
        case kind if kind in _SCALARS:
            return Scalar("timestamp" if node.get("logicalType") == "timestamp-millis" else kind)
        case kind:
            raise IncompatibleSchema(f"{node.get('name', kind)}: no code is generated for this {kind}")


def _not_none(hint: Any) -> Any:
    if get_origin(hint) not in (Union, UnionType):
        raise IncompatibleSchema(f"{hint} must allow None, as its schema does")
    (inner,) = (arg for arg in get_args(hint) if arg is not type(None))
    return inner
