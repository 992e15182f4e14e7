"""Memories of accepted results, decided again and held against `octolog.memory`.

The transaction that accepts a result records what the result proposed to remember. Such a record says so itself: its
metadata names the fact that asked for it. Whoever records a memory directly (`Client.remember`) names none, and may do
so at any time; records that replace or forget a memory, and those of embedding models, follow from no fact either.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from hashlib import sha256
from typing import Final, NamedTuple, TypeAlias, cast

from octolog.domain.errors import NotFound, UndecodableRecord
from octolog.domain.ids import TaskId
from octolog.domain.json_text import parse
from octolog.domain.memory import MemoryRecorded
from octolog.ports import LogReader, LogRecord, Positions
from schemas.codec import Codec
from streams.partitioner import partition_for
from streams.replay.report import Difference, PartitionReport, fields_that_differ
from streams.topics import MEMORY, TASKS

_ORIGIN: Final = frozenset(("accepted_with", "attempt_id", "fact", "number", "position"))
"""What the metadata of a memory has that a fact asked for."""

_LOOKED_FOR: Final = 1_000
"""Memories of a partition that are not where they must be and that are looked for; those after it are counted."""

_LONGEST_NUMBER: Final = 18
_Place: TypeAlias = tuple[int, int]
"""Partition and offset in `octolog.memory`."""


class _Said(NamedTuple):
    """A record that says that a fact asked for it.

    Attributes:
        partition: Where it lies.
        offset: Where it lies.
        position: Number of the fact in its partition.
        home: The partition where its tree lies, unless a producer puts trees elsewhere.
        digest: Of its key and value.
    """

    partition: int
    offset: int
    position: int
    home: int
    digest: bytes


class _Expected(NamedTuple):
    memory: MemoryRecorded
    fact: LogRecord
    seq: int


class MemoryIndex:
    """What `octolog.memory` says of facts. About 400 bytes of memory for each that a fact asked for.

    Args:
        codec: Decodes its records.
        partitions: How many the facts have.

    Attributes:
        said: Records that say that a fact asked for them, by the id of the memory.
        direct: Memories that were recorded directly, by the partition of the tree that they name.
    """

    def __init__(self, codec: Codec, partitions: int) -> None:
        self._codec, self._partitions = codec, partitions
        self.said: dict[str, list[_Said]] = {}
        self.direct: Counter[int] = Counter()

    def add(self, records: Iterable[LogRecord]) -> None:
        """Take records in. What cannot be read is missed where it must be, and a dead letter elsewhere."""
        for record in records:
            recorded = decoded(self._codec, record)
            if recorded is None:
                continue
            home = partition_for(recorded.root_task_id, self._partitions)
            position = _position(recorded)
            if position is None:
                self.direct[home] += 1
                continue
            said = _Said(record.partition, record.offset, position, home, _digest(record.key, record.value))
            self.said.setdefault(recorded.memory.memory_id, []).append(said)


class RememberedMemories:
    """The memories that the facts of one partition ask for.

    Args:
        index: What the log has.
        codec: Encodes and decodes.
        open_reader: Makes readers, for a closer look where something is wrong.
        report: Takes differences and counts.
        refused: Records of `octolog.memory` that dead letters are about; each may be written once more.
        everywhere: True when all partitions of the facts are verified.
        copy: True for a copy of a log that went on: it may have memories of facts that it lacks.
    """

    def __init__(
        self,
        index: MemoryIndex,
        codec: Codec,
        open_reader: Callable[[], LogReader],
        report: PartitionReport,
        *,
        refused: set[_Place],
        everywhere: bool,
        copy: bool,
    ) -> None:
        self._index, self._codec, self._open_reader = index, codec, open_reader
        self._report, self._everywhere, self._copy = report, everywhere, copy
        self._refused = refused
        self._claimed: set[_Place] = set()
        self._unmet: dict[str, _Expected] = {}
        self._asked: set[str] = set()
        self._fact = LogRecord(TASKS, report.partition, 0, 0, None, None), 0

    def of(self, fact: LogRecord, seq: int) -> None:
        """What is expected from here on, this fact asks for."""
        self._fact = fact, seq

    def expect(self, memory: MemoryRecorded) -> None:
        """A fact asks for a memory: it must be there, once, as it follows from the fact."""
        name = memory.memory.memory_id
        digest = _digest(name.encode(), self._codec.encode(memory))
        found = next((said for said in self._index.said.get(name, ()) if said.digest == digest), None)
        if found is not None:
            self._asked.add(name)
            self._claim(found)
        elif len(self._unmet) < _LOOKED_FOR:
            self._unmet[name] = _Expected(memory, *self._fact)
        else:
            self._asked.add(name)
            self._report.add_difference(_missing(_Expected(memory, *self._fact), "is missing, or was edited"))

    def finish(self) -> None:
        """Look for what was not where it must be."""
        self._report.direct_memories = self._index.direct[self._report.partition]
        if self._unmet:
            with closing(self._open_reader()) as reader:
                self._look_closer(reader)

    def without_fact(self, position: int, checked: Positions, knows: Callable[[TaskId], bool]) -> None:
        """After the last fact, and after `finish`: what nothing asked for.

        Args:
            position: How many facts the partition has as far as it was read.
            checked: The offsets up to which facts were read.
            knows: Says whether a tree has facts here.
        """
        unasked = [
            (name, said)
            for name, all_said in self._index.said.items()
            for said in all_said
            if said.home == self._report.partition
            and said[:2] not in self._claimed
            and not self._is_redriven(name, said)
        ]
        if not unasked:
            return
        with closing(self._open_reader()) as reader:
            # What was decided since may have remembered something; each fact has an offset of its own.
            place, now = (TASKS, self._report.partition), reader.ends([TASKS])
            more = sys.maxsize if self._copy else now[place] - checked.get(place, 0)
            since = range(position, position + more)
            names = {said[:2]: name for name, said in unasked if said.position not in since}
            strange: list[tuple[TaskId, Difference]] = []
            for record, recorded in self._records_at(reader, list(names)):
                again = names[record.partition, record.offset] in self._asked
                difference = _unasked(record, recorded, again=again)
                if knows(recorded.root_task_id):
                    self._report.unasked.append(difference)
                elif self._everywhere:
                    strange.append((recorded.root_task_id, difference))
            if strange:
                begun = {record.key for record in _read(reader, now, checked)}
                self._report.unasked += [one for root_id, one in strange if root_id.encode() not in begun]

    def _is_redriven(self, name: str, said: _Said) -> bool:
        """Whether it repeats a record that was refused, byte for byte."""
        if not self._refused:
            return False
        all_said = self._index.said[name]
        return any(
            one.digest == said.digest and one is not said and one[:2] in self._refused for one in all_said
        )

    def _claim(self, said: _Said) -> None:
        place = said[:2]
        self._claimed.add(place)
        self._report.memories += 1
        if said.home != self._report.partition:
            self._report.claimed_elsewhere.add(place)

    def _look_closer(self, reader: LogReader) -> None:
        """Memories that came a moment later than their facts, were written by another schema, or are wrong."""
        found: dict[str, list[LogRecord]] = {name: [] for name in self._unmet}
        places = {said[:2]: name for name in found for said in self._index.said.get(name, ())}
        for record in _read(reader, memory_ends(reader)):
            key = (record.key or b"").decode(errors="replace")
            name = places.get((record.partition, record.offset)) or key
            if name in found:
                found[name].append(record)
        for name, expected in self._unmet.items():
            self._asked.add(name)
            fault = self._fault(expected, found[name])
            if fault is not None:
                self._report.add_difference(fault)

    def _fault(self, expected: _Expected, candidates: list[LogRecord]) -> Difference | None:
        memory = expected.memory
        name, value = memory.memory.memory_id, self._codec.encode(memory)
        wrong: list[tuple[int, LogRecord, MemoryRecorded | None]] = []
        for record in candidates:
            recorded = decoded(self._codec, record)
            if recorded is not None and record.key == name.encode() and self._codec.encode(recorded) == value:
                home = partition_for(memory.root_task_id, self._index._partitions)  # noqa: SLF001 -- its own index
                self._claim(_Said(record.partition, record.offset, 0, home, b""))
                return None
            says_so = recorded is not None and _position(recorded) is not None
            wrong.append((0 if says_so else 1 + (recorded is not None), record, recorded))
        if not wrong:
            return _missing(expected, "is missing")
        _, record, recorded = min(wrong, key=lambda one: one[:2])
        self._claimed.add((record.partition, record.offset))
        return _edited(expected, record, recorded)

    def _records_at(
        self, reader: LogReader, places: list[_Place]
    ) -> Iterator[tuple[LogRecord, MemoryRecorded]]:
        ends: Positions = {}
        for partition, offset in places:
            ends[MEMORY, partition] = max(offset + 1, ends.get((MEMORY, partition), 0))
        wanted = set(places)
        for record in _read(reader, ends):
            if (record.partition, record.offset) in wanted:
                recorded = decoded(self._codec, record)
                if recorded is not None:
                    yield record, recorded


def decoded(codec: Codec, record: LogRecord) -> MemoryRecorded | None:
    """A record of `octolog.memory` as the memory it records; None where it records none."""
    try:
        value = codec.decode(record.value)
    except UndecodableRecord:
        return None
    return value if isinstance(value, MemoryRecorded) else None


def memory_ends(reader: LogReader) -> Positions:
    """The ends of `octolog.memory`; none where the topic is not there."""
    try:
        return reader.ends([MEMORY])
    except NotFound:
        return {}


def settle(reports: Iterable[PartitionReport]) -> None:
    """Add what nothing asked for to the reports, but for what a tree in another partition than usual did ask for."""
    known = list(reports)
    claimed = {place for report in known for place in report.claimed_elsewhere}
    for report in known:
        for difference in report.unasked:
            if (difference.partition, difference.offset) not in claimed:
                report.add_difference(difference)
        report.unasked.clear()
        report.claimed_elsewhere.clear()


def _read(reader: LogReader, ends: Positions, start: Positions | None = None) -> Iterator[LogRecord]:
    first = start or {}
    until = {place: end for place, end in ends.items() if end > first.get(place, 0)}
    for batch in reader.read({place: first.get(place, 0) for place in until}, until=until) if until else ():
        yield from batch


def _position(recorded: MemoryRecorded) -> int | None:
    """The number of the fact that a record says asked for it; None: it does not say so. Negative: no number."""
    text = recorded.memory.metadata_json
    if '"accepted_with"' not in text:
        return None
    try:
        metadata = parse(text)
    except ValueError:
        return None
    if not isinstance(metadata, dict) or not metadata.keys() >= _ORIGIN:
        return None
    position = cast("dict[str, object]", metadata)["position"]  # numbers stay text
    fine = isinstance(position, str) and position.isdecimal() and len(position) <= _LONGEST_NUMBER
    return int(cast("str", position)) if fine else -1


def _digest(key: bytes | None, value: bytes | None) -> bytes:
    key = key or b""
    return sha256(b"%d\0%b%b" % (len(key), key, value or b"")).digest()


def _missing(expected: _Expected, what: str) -> Difference:
    memory, fact = expected.memory, expected.fact
    message = f"memory {memory.memory.memory_id} of task {memory.task_id}, which this fact accepts, {what} in {MEMORY}"
    return Difference(
        TASKS, fact.partition, fact.offset, memory.root_task_id, expected.seq, "memory-missing", message
    )


def _edited(expected: _Expected, record: LogRecord, recorded: MemoryRecorded | None) -> Difference:
    memory, fact = expected.memory, expected.fact
    by = f"{TASKS}/{fact.partition}@{fact.offset}"
    what = f"memory {memory.memory.memory_id} of task {memory.task_id}, accepted by {by}"
    place = MEMORY, record.partition, record.offset, memory.root_task_id, None
    if recorded is None:
        return Difference(*place, "undecodable", f"{what}, cannot be read")
    fields = (
        *fields_that_differ(recorded.memory, memory.memory, "memory."),
        *(one for one in fields_that_differ(recorded, memory) if one.field != "memory"),
    )
    names = ", ".join(one.field for one in fields) or "its key"
    return Difference(*place, "decided-differently", f"{what}, differs in {names}", fields)


def _unasked(record: LogRecord, recorded: MemoryRecorded, *, again: bool) -> Difference:
    memory = recorded.memory
    metadata = cast("dict[str, object]", parse(memory.metadata_json))
    what = f"memory {memory.memory_id} of task {recorded.task_id}"
    kind, message = (
        "no-cause",
        f"{what} says that fact {str(metadata['fact'])[:200]} asked for it, which it did not",
    )
    if again:
        kind, message = "repeated", f"{what} is recorded again; its fact asked for it once"
    place = MEMORY, record.partition, record.offset, recorded.root_task_id, None
    return Difference(*place, kind, message)
