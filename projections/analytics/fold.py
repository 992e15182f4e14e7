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
    raw: dict[tuple[str, bytes], list[LogRecord]] = {}
    for record in records:
        topic, partition, offset, _, _, value = record
        source = (topic, partition)
        if offset < positions.get(source, 0):
            continue
        positions[source] = offset + 1
        key = (topic, value[:WIRE_HEADER_BYTES] if value else b"")
        group = raw.get(key)
        if group is None:
            raw[key] = [record]
        else:
            group.append(record)
    for source, offset in after.items():
        positions[source] = max(offset, positions.get(source, 0))
    groups: dict[Group, list[LogRecord]] = {}
    for (topic, header), group in raw.items():
        groups.setdefault((topic, _schema_id(header)), []).extend(group)
    return Batch(groups, positions)


def _schema_id(header: bytes) -> int:
    if len(header) < WIRE_HEADER_BYTES:
        return NO_SCHEMA
    magic, schema_id = _HEADER.unpack(header)
    return schema_id if magic == 0 else NO_SCHEMA
