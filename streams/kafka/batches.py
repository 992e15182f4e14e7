"""Kafka's record batches (magic 2) as they lie in a broker's files and on the wire."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import cramjam
import google_crc32c

from octolog.ports import LogRecord

_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
BATCH_BYTES: Final = _HEADER.size
_AFTER_LENGTH: Final = 12
_CHECKED_FROM: Final = 21
_MAGIC: Final = 2
_CODEC, _APPEND_TIME, _TRANSACTION, _CONTROL = 0x07, 0x08, 0x10, 0x20
_COMMIT: Final = 1
_MARKER_KEY: Final = struct.Struct(">hh")
"""Version, and whether it aborts or commits."""
_FRAMED: Final = b"\x82SNAPPY\x00"
_FRAME_BYTES: Final = 16
"""Of the Java client's own frame around snappy blocks: its name, and two versions."""


def _snappy(body: Any) -> bytes:
    """Blocks as the Java client frames them, or one block as librdkafka writes it."""
    data = bytes(body)
    if not data.startswith(_FRAMED):
        return bytes(cramjam.snappy.decompress_raw(data))
    found, at = bytearray(), _FRAME_BYTES
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        at += 4
        if at + size > len(data):
            raise ValueError("a snappy block is cut off")
        found += bytes(cramjam.snappy.decompress_raw(data[at : at + size]))
        at += size
    return bytes(found)


_OPENERS: Final[dict[int, Callable[[Any], Any]]] = {
    1: cramjam.gzip.decompress,
    2: _snappy,
    3: cramjam.lz4.decompress,
    4: cramjam.zstd.decompress,
}


class Damage(Exception):
    """Bytes that are no batch as a broker writes it; the text says why."""


class Batch(NamedTuple):
    """One batch.

    Attributes:
        first: Offset of its first record.
        last: Offset of its last record.
        ends: Where the batch behind it begins in the same bytes.
        attributes: Flags, and how it is compressed.
        first_ms: Time that its records' times count from, milliseconds since the epoch.
        append_ms: When the broker appended it.
        producer: Id of the producer.
        size: How many records it has.
        body: The records, compressed as they are.
    """

    first: int
    last: int
    ends: int
    attributes: int
    first_ms: int
    append_ms: int
    producer: int
    size: int
    body: memoryview

    @property
    def size_bytes(self) -> int:
        """How many bytes of the file it takes."""
        return BATCH_BYTES + len(self.body)

    @property
    def transactional(self) -> bool:
        """True when it counts only once its transaction was committed."""
        return bool(self.attributes & _TRANSACTION)

    @property
    def marker(self) -> bool:
        """True for the end of a transaction, which is no record of a user."""
        return bool(self.attributes & _CONTROL)

    def commits(self) -> bool:
        """Of a marker: whether the transaction counts."""
        (key,) = [key for _, _, key, _ in self._each()]
        return key is not None and _MARKER_KEY.unpack(key)[1] == _COMMIT

    def records(self, topic: str, partition: int) -> Iterator[LogRecord]:
        """Its records.

        Raises:
            Damage: When they are not what the batch says.
        """
        append = self.append_ms if self.attributes & _APPEND_TIME else None
        for offset, ms, key, value in self._each():
            yield LogRecord(topic, partition, offset, ms if append is None else append, key, value)

    def _each(self) -> Iterator[tuple[int, int, bytes | None, bytes | None]]:
        data, at = self.opened(), 0
        for number in range(self.size):
            try:
                size, at = _varint(data, at)
                end = at + size
                after_ms, at = _varint(data, at + 1)
                delta, at = _varint(data, at)
                key, at = _bytes(data, at)
                value, at = _bytes(data, at)
            except IndexError:
                raise Damage(f"record {number} of {self.size} is cut off") from None
            if not at <= end <= len(data) or not 0 <= delta <= self.last - self.first:
                raise Damage(f"record {number} of {self.size} is not as long as it says")
            yield self.first + delta, self.first_ms + after_ms, key, value
            at = end
        if at != len(data):
            raise Damage(f"{len(data) - at} bytes lie behind its last record")

    def opened(self) -> bytes:
        """Its records as bytes, decompressed.

        Raises:
            Damage: When that fails.
        """
        codec = self.attributes & _CODEC
        if codec == 0:
            return bytes(self.body)
        if codec not in _OPENERS:
            raise Damage(f"its compression ({codec}) is unknown here")
        try:
            return bytes(_OPENERS[codec](self.body))
        except (cramjam.DecompressionError, ValueError) as error:
            raise Damage(f"it cannot be decompressed: {error}") from error


def batch_at(data: memoryview, at: int) -> Batch:
    """The batch at a place.

    Raises:
        Damage: When there is none, or its checksum is wrong.
    """
    if at + BATCH_BYTES > len(data):
        raise Damage(f"{len(data) - at} bytes are too few for a batch")
    (first, size, _, magic, crc, attributes, delta, first_ms, append_ms, producer, _, _, count) = (
        _HEADER.unpack_from(data, at)
    )
    ends = at + _AFTER_LENGTH + size
    if magic != _MAGIC:
        raise Damage(f"no batch begins here: magic is {magic}, not {_MAGIC}")
    if not at + BATCH_BYTES <= ends <= len(data):
        raise Damage(f"the batch says it has {size} bytes; {len(data) - at - _AFTER_LENGTH} are left")
    if google_crc32c.value(bytes(data[at + _CHECKED_FROM : ends])) != crc:
        raise Damage("the batch's checksum is wrong")
    body = data[at + BATCH_BYTES : ends]
    return Batch(first, first + delta, ends, attributes, first_ms, append_ms, producer, count, body)


def sealed(batch: bytes) -> bytes:
    """A batch with the checksum that its bytes have."""
    crc = google_crc32c.value(batch[_CHECKED_FROM:])
    return b"".join((batch[: _CHECKED_FROM - 4], struct.pack(">I", crc), batch[_CHECKED_FROM:]))


def _varint(data: bytes, at: int) -> tuple[int, int]:
    shift = number = 0
    while (byte := data[at]) & 0x80:
        number |= (byte & 0x7F) << shift
        shift += 7
        at += 1
    number |= byte << shift
    return number >> 1 ^ -(number & 1), at + 1


def _bytes(data: bytes, at: int) -> tuple[bytes | None, int]:
    size, at = _varint(data, at)
    return (None, at) if size < 0 else (data[at : at + size], at + size)
