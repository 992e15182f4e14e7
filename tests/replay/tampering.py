"""Random edits of a record stream, and where each must be found."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from octolog.ports import LogRecord


class Edit(NamedTuple):
    """One edit.

    Attributes:
        name: What was done.
        records: The stream afterwards.
        offset: Offset of the first record that is not what was written; None: records at the end are gone.
    """

    name: str
    records: list[LogRecord]
    offset: int | None


def _flip(records: list[LogRecord], _: list[LogRecord], chance: random.Random) -> Edit:
    index = chance.randrange(len(records))
    value = bytearray(records[index].value or b"")
    value[chance.randrange(len(value))] ^= 1 << chance.randrange(8)
    return _with(records, index, records[index]._replace(value=bytes(value)), "flip")


def _flip_key(records: list[LogRecord], _: list[LogRecord], chance: random.Random) -> Edit:
    index = chance.randrange(len(records))
    key = bytearray(records[index].key or b"")
    key[chance.randrange(len(key))] ^= 1 << chance.randrange(8)
    return _with(records, index, records[index]._replace(key=bytes(key)), "flip in the key")


def _truncate(records: list[LogRecord], _: list[LogRecord], chance: random.Random) -> Edit:
    index = chance.randrange(len(records))
    value = records[index].value or b""
    return _with(
        records, index, records[index]._replace(value=value[: chance.randrange(len(value))]), "truncate"
    )


def _drop(records: list[LogRecord], _: list[LogRecord], chance: random.Random) -> Edit:
    start = chance.randrange(len(records))
    end = min(len(records), start + chance.choice((1, 1, 2, 5)))
    left = [*records[:start], *records[end:]]
    return Edit("drop", left, left[start].offset if start < len(left) else None)


def _swap(records: list[LogRecord], _: list[LogRecord], chance: random.Random) -> Edit:
    one, two = sorted(chance.sample(range(len(records)), 2))
    edited = list(records)
    edited[one] = records[two]._replace(offset=records[one].offset)
    edited[two] = records[one]._replace(offset=records[two].offset)
    return Edit("swap", edited, records[one].offset)


def _double(records: list[LogRecord], _: list[LogRecord], chance: random.Random) -> Edit:
    index = chance.randrange(len(records))
    edited = [
        *records[: index + 1],
        records[index]._replace(offset=records[index].offset + 1),
        *(r._replace(offset=r.offset + 2) for r in records[index + 1 :]),
    ]
    return Edit("double", edited, records[index].offset + 1)


def _splice(records: list[LogRecord], others: list[LogRecord], chance: random.Random) -> Edit:
    start = chance.randrange(min(len(records), len(others)))
    count = min(chance.choice((1, 1, 3, 1_000)), len(records) - start, len(others) - start)
    edited = list(records)
    for index in range(start, start + count):
        edited[index] = others[index]._replace(offset=records[index].offset)
    changed = [i for i in range(len(records)) if edited[i] != records[i]]
    if not changed:
        return _flip(records, others, chance)
    return Edit("splice", edited, records[changed[0]].offset)


def _cut(records: list[LogRecord], _: list[LogRecord], chance: random.Random) -> Edit:
    return Edit("cut off", records[: chance.randrange(len(records))], None)


EDITS: tuple[Callable[[list[LogRecord], list[LogRecord], random.Random], Edit], ...] = (
    _flip,
    _flip_key,
    _truncate,
    _drop,
    _swap,
    _double,
    _splice,
    _cut,
)


def any_edit(records: list[LogRecord], others: list[LogRecord], chance: random.Random) -> Edit:
    """Edit a stream; `others` is that of another log."""
    return chance.choice(EDITS)(records, others, chance)


def _with(records: list[LogRecord], index: int, record: LogRecord, name: str) -> Edit:
    return Edit(name, [*records[:index], record, *records[index + 1 :]], records[index].offset)
