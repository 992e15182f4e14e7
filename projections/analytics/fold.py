"""What a batch of the log adds to a store that has read up to some positions. Pure."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from octolog.ports import LogRecord, Positions, TopicPartition
from schemas.blocks import WIRE_HEADER_BYTES

Group: TypeAlias = tuple[str, int]
"""A topic and a schema id."""

_HEADER: Final = struct.Struct(">bI")
NO_SCHEMA: Final = -1
"""Stands for the id of a value that has none: empty, too short, or of another wire format."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that are new, by topic and schema.

    Attributes:
        groups: The records of each, in the order of the log.
        positions: The store's positions once they are in it.
    """

    groups: dict[Group, list[LogRecord]]
    positions: Positions


def fold(records: Sequence[LogRecord], before: Mapping[TopicPartition, int], after: Positions) -> Batch:
    """Leave out what `before` has covered, and group the rest.

    Args:
        records: As they were read; in the order of offsets within each partition.
        before: The store's positions.
        after: The reader's positions after `records`; may pass over offsets that hold no record.
    """
    positions = dict(before)
    raw: dict[str, dict[bytes, list[LogRecord]]] = {}
    source, expected, by_header = ("", -1), 0, raw.setdefault("", {})
    # Runs once per record of a rebuild: no tuple and no call that can be avoided (benches/projection_rebuild.py).
    for record in records:
        if record[0] != source[0] or record[1] != source[1]:
            positions[source] = expected
            source = (record[0], record[1])
            expected, by_header = positions.get(source, 0), raw.setdefault(record[0], {})
        if record[2] < expected:
            continue
        expected = record[2] + 1
        value = record[5]
        header = value[:WIRE_HEADER_BYTES] if value else b""
        if header in by_header:
            by_header[header].append(record)
        else:
            by_header[header] = [record]
    positions[source] = expected
    del positions["", -1]
    for known, offset in after.items():
        positions[known] = max(offset, positions.get(known, 0))
    groups: dict[Group, list[LogRecord]] = {}
    for topic, headers in raw.items():
        for header, group in headers.items():
            groups.setdefault((topic, _schema_id(header)), []).extend(group)
    return Batch(groups, positions)


def _schema_id(header: bytes) -> int:
    if len(header) < WIRE_HEADER_BYTES:
        return NO_SCHEMA
    magic, schema_id = _HEADER.unpack(header)
    return schema_id if magic == 0 else NO_SCHEMA
