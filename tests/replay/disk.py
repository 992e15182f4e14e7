"""Random edits of a broker's file, and the offset at which each must be found."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from typing import Final, NamedTuple

from streams.kafka.batches import BATCH_BYTES, Batch, batch_at, sealed

_EPOCH: Final = range(12, 16)
"""Of a leader's epoch no record depends, and no checksum covers it."""
_KEYS: Final = 0.2


class DiskEdit(NamedTuple):
    """One edit.

    Attributes:
        name: What was done.
        data: The file afterwards.
        offset: Where it must be found; None: facts at the end are gone.
        exact: False: there, or behind it.
    """

    name: str
    data: bytes
    offset: int | None
    exact: bool = True


class Segment:
    """A file of batches.

    Args:
        data: Its bytes.

    Attributes:
        taken_back: Of transactions that were aborted: the offset of the mark that says so, and of their first record.
    """

    def __init__(self, data: bytes) -> None:
        self.parts: list[bytes] = []
        self.batches: list[Batch] = []
        view, at = memoryview(data), 0
        while at < len(view):
            batch = batch_at(view, at)
            self.parts.append(data[at : batch.ends])
            self.batches.append(batch)
            at = batch.ends
        self.taken_back: dict[int, int] = {}
        aborted = self._aborted()
        self.facts = [n for n, batch in enumerate(self.batches) if not batch.marker and n not in aborted]

    def _aborted(self) -> set[int]:
        """Batches of transactions that were taken back: nothing of them counts."""
        pending: dict[int, list[int]] = {}
        found: set[int] = set()
        for number, batch in enumerate(self.batches):
            if not batch.marker:
                pending.setdefault(batch.producer, []).append(number)
            elif not batch.commits():
                numbers = pending.pop(batch.producer, [])
                found.update(numbers)
                if numbers:
                    self.taken_back[batch.first] = self.batches[numbers[0]].first
            else:
                pending.pop(batch.producer, None)
        return found

    def with_part(self, number: int, part: bytes) -> bytes:
        """The file with another batch at a place."""
        return b"".join((*self.parts[:number], part, *self.parts[number + 1 :]))


def flip(mine: Segment, _: Segment, chance: random.Random) -> DiskEdit:
    """A bit anywhere; the checksum stays."""
    number = chance.randrange(len(mine.parts))
    part = bytearray(mine.parts[number])
    at = chance.choice([place for place in range(len(part)) if place not in _EPOCH])
    part[at] ^= 1 << chance.randrange(8)
    return DiskEdit("flip", mine.with_part(number, bytes(part)), mine.batches[number].first)


def rewrite(mine: Segment, _: Segment, chance: random.Random) -> DiskEdit:
    """A bit in a record's key or value, with a checksum that fits."""
    number = chance.choice(mine.facts)
    batch = mine.batches[number]
    record = chance.choice(list(batch.records("t", 0)))
    assert record.key
    assert record.value
    body = bytearray(batch.opened())
    at = bytes(body).index(record.value)
    places = [*range(at, at + len(record.value))]
    if chance.random() < _KEYS:
        at = bytes(body).rindex(record.key, 0, at)
        places = [*range(at, at + len(record.key))]
    body[chance.choice(places)] ^= 1 << chance.randrange(8)
    return DiskEdit(
        "rewrite", mine.with_part(number, _repacked(mine.parts[number], bytes(body))), record.offset
    )


def drop(mine: Segment, _: Segment, chance: random.Random) -> DiskEdit:
    """A batch is gone."""
    number = chance.randrange(len(mine.parts))
    last = number == len(mine.parts) - 1
    return DiskEdit("drop", mine.with_part(number, b""), None if last else mine.batches[number].first)


def drop_and_renumber(mine: Segment, _: Segment, chance: random.Random) -> DiskEdit:
    """Facts are gone, and all offsets behind them count on without a gap: no checksum covers those."""
    number = chance.choice(mine.facts)
    gone, parts = mine.batches[number], list(mine.parts)
    size = gone.last - gone.first + 1
    for later in range(number + 1, len(parts)):
        parts[later] = _moved(parts[later], mine.batches[later].first - size)
    behind = any(later > number for later in mine.facts)
    following = next((mine.batches[later].first - size for later in mine.facts if later > number), None)
    return DiskEdit(
        "drop and renumber", b"".join((*parts[:number], *parts[number + 1 :])), following if behind else None
    )


def swap(mine: Segment, _: Segment, chance: random.Random) -> DiskEdit:
    """Two batches change places."""
    one, two = sorted(chance.sample(range(len(mine.parts)), 2))
    parts = list(mine.parts)
    parts[one], parts[two] = parts[two], parts[one]
    return DiskEdit("swap", b"".join(parts), mine.batches[one].first)


def truncate(mine: Segment, _: Segment, chance: random.Random) -> DiskEdit:
    """The file ends within a batch."""
    number = chance.randrange(len(mine.parts))
    kept = chance.randrange(1, len(mine.parts[number]))
    data = b"".join(mine.parts[:number]) + mine.parts[number][:kept]
    return DiskEdit("truncate", data, mine.batches[number].first)


def cut(mine: Segment, _: Segment, chance: random.Random) -> DiskEdit:
    """The file ends behind a batch, before the last facts."""
    return DiskEdit("cut off", b"".join(mine.parts[: chance.choice(mine.facts)]), None)


def splice(mine: Segment, other: Segment, chance: random.Random) -> DiskEdit:
    """Facts of another log, at the offset where others were.

    Where a tree of the other log happens to continue this one's numbers, only what follows it is out of place, or what
    a checkpoint saw; so the difference may stand behind the edit.
    """
    number, theirs = chance.choice(mine.facts), chance.choice(other.facts)
    first = mine.batches[number].first
    return DiskEdit("splice", mine.with_part(number, _moved(other.parts[theirs], first)), first, exact=False)


EDITS: Final[tuple[Callable[[Segment, Segment, random.Random], DiskEdit], ...]] = (
    flip,
    rewrite,
    drop,
    drop_and_renumber,
    swap,
    truncate,
    cut,
    splice,
)


def _moved(part: bytes, first: int) -> bytes:
    return struct.pack(">q", first) + part[8:]


def _repacked(part: bytes, body: bytes) -> bytes:
    """The batch with other records, not compressed."""
    head = bytearray(part[:BATCH_BYTES])
    struct.pack_into(">i", head, 8, BATCH_BYTES - 12 + len(body))
    (attributes,) = struct.unpack_from(">h", head, 21)
    struct.pack_into(">h", head, 21, attributes & ~0x07)
    return sealed(bytes(head) + body)
