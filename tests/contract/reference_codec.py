"""What fastavro makes of a record: the reference that the generated code is held against."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final

import fastavro

from octolog.domain.chain import HASH_BYTES, Link
from schemas import catalog
from schemas.compiled import wire
from schemas.mapping import from_datum, to_datum
from schemas.registry import RegisteredSchema

HEAD: Final = b"\0\0\0\0\7"
NAMES: Final = sorted(catalog.RECORDS)


class OneSchema:
    """A registry that knows one schema, under id 7."""

    def __init__(self, name: str, text: str | None = None) -> None:
        self.name, self.text = name, text or catalog.schema_json(name)

    def register(self, subject: str, schema: str | Mapping[str, object]) -> int:
        assert (subject, schema) == (self.name, self.text)
        return 7

    def by_id(self, schema_id: int) -> tuple[str, str]:
        assert schema_id == 7
        return self.name, self.text

    def all(self) -> tuple[RegisteredSchema, ...]:
        return (RegisteredSchema(self.name, 1, 7, self.text),)


def without_logical_types(node: Any) -> Any:
    if isinstance(node, list):
        return [without_logical_types(item) for item in node]
    if isinstance(node, dict):
        return {key: without_logical_types(value) for key, value in node.items() if key != "logicalType"}
    return node


REFERENCE: Final = {
    name: fastavro.parse_schema(without_logical_types(catalog.self_contained(name))) for name in NAMES
}


def reference_encode(record: Any, link: Link | None = None) -> bytes:
    datum = to_datum(type(record))(record)
    if link is not None:
        datum |= {"link": to_datum(Link)(link), "hash": bytes(HASH_BYTES)}
    schema = REFERENCE[record.schema_name]
    if not fastavro.validate(datum, schema, raise_errors=False):  # the writer takes an int of any size
        raise ValueError(f"{record!r} does not fit its schema")
    out = BytesIO()
    fastavro.schemaless_writer(out, schema, datum)
    return out.getvalue()


def reference_decode(cls: type[Any], avro: bytes) -> Any:
    source = BytesIO(avro)
    datum: Any = fastavro.schemaless_reader(source, REFERENCE[cls.schema_name], None)
    if source.tell() != len(avro):
        raise EOFError("bytes left over")
    if cls in catalog.FACTS:
        return from_datum(cls)(datum), from_datum(Link)(datum["link"]), datum["hash"]
    return from_datum(cls)(datum)


def varint(number: int) -> bytes:
    return wire.LONG[number]
