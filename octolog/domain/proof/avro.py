"""As much Avro as a bundle needs: numbers, texts, and containers that can be written in one way only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Final, NamedTuple

_MORE: Final = 0x80
_MAX_SHIFT: Final = 63
_SYNC_BYTES: Final = 16
BLOCK_RECORDS: Final = 1_000
BLOCK_BYTES: Final = 1 << 20

INDEX_SCHEMA: Final = (
    '{"type":"record","name":"BundledRecord","namespace":"octolog.audit",'
    '"doc":"A record of the log, and where its bytes are.","fields":['
    '{"name":"offset","type":"long"},'
    '{"name":"timestamp_ms","type":"long"},'
    '{"name":"key","type":["null","bytes"]},'
    '{"name":"schema_id","type":"int","doc":"-1: bytes of no known schema; -2: no value."},'
    '{"name":"bytes","type":"long","doc":"Of its datum in the container of that schema."},'
    '{"name":"sha256","type":{"type":"fixed","name":"Sha256","size":32},"doc":"Of its note and value."},'
    '{"name":"redacted","type":"boolean","doc":"Personal data were left out; a hash is of what it was."}]}'
)
RAW_SCHEMA: Final = '"bytes"'
RAW, TOMBSTONE = -1, -2
HEADER_BYTES: Final = 5


class Malformed(Exception):
    """Bytes that are not what must stand here."""


class BundledRecord(NamedTuple):
    """A record of the log, and where its bytes are.

    Attributes:
        offset: Its offset.
        timestamp_ms: When the broker appended it.
        key: Its key.
        schema_id: Id of its schema; RAW for bytes of no known schema, TOMBSTONE for no value.
        size: Bytes of its datum in the container of that schema.
        sha256: Of its note, which names all of the above, and its value, as in this bundle.
        redacted: True when personal data were left out: a fact's hash is that of what it was.
    """

    offset: int
    timestamp_ms: int
    key: bytes | None
    schema_id: int
    size: int
    sha256: bytes
    redacted: bool

    def encode(self) -> bytes:
        """Its datum."""
        key = b"\0" if self.key is None else b"\2" + long(len(self.key)) + self.key
        numbers = long(self.schema_id) + long(self.size)
        flag = b"\1" if self.redacted else b"\0"
        return long(self.offset) + long(self.timestamp_ms) + key + numbers + self.sha256 + flag


def record_digest(
    place: tuple[str, int, int], timestamp_ms: int, key: bytes | None, value: bytes | None, *, redacted: bool
) -> bytes:
    """SHA-256 over everything a record is: topic, partition, offset, time, key, and value."""
    topic, partition, offset = place
    named = "-" if key is None else key.hex()
    state = "redacted" if redacted else "none" if value is None else "whole"
    note = f"{topic}/{partition}@{offset} {timestamp_ms} {named} {state}\n"
    return sha256(note.encode() + (value or b"")).digest()


class Cursor:
    """Reads one datum after the other from some bytes.

    Args:
        data: The bytes.
        at: Where to begin.

    Raises:
        Malformed: When what is asked for is not there.
    """

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def long(self) -> int:
        """A number."""
        data, at, shift, coded = self.data, self.at, 0, 0
        while at < len(data) and shift <= _MAX_SHIFT:
            byte = data[at]
            at += 1
            coded |= (byte & (_MORE - 1)) << shift
            if byte < _MORE:
                self.at = at
                return coded >> 1 ^ -(coded & 1)
            shift += 7
        raise Malformed(f"no number at byte {self.at}")

    def take(self, size: int) -> bytes:
        """So many bytes."""
        start = self.at
        if size < 0 or start + size > len(self.data):
            raise Malformed(f"{size} bytes at byte {start} of {len(self.data)}")
        self.at = start + size
        return self.data[start : self.at]

    def sized(self) -> bytes:
        """Bytes behind their length."""
        return self.take(self.long())

    def text(self) -> str:
        """A text."""
        try:
            return self.sized().decode()
        except UnicodeDecodeError as error:
            raise Malformed(f"no text before byte {self.at}") from error

    def branch(self) -> bool:
        """Whether a nullable value is there."""
        found = self.take(1)
        if found not in (b"\0", b"\2"):
            raise Malformed(f"no branch at byte {self.at - 1}")
        return found == b"\2"

    def entry(self) -> BundledRecord:
        """An entry of an index."""
        offset, timestamp_ms = self.long(), self.long()
        key = self.sized() if self.branch() else None
        schema_id, size, digest, flag = self.long(), self.long(), self.take(32), self.take(1)
        if flag not in (b"\0", b"\1"):
            raise Malformed(f"no flag at byte {self.at - 1}")
        return BundledRecord(offset, timestamp_ms, key, schema_id, size, digest, flag == b"\1")


def long(number: int) -> bytes:
    """A number as Avro writes it."""
    coded, out = (number << 1) ^ (number >> _MAX_SHIFT), bytearray()
    while coded >= _MORE:
        out.append(coded & (_MORE - 1) | _MORE)
        coded >>= 7
    out.append(coded)
    return bytes(out)


def container_header(schema: str) -> bytes:
    """The head of a container; its sync marker is the beginning of the schema's SHA-256."""
    entries = ((b"avro.schema", schema.encode()), (b"avro.codec", b"null"))
    pairs = b"".join(long(len(part)) + part for entry in entries for part in entry)
    return b"Obj\x01" + long(len(entries)) + pairs + b"\0" + sync_marker(schema)


def sync_marker(schema: str) -> bytes:
    """What stands behind a container's head and each of its blocks."""
    return sha256(schema.encode()).digest()[:_SYNC_BYTES]


def blocks(schema: str, datums: Iterable[bytes]) -> Iterator[bytes]:
    """A container's blocks: full at a thousand records, or at a mebibyte."""
    marker, held, size = sync_marker(schema), list[bytes](), 0
    for datum in datums:
        held.append(datum)
        size += len(datum)
        if len(held) == BLOCK_RECORDS or size >= BLOCK_BYTES:
            yield block(held, marker)
            held, size = [], 0
    if held:
        yield block(held, marker)


def block(datums: list[bytes], marker: bytes) -> bytes:
    """One block."""
    body = b"".join(datums)
    return long(len(datums)) + long(len(body)) + body + marker
