"""Records to bytes and back, in the Confluent wire format: magic 0, schema id (4 bytes), Avro.

Bytes written with the schema that this version has are read by generated code (`schemas.compiled`); those of
another version through fastavro, which resolves the writer's schema to ours.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import fastavro
from fastavro.schema import to_parsing_canonical_form

from octolog.domain.chain import HASH_BYTES, Link
from octolog.domain.errors import ContractError, UndecodableRecord
from octolog.domain.facts import Fact
from schemas import catalog
from schemas.compiled import decoder, encoder, maker
from schemas.mapping import from_datum
from schemas.registry import SchemaIds

if TYPE_CHECKING:
    from hashlib import _Hash

_MAGIC: Final = 0
_HEADER: Final = struct.Struct(">bI")
_HEADER_BYTES: Final = _HEADER.size
# Left out of the comparison of two schemas: none of them changes how a value is written.
_NOT_ON_THE_WIRE: Final = frozenset({"logicalType", "doc", "default", "aliases", "order"})

_Decode: TypeAlias = Callable[[bytes, int], Any]


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

    Attributes:
        ids: That registry.

    Raises:
        UndecodableRecord: On bytes that are no record of the schema they name.
        ContractError: On a record whose values do not have the types that its class declares.
    """

    def __init__(self, ids: SchemaIds) -> None:
        self.ids = ids
        self._writers: dict[type[Any], tuple[bytes, Callable[[Any, Any], bytes], _Hash]] = {}
        self._readers: dict[bytes, tuple[type[Any], _Decode, _Hash | None]] = {}

    def encode(self, record: object) -> bytes:
        """A record that is no fact, as bytes."""
        cls = type(record)
        header, write, _ = self._writers.get(cls) or self._writer(cls)
        try:
            return write(record, header)
        except Exception as error:
            raise _unwritable(cls, error) from error

    def encode_fact(self, fact: Fact, link: Link) -> tuple[bytes, bytes]:
        """A fact with its link, as bytes, and its hash."""
        cls = type(fact)
        header, write, start = self._writers.get(cls) or self._writer(cls)
        try:
            body = write(fact, link)
        except Exception as error:
            raise _unwritable(cls, error) from error
        hashed = start.copy()
        hashed.update(body)
        digest = hashed.digest()
        return header + body + digest, digest

    def decode(self, value: bytes | None) -> Any:
        """Bytes as the record they are: an instance of its class, or a `RecordedFact`."""
        if value is None:
            raise UndecodableRecord("0 bytes are too few for a schema id")
        cls, read, start = self._readers.get(value[:_HEADER_BYTES]) or self._reader(value)
        try:
            decoded = read(value, _HEADER_BYTES)
        except Exception as error:
            # Whatever the bytes provoke: IndexError, UnicodeDecodeError, KeyError, RecursionError, EOFError ...
            raise _unreadable(cls, error) from error
        if start is None:
            return decoded
        fact, link, written = decoded
        computed = start.copy()
        computed.update(value[_HEADER_BYTES:-HASH_BYTES])
        return _RECORDED(fact, link, written, computed.digest())

    def header(self, cls: type[Any]) -> bytes:
        """The five bytes before every value of a class."""
        return (self._writers.get(cls) or self._writer(cls))[0]

    def _writer(self, cls: type[Any]) -> tuple[bytes, Callable[[Any, Any], bytes], _Hash]:
        name = getattr(cls, "schema_name", "")
        if catalog.RECORDS.get(name) is not cls:
            raise ContractError(f"{cls.__qualname__} is no record of the catalog; encode one of its classes")
        header = _HEADER.pack(_MAGIC, self.ids.register(name, catalog.schema_json(name)))
        writer = self._writers[cls] = header, encoder(cls), _hash_start(cls)
        return writer

    def _reader(self, value: bytes) -> tuple[type[Any], _Decode, _Hash | None]:
        if len(value) < _HEADER_BYTES:
            raise UndecodableRecord(f"{len(value)} bytes are too few for a schema id")
        magic, schema_id = _HEADER.unpack_from(value)
        if magic != _MAGIC:
            raise UndecodableRecord(
                f"first byte is {magic}, not the magic byte 0 of the Confluent wire format"
            )
        subject, text = self.ids.by_id(schema_id)
        name = _full_name(text, subject)
        cls = catalog.RECORDS.get(name)
        if cls is None:
            raise UndecodableRecord(f"schema id {schema_id} is {name}, which octolog does not know")
        ours = catalog.schema_json(name)
        same = _on_the_wire(text) == _on_the_wire(ours)
        read = decoder(cls) if same else _resolving(text, ours, cls)
        reader = cls, read, _hash_start(cls) if cls in catalog.FACTS else None
        self._readers[value[:_HEADER_BYTES]] = reader
        return reader


def _hash_start(cls: type[Any]) -> _Hash:
    """A fact's hash before its body, to be copied; the rest of the rule is `octolog.domain.chain.fact_hash`."""
    return sha256(cls.schema_name.encode() + b"\0")


def _resolving(written: str, ours: str, cls: type[Any]) -> _Decode:
    """Reads a `cls` that another version of its schema wrote; results as of `schemas.compiled.decoder`."""
    writer, reader = parsed_schema(written), parsed_schema(ours)
    build, build_link = from_datum(cls), from_datum(Link)

    def read(value: bytes, start: int) -> Any:
        source = BytesIO(value)
        source.seek(start)
        datum: Any = fastavro.schemaless_reader(source, writer, reader)
        if source.tell() != len(value):
            raise UndecodableRecord(f"{len(value) - source.tell()} bytes left over after the record")
        if cls in catalog.FACTS:
            return build(datum), build_link(datum["link"]), datum["hash"]
        return build(datum)

    return read


def _unwritable(cls: type[Any], error: Exception) -> ContractError:
    return ContractError(f"cannot write a {cls.__qualname__}: {_reason(error)}")


def _unreadable(cls: type[Any], error: Exception) -> UndecodableRecord:
    return UndecodableRecord(f"no {cls.schema_name}: {_reason(error)}")


def _reason(error: Exception) -> str:
    text = str(error) if isinstance(error, UndecodableRecord) else f"{type(error).__name__}: {error}"
    return text.replace("\n", " ")


def _full_name(text: str, subject: str) -> str:
    schema = json.loads(text)
    if not isinstance(schema, dict) or "name" not in schema:
        return subject
    namespace = schema.get("namespace")
    return f"{namespace}.{schema['name']}" if namespace else str(schema["name"])


def parsed_schema(text: str) -> Any:
    """The schema for fastavro, without logical types: inside octolog a timestamp is an integer."""
    return fastavro.parse_schema(_without(json.loads(text), frozenset({"logicalType", "doc"})))


def _on_the_wire(text: str) -> str:
    """Avro's Parsing Canonical Form: what decides how a value is written, with every name in full."""
    return str(to_parsing_canonical_form(json.loads(text)))


def _without(node: Any, keys: frozenset[str]) -> Any:
    if isinstance(node, list):
        return [_without(item, keys) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {key: _without(value, keys) for key, value in node.items() if key not in keys}
    return kept["type"] if set(kept) == {"type"} and isinstance(kept["type"], str) else kept


_RECORDED: Final = maker(RecordedFact)
