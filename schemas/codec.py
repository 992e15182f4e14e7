"""Records to bytes and back, in the Confluent wire format: magic 0, schema id (4 bytes), Avro."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

import fastavro

from octolog.domain.chain import HASH_BYTES, Link, fact_hash
from octolog.domain.errors import UndecodableRecord
from octolog.domain.facts import Fact
from schemas import catalog
from schemas.mapping import from_datum, to_datum
from schemas.registry import SchemaIds

_MAGIC: Final = 0
_HEADER: Final = struct.Struct(">bI")
_NO_HASH: Final = bytes(HASH_BYTES)


@dataclass(frozen=True, slots=True)
class RecordedFact:
    """A fact as it lies in the log: what happened, its link, and its hash.

    Attributes:
        fact: What happened.
        link: Its place in the tree's chain.
        hash: The hash written with it; not checked here.
        computed: The hash of the bytes as read; differs from `hash` when they were edited.
    """

    fact: Fact
    link: Link
    hash: bytes
    computed: bytes


class Codec:
    """Encodes and decodes every record of the catalog, with ids from a schema registry.

    Raises:
        UndecodableRecord: On bytes that are no record of the schema they name.
    """

    def __init__(self, ids: SchemaIds) -> None:
        self._ids = ids
        self._writers: dict[type[Any], tuple[bytes, Any, Any]] = {}
        self._readers: dict[int, tuple[type[Any], Any, Any, Any]] = {}

    def encode(self, record: object) -> bytes:
        """A record that is no fact, as bytes."""
        header, schema, datum = self._writer(type(record))
        out = BytesIO()
        out.write(header)
        fastavro.schemaless_writer(out, schema, datum(record))
        return out.getvalue()

    def encode_fact(self, fact: Fact, link: Link) -> tuple[bytes, bytes]:
        """A fact with its link, as bytes, and its hash."""
        header, schema, datum = self._writer(type(fact))
        body = datum(fact)
        body["link"] = _LINK_DATUM(link)
        body["hash"] = _NO_HASH
        out = BytesIO()
        fastavro.schemaless_writer(out, schema, body)
        encoded = out.getvalue()[:-HASH_BYTES]
        digest = fact_hash(fact.schema_name.encode(), encoded)
        return header + encoded + digest, digest

    def decode(self, value: bytes | None) -> Any:
        """Bytes as the record they are: an instance of its class, or a `RecordedFact`."""
        if value is None or len(value) < _HEADER.size:
            raise UndecodableRecord(f"{0 if value is None else len(value)} bytes are too few for a schema id")
        magic, schema_id = _HEADER.unpack_from(value)
        if magic != _MAGIC:
            raise UndecodableRecord(
                f"first byte is {magic}, not the magic byte 0 of the Confluent wire format"
            )
        reader = self._readers.get(schema_id) or self._reader(schema_id)
        cls, written, read, build = reader
        source = BytesIO(value)
        source.seek(_HEADER.size)
        try:
            datum: Any = fastavro.schemaless_reader(source, written, read)
            if source.tell() != len(value):
                raise UndecodableRecord(
                    f"{len(value) - source.tell()} bytes left over after a {cls.__name__}"
                )
            record = build(datum)
        except UndecodableRecord:
            raise
        except Exception as error:
            # fastavro raises whatever the bytes provoke: EOFError, IndexError, UnicodeDecodeError, MemoryError ...
            raise UndecodableRecord(
                f"no {cls.schema_name}: {type(error).__name__}: {error}".replace("\n", " ")
            ) from error
        if cls in catalog.FACTS:
            computed = fact_hash(cls.schema_name.encode(), memoryview(value)[_HEADER.size : -HASH_BYTES])
            return RecordedFact(record, _LINK(datum["link"]), datum["hash"], computed)
        return record

    def _writer(self, cls: type[Any]) -> tuple[bytes, Any, Any]:
        writer = self._writers.get(cls)
        if writer is None:
            schema_id = self._ids.register(cls.schema_name, catalog.schema_json(cls.schema_name))
            header = _HEADER.pack(_MAGIC, schema_id)
            writer = header, _parsed(catalog.schema_json(cls.schema_name)), to_datum(cls)
            self._writers[cls] = writer
        return writer

    def _reader(self, schema_id: int) -> tuple[type[Any], Any, Any, Any]:
        subject, text = self._ids.by_id(schema_id)
        name = _full_name(text, subject)
        cls = catalog.RECORDS.get(name)
        if cls is None:
            raise UndecodableRecord(f"schema id {schema_id} is {name}, which octolog does not know")
        ours = catalog.schema_json(name)
        same = json.loads(text) == json.loads(ours)
        reader = cls, _parsed(text), None if same else _parsed(ours), from_datum(cls)
        self._readers[schema_id] = reader
        return reader


def _full_name(text: str, subject: str) -> str:
    schema = json.loads(text)
    if not isinstance(schema, dict) or "name" not in schema:
        return subject
    namespace = schema.get("namespace")
    return f"{namespace}.{schema['name']}" if namespace else str(schema["name"])


def _parsed(text: str) -> Any:
    """The schema for fastavro, without logical types: inside octolog a timestamp is an integer."""
    return fastavro.parse_schema(_plain(json.loads(text)))


def _plain(node: Any) -> Any:
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {key: _plain(value) for key, value in node.items() if key not in ("logicalType", "doc")}
    return kept["type"] if set(kept) == {"type"} and isinstance(kept["type"], str) else kept


_LINK_DATUM: Final = to_datum(Link)
_LINK: Final = from_datum(Link)
