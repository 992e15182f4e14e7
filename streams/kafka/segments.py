"""A log read from a broker's own files, without the broker: for evidence that was taken as a copy of its disk.

What Kafka guarantees about these files is checked while they are read: a batch's length and checksum, and that
offsets follow each other without a gap. Who edits a file and repairs all that is found by the hashes of the facts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Final

from octolog.domain.errors import LogCorrupted
from octolog.ports import LogRecord, Positions
from schemas.codec import Codec
from schemas.registry import MemorySchemaTopic, TopicSchemaIds
from streams.kafka.batches import Batch, Damage, batch_at
from streams.kafka.schema_topic import SCHEMAS_TOPIC
from streams.topics import INPUTS, TASKS

_AT_ONCE: Final = 5_000
_GAPLESS: Final = frozenset((TASKS, *INPUTS))
"""Topics that are never compacted: every offset lies in a batch."""


class BrokenLog(LogCorrupted):
    """A partition's files are not as a broker writes them.

    Attributes:
        topic: The topic.
        partition: The partition.
        offset: Where the first damage is; everything before this offset was read.
        why: What is wrong there.
        file: Name of the segment's file.
    """

    def __init__(self, topic: str, partition: int, offset: int, why: str, file: str = "") -> None:
        super().__init__(topic, partition, offset, why, file)
        self.topic, self.partition, self.offset, self.why, self.file = topic, partition, offset, why, file

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}@{self.offset}: {self.why}"


@dataclass(frozen=True, slots=True)
class FolderSource:
    """A log to replay (`streams.replay.Source`) in a folder that a broker wrote.

    Attributes:
        folder: The broker's `log.dirs`, or a copy of it.
    """

    folder: Path

    def reader(self) -> FolderLogReader:
        """Reads committed records."""
        return FolderLogReader(self.folder)

    def codec(self) -> Codec:
        """A codec with the ids of the `_schemas` topic in the same folder."""
        topic, reader = MemorySchemaTopic(), self.reader()
        ends = reader.ends([SCHEMAS_TOPIC])
        for batch in reader.read(dict.fromkeys(ends, 0), until=ends):
            topic.append([(record.key or b"", record.value) for record in batch])
        return Codec(TopicSchemaIds(topic))


class FolderLogReader:
    """A `LogReader` on the files of one broker. Nothing is written, and nothing is locked.

    Args:
        folder: The broker's `log.dirs`, or a copy of it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ends(self, topics: Sequence[str]) -> Positions:
        """The offset after the last committed record of every partition; up to the first damage."""
        found: Positions = {}
        for topic in topics:
            for path in sorted(self._folder.glob(f"{topic}-*")):
                number = path.name[len(topic) + 1 :]
                if number.isdigit():
                    found[topic, int(number)] = SegmentFiles(path, topic, int(number)).read_markers().end
        return found

    def read(self, start: Positions, *, until: Positions | None = None) -> Iterator[list[LogRecord]]:
        """Batches from `start` to `until`, None: to the end.

        Raises:
            BrokenLog: At the first damage, once everything before it was given.
        """
        for (topic, partition), first in start.items():
            end = None if until is None else until.get((topic, partition), 0)
            files = SegmentFiles(self._folder / f"{topic}-{partition}", topic, partition).read_markers()
            yield from files.records(first, end)

    def at_time(self, topics: Sequence[str], timestamp_ms: int) -> Positions:
        """For every partition, the first offset at or after a time; its end when there is none."""
        ends = self.ends(topics)
        for place, end in ends.items():
            records = (one for batch in self.read({place: 0}, until={place: end}) for one in batch)
            ends[place] = next((one.offset for one in records if one.timestamp_ms >= timestamp_ms), end)
        return ends

    def close(self) -> None:
        """Nothing: no file stays open."""


