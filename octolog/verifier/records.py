"""The records of a bundle, partition by partition, as they lay in the log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

from octolog.domain.proof.avro import (
    HEADER_BYTES,
    INDEX_SCHEMA,
    RAW,
    RAW_SCHEMA,
    TOMBSTONE,
    BundledRecord,
    Cursor,
    Malformed,
    container_header,
    record_digest,
    sync_marker,
)
from octolog.verifier.archive import Archive, Window
from octolog.verifier.report import Fault, Report

_LONGEST_NUMBER_BYTES = 10


class Found(NamedTuple):
    """A record of the log.

    Attributes:
        topic: Its topic.
        partition: Its partition.
        entry: Its place, time, key and schema.
        value: Its value.
    """

    topic: str
    partition: int
    entry: BundledRecord
    value: bytes | None

    def fault(self, message: str, *, task: str | None = None, seq: int | None = None) -> Fault:
        """Something that is wrong with it."""
        part = container_part(self.topic, self.partition, self.entry.schema_id)
        return Fault(part, message, None, self.topic, self.partition, self.entry.offset, task, seq)


class Schemas:
    """Schemas of a bundle.

    Args:
        archive: The bundle.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._texts: dict[int, str] = {RAW: RAW_SCHEMA}
        self._names: dict[int, str] = {}

    def text(self, schema_id: int) -> str:
        """A schema's text.

        Raises:
            Malformed: When the bundle has none of that id.
        """
        if schema_id not in self._texts:
            part = f"schemas/{schema_id}.avsc"
            if part not in self._archive:
                raise Malformed(f"{part} is not in the file")
            try:
                self._texts[schema_id] = self._archive.read(part).decode()
            except UnicodeDecodeError as error:
                raise Malformed(f"{part} is no text") from error
        return self._texts[schema_id]

    def name(self, schema_id: int) -> str:
        """A record's full name; of anything else, nothing.

        Raises:
            Malformed: When the bundle has no schema of that id, or one that is none.
        """
        if schema_id not in self._names:
            try:
                schema = json.loads(self.text(schema_id))
            except ValueError as error:
                raise Malformed(f"schemas/{schema_id}.avsc is no JSON") from error
            named = isinstance(schema, dict) and "name" in schema
            self._names[schema_id] = f"{schema.get('namespace')}.{schema['name']}" if named else ""
        return self._names[schema_id]


def index_part(topic: str, partition: int) -> str:
    """The part that lists a partition's records."""
    return f"log/{topic}/{partition}.avro"


def container_part(topic: str, partition: int, schema_id: int) -> str:
    """The part that has a partition's records of one schema."""
    return f"records/{topic}/{partition}/{'raw' if schema_id == RAW else schema_id}.avro"


def read_records(
    archive: Archive, schemas: Schemas, topic: str, partition: int, report: Report
) -> Iterator[Found]:
    """A partition's records, in order; ends where what is wrong hides the rest."""
    part = index_part(topic, partition)
    if part not in archive:
        return
    containers: dict[int, _Container] = {}
    last = -1
    try:
        index = _Container(archive.window(part), INDEX_SCHEMA)
        while (body := index.next_block()) is not None:
            cursor = Cursor(body)
            for _ in range(index.count):
                entry = cursor.entry()
                if entry.offset <= last:
                    raise Malformed(f"offset {entry.offset} stands behind {last}")
                last = entry.offset
                found = Found(
                    topic, partition, entry, _value(archive, schemas, topic, partition, entry, containers)
                )
                report.records += 1
                report.redacted += entry.redacted
                _compare(found, report)
                yield found
            if cursor.at != len(body):
                raise Malformed(f"{len(body) - cursor.at} bytes are left over in a block")
        for schema_id, container in containers.items():
            if container.left:
                report.add(
                    Fault(container_part(topic, partition, schema_id), "has more than the index lists")
                )
    except Malformed as error:
        report.add(Fault(part, f"after offset {last}: {error}", None, topic, partition))


def _compare(found: Found, report: Report) -> None:
    entry = found.entry
    place = found.topic, found.partition, entry.offset
    digest = record_digest(place, entry.timestamp_ms, entry.key, found.value, redacted=entry.redacted)
    if digest != entry.sha256:
        key = None if entry.key is None else entry.key.decode(errors="replace")
        report.add(found.fault("the record is not the one that its digest names", task=key))


def _value(
    archive: Archive,
    schemas: Schemas,
    topic: str,
    partition: int,
    entry: BundledRecord,
    containers: dict[int, _Container],
) -> bytes | None:
    schema_id = entry.schema_id
    if schema_id == TOMBSTONE:
        return None
    if schema_id not in containers:
        part = container_part(topic, partition, schema_id)
        if part not in archive:
            raise Malformed(f"offset {entry.offset} is in {part}, which is not in the file")
        containers[schema_id] = _Container(archive.window(part), schemas.text(schema_id))
    try:
        datum = containers[schema_id].take(entry.size)
    except Malformed as error:
        raise Malformed(
            f"offset {entry.offset} in {container_part(topic, partition, schema_id)}: {error}"
        ) from error
    if schema_id == RAW:
        return Cursor(datum).sized()
    return b"\0" + schema_id.to_bytes(HEADER_BYTES - 1, "big") + datum


class _Container:
    """An Avro container, read forward."""

    def __init__(self, window: Window, schema: str) -> None:
        self._window, self._marker = window, sync_marker(schema)
        self._body, self._at, self.count = b"", 0, 0
        head = container_header(schema)
        if window.read(len(head)) != head:
            raise Malformed("its head is not that of its schema")

    @property
    def left(self) -> int:
        """Bytes nobody took."""
        return len(self._body) - self._at + self._window.left

    def next_block(self) -> bytes | None:
        """The next block's datums; None at the end."""
        if not self._window.left:
            return None
        self.count, size = self._long(), self._long()
        body = self._window.read(size) if size >= 0 else b""
        if len(body) != size or self._window.read(len(self._marker)) != self._marker:
            raise Malformed("a block does not end with the sync marker")
        if not 0 < self.count <= size:
            raise Malformed(f"a block of {self.count} records in {size} bytes")
        return body

    def take(self, size: int) -> bytes:
        """The next datum."""
        if self._at == len(self._body):
            self._body, self._at = self.next_block() or b"", 0
        start, end = self._at, self._at + size
        if size < 0 or end > len(self._body):
            raise Malformed(f"no datum of {size} bytes is left")
        self._at = end
        return self._body[start:end]

    def _long(self) -> int:
        taken = b""
        while len(taken) < _LONGEST_NUMBER_BYTES:
            byte = self._window.read(1)
            taken += byte
            if not byte or byte < b"\x80":
                break
        return Cursor(taken).long()
