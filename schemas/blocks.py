"""Records of one schema as one Avro container block, in the shape a columnar reader takes.

An Avro file is a header, then blocks of `count, size, datums, sync marker`. Values of one schema taken from
the log, without their 5-byte header, are such datums already, so a block is made without decoding any.
Columnar readers know less of Avro than the log uses, but the header's schema is ours to write: another
schema with the *same bytes* on the wire reads them too.

- A nested record that is never null is its fields in a row: they move up, as `parent_field`.
- An enum is written as the number of its symbol: it is read as an int; the symbols stay with the column.
- A named type written out once and referred to later is written out each time.
- A last field of eight bytes is added, and a mark stands after every datum. A datum that is cut off or
  too long shifts all that follow; unless every mark is found in its place, nothing of the block counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from octolog.domain.errors import IncompatibleSchema

MARK_BYTES: Final = 8
MARK_COLUMN: Final = "_mark"
WIRE_HEADER_BYTES: Final = 5
"""Magic byte and schema id before every value."""

AvroType: TypeAlias = str | dict[str, Any]

_PRIMITIVES: Final = frozenset({"string", "bytes", "int", "long", "float", "double", "boolean"})
_SYNC: Final = b"octolog-block-16"
_MAGIC: Final = b"Obj\x01"


@dataclass(frozen=True, slots=True)
class Column:
    """A leaf of a record: a scalar, or a list.

    Attributes:
        name: The names of the fields that lead to it, joined by `_`.
        path: Where a columnar reader finds it: a column, then fields of nullable records.
        type: Its Avro type: the name of a primitive, or an array of primitives or of flat records.
        timestamp: True for milliseconds since the epoch.
        symbols: An enum's symbols in the order of their numbers; else None.
        item_symbols: For a list of records: the paths of its fields that are enums, with their symbols; a path leads
            through nullable records.
        default: The value of a record whose writer did not know the field; None where there is none.
    """

    name: str
    path: tuple[str, ...]
    type: AvroType
    timestamp: bool = False
    symbols: tuple[str, ...] | None = None
    item_symbols: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()
    default: Any = None


class BlockSchema:
    """How values of one writer's schema are packed into a block.

    Args:
        schema_json: The writer's schema, self-contained.

    Attributes:
        name: The record's full name.
        columns: Its leaves, in the order of the record.

    Raises:
        IncompatibleSchema: For a record no columnar reader can take: recursive, a map, a union of several
            types, a list of enums.
    """

    def __init__(self, schema_json: str) -> None:
        schema = _named_in_full(json.loads(schema_json))
        self.name = _full_name(schema, "")
        flattened = list(_Flattener().fields(schema, (), ""))
        self.columns: Final = tuple(column for _, columns in flattened for column in columns)
        fields = [field for field, _ in flattened]
        fields.append({"name": MARK_COLUMN, "type": {"type": "fixed", "name": "Mark", "size": MARK_BYTES}})
        self._header = _header({"type": "record", "name": "Block", "fields": fields})

    def reads_alike(self, other: BlockSchema) -> bool:
        """Whether the same bytes have the same meaning under both."""
        return self._header == other._header and self.columns == other.columns

    def pack(self, values: Sequence[bytes], mark: bytes) -> bytes:
        """An Avro file of one block.

        Args:
            values: Values of this schema in the Confluent wire format.
            mark: Eight bytes to stand after every datum; random ones, so that no datum can imitate them.
        """
        body = mark.join([value[WIRE_HEADER_BYTES:] for value in values])
        return b"".join((self._header, _long(len(values)), _long(len(body) + MARK_BYTES), body, mark, _SYNC))


class _Flattener:
    """One walk over one schema."""

    def __init__(self) -> None:
        self._named: dict[str, Any] = {}
        self._open: list[str] = []
        self._count = 0

    def fields(
        self, record: dict[str, Any], path: tuple[str, ...], prefix: str
    ) -> Iterator[tuple[dict[str, Any], list[Column]]]:
        """Every field that is left of `record` in the block, with the leaves it holds."""
        name = _full_name(record, "")
        if name in self._open:
            raise IncompatibleSchema(f"{name} contains itself; it cannot be read in columns")
        self._named[name] = record
        self._open.append(name)
        for field in record["fields"]:
            yield from self._field(field, path, prefix)
        self._open.pop()

    def _field(
        self, field: dict[str, Any], path: tuple[str, ...], prefix: str
    ) -> Iterator[tuple[dict[str, Any], list[Column]]]:
        schema, default, name = self._known(field["type"]), field.get("default"), prefix + field["name"]
        if isinstance(schema, list):
            inner = self._known(_only(schema, name))
            if _kind(inner) == "record":
                nested = list(self.fields(inner, (*path, name), ""))
                # A default would also show where the whole record is null.
                columns = [
                    replace(c, name=f"{name}_{c.name}", default=None) for _, leaves in nested for c in leaves
                ]
                yield {"name": name, "type": ["null", self._record([f for f, _ in nested])]}, columns
                return
            column = self._leaf(name, path, inner, default)
            yield {"name": name, "type": ["null", self._wire(column, inner)]}, [column]
        elif _kind(schema) == "record":
            inside = schema if default is None else _with_defaults(schema, default)
            yield from self.fields(inside, path, f"{name}_")
        else:
            column = self._leaf(name, path, schema, default)
            yield {"name": name, "type": self._wire(column, schema)}, [column]

    def _leaf(self, name: str, path: tuple[str, ...], schema: Any, default: Any) -> Column:
        kind = _kind(schema)
        timestamp = isinstance(schema, dict) and schema.get("logicalType") == "timestamp-millis"
        where = (*path, name)
        if kind == "enum":
            return Column(name, where, "string", symbols=tuple(schema["symbols"]), default=default)
        if kind == "fixed":
            return Column(name, where, "bytes", default=default)
        if kind == "array":
            items, symbols = self._items(schema, name)
            return Column(
                name, where, {"type": "array", "items": items}, item_symbols=symbols, default=default
            )
        if kind not in _PRIMITIVES:
            raise IncompatibleSchema(f"{name} is a {kind}; it cannot be read in columns")
        return Column(name, where, kind, timestamp, default=default)

    def _wire(self, column: Column, schema: Any) -> Any:
        kind = _kind(schema)
        if kind == "enum":
            return "int"
        if kind == "fixed":
            return self._numbered({"type": "fixed", "size": schema["size"]})
        return column.type

    def _items(
        self, schema: dict[str, Any], name: str
    ) -> tuple[Any, tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]]:
        items = self._known(schema["items"])
        if _kind(items) in _PRIMITIVES:
            return _kind(items), ()
        if _kind(items) != "record":
            raise IncompatibleSchema(f"{name} is a list of {_kind(items)}; it cannot be read in columns")
        inner = list(self.fields(items, (), ""))
        symbols = []
        for leaf in (leaf for _, leaves in inner for leaf in leaves):
            if leaf.item_symbols:
                raise IncompatibleSchema(f"{name} nests an enum too deep; it cannot be read in columns")
            if leaf.symbols is not None:
                symbols.append((leaf.path, leaf.symbols))
        return self._record([field for field, _ in inner]), tuple(symbols)

    def _record(self, fields: list[dict[str, Any]]) -> dict[str, Any]:
        return self._numbered({"type": "record", "fields": fields})

    def _numbered(self, schema: dict[str, Any]) -> dict[str, Any]:
        self._count += 1
        return {**schema, "name": f"T{self._count}"}

    def _known(self, schema: Any) -> Any:
        """The schema itself, where it is the name of one written out before."""
        if isinstance(schema, str) and schema not in _PRIMITIVES:
            if schema not in self._named:
                raise IncompatibleSchema(f"{schema} is a type that the schema does not contain")
            return self._named[schema]
        if isinstance(schema, dict) and isinstance(schema.get("type"), dict):
            return self._known(schema["type"])
        if isinstance(schema, dict) and "name" in schema:
            self._named[_full_name(schema, "")] = schema
        return schema


def _only(union: list[Any], name: str) -> Any:
    if len(union) != 2 or union[0] != "null":  # noqa: PLR2004 -- null and one more
        raise IncompatibleSchema(
            f"{name} is a union of {len(union)} types; only [null, X] can be read in columns"
        )
    return union[1]


def _with_defaults(record: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    fields = [{**f, "default": values.get(f["name"], f.get("default"))} for f in record["fields"]]
    return {**record, "fields": fields}


def _kind(schema: Any) -> str:
    return str(schema["type"]) if isinstance(schema, dict) else str(schema)


def _named_in_full(schema: Any, namespace: str = "") -> Any:
    """The schema with every name in full: a type takes the namespace of the one around it, and is then named by it."""
    if isinstance(schema, str):
        known = schema == "null" or schema in _PRIMITIVES or "." in schema
        return schema if known or not namespace else f"{namespace}.{schema}"
    if isinstance(schema, list):
        return [_named_in_full(branch, namespace) for branch in schema]
    if not isinstance(schema["type"], str):  # a type that is written around a type
        return {**schema, "type": _named_in_full(schema["type"], namespace)}
    full = dict(schema)
    if "name" in schema:
        own = _full_name({"namespace": namespace, **schema}, "")
        full["name"], namespace = own, own.rpartition(".")[0]
    if "items" in schema:
        full["items"] = _named_in_full(schema["items"], namespace)
    if "fields" in schema:
        full["fields"] = [
            {**field, "type": _named_in_full(field["type"], namespace)} for field in schema["fields"]
        ]
    return full


def _full_name(schema: dict[str, Any], otherwise: str) -> str:
    namespace = schema.get("namespace")
    name = str(schema.get("name", otherwise))
    return f"{namespace}.{name}" if namespace and "." not in name else name


def _header(schema: dict[str, Any]) -> bytes:
    text = json.dumps(schema, separators=(",", ":")).encode()
    entries = ((b"avro.schema", text), (b"avro.codec", b"null"))
    pairs = b"".join(_long(len(part)) + part for entry in entries for part in entry)
    return b"".join((_MAGIC, _long(len(entries)), pairs, _long(0), _SYNC))


def _long(number: int) -> bytes:
    """Avro's variable-length zig-zag code of a number that is not negative."""
    rest, out = number << 1, bytearray()
    while rest > 0x7F:  # noqa: PLR2004 -- seven bits a byte
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)