class SegmentFiles:
    """The segments of one partition, and which of their transactions count.

    Args:
        folder: The partition's folder.
        topic: Its topic.
        partition: Its number.

    Attributes:
        paths: The segments' files, in the order of their offsets.
        end: Records before this offset are committed; where there is damage, the offset behind its place.
        file: The file that is being read.
    """

    def __init__(self, folder: Path, topic: str, partition: int) -> None:
        self.paths, self.file = sorted(folder.glob("*.log")), ""
        self._topic, self._partition = topic, partition
        self._aborted: dict[int, list[tuple[int, int]]] = {}
        self._committed = self.end = 0

    def read_markers(self) -> SegmentFiles:
        """Find the aborted transactions, and how far records are committed."""
        pending: dict[int, int] = {}
        try:
            for batch in self.batches():
                self._committed = batch.last + 1
                if batch.transactional:
                    self._take_note(batch, pending)
        except BrokenLog as broken:
            # A transaction that the damage cuts through is read as if it counted: what is wrong in it stands first.
            self._committed, self.end = broken.offset, broken.offset + 1
            return self
        self._committed = self.end = min([self._committed, *pending.values()])
        return self

    def records(self, first: int, end: int | None) -> Iterator[list[LogRecord]]:
        """Committed records, several at a time."""
        found: list[LogRecord] = []
        stop = self._committed if end is None else min(end, self._committed)
        try:
            for batch in self.batches():
                if end is not None and batch.first >= end:
                    break
                if batch.last >= first and batch.first < stop and not self._is_left_out(batch):
                    found += [one for one in self.records_of(batch) if first <= one.offset < stop]
                if len(found) >= _AT_ONCE:
                    yield found
                    found = []
        except BrokenLog:
            yield found
            raise
        if found:
            yield found

    def _take_note(self, batch: Batch, pending: dict[int, int]) -> None:
        if not batch.marker:
            pending.setdefault(batch.producer, batch.first)
            return
        first = pending.pop(batch.producer, batch.first)
        if not self.commits(batch):
            self._aborted.setdefault(batch.producer, []).append((first, batch.first))

    def commits(self, marker: Batch) -> bool:
        """Of the end of a transaction: whether it counts.

        Raises:
            BrokenLog: When it says neither.
        """
        try:
            return marker.commits()
        except (Damage, ValueError) as damage:
            raise self._broken(marker.first, f"no end of a transaction: {damage}") from damage

    def _is_left_out(self, batch: Batch) -> bool:
        if batch.marker:
            return True
        ranges = self._aborted.get(batch.producer, ()) if batch.transactional else ()
        return any(first <= batch.first < marker for first, marker in ranges)

    def records_of(self, batch: Batch) -> list[LogRecord]:
        """A batch's records, opened.

        Raises:
            BrokenLog: When they are not what the batch says.
        """
        try:
            return list(batch.records(self._topic, self._partition))
        except Damage as damage:
            raise self._broken(batch.first, str(damage)) from damage

    def batches(self) -> Iterator[Batch]:
        """Every batch, those of no transaction that counts and the marks of their ends too; checked.

        Raises:
            BrokenLog: At the first damage.
        """
        expected = int(self.paths[0].stem) if self.paths else 0
        for path in self.paths:
            data, at, self.file = _mapped(path), 0, path.name
            while at < len(data):
                try:
                    batch = batch_at(data, at)
                except Damage as damage:
                    raise self._broken(expected, f"{path.name}, byte {at}: {damage}") from damage
                if batch.first < expected or (batch.first > expected and self._topic in _GAPLESS):
                    raise self._broken(expected, f"{path.name}, byte {at}: offset {batch.first} stands here")
                yield batch
                expected, at = batch.last + 1, batch.ends

    def _broken(self, offset: int, why: str) -> BrokenLog:
        return BrokenLog(self._topic, self._partition, offset, why, self.file)


def _mapped(path: Path) -> memoryview:
    """A file's bytes, read as they are looked at: a segment may have a gigabyte."""
    with path.open("rb") as file:
        empty = path.stat().st_size == 0
        return memoryview(b"" if empty else mmap(file.fileno(), 0, access=ACCESS_READ))
