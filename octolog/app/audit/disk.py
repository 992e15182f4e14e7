"""A broker's data folder checked without the broker: checksums, offsets, hashes, chains, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from deploy.kafka import EmbeddedKafka
from deploy.kafka.storage import was_killed
from octolog.app.settings import Settings
from octolog.domain.errors import NotFound
from octolog.ports import LogRecord, Positions, Progress
from streams.kafka.disk import PartitionFiles, check_files, file_at, open_folder, size_of, written
from streams.kafka.schema_topic import SCHEMAS_TOPIC
from streams.kafka.segments import BrokenLog, FolderLogReader, FolderSource
from streams.replay import Difference, HashesReport, Report, verify, verify_hashes
from streams.topics import TASKS

__all__ = ["DiskFault", "DiskReport", "check_disk", "data_folder"]

Stage = Callable[[str, int, int], None]
_KILLED: Final = (
    "the broker was killed; it cuts an unfinished end off when it starts again: "
    "start and stop it once, then check"
)


@dataclass(frozen=True, slots=True)
class DiskFault:
    """Something that is wrong in the folder.

    Attributes:
        file: The file, relative to the folder.
        topic: The topic.
        partition: The partition.
        offset: The record's offset; where records are missing, the first of them.
        task_id: The tree, where it is known.
        kind: As in `streams.replay.Difference`.
        message: What is wrong, one line.
    """

    file: str
    topic: str
    partition: int
    offset: int
    task_id: str | None
    kind: str
    message: str

    def __str__(self) -> str:
        task = "" if self.task_id is None else f" ({self.task_id})"
        return f"{self.file}: {self.topic}/{self.partition}@{self.offset}{task}: {self.kind}: {self.message}"


@dataclass(slots=True)
class DiskReport:
    """What a data folder holds.

    Attributes:
        folder: Which.
        partitions: What the files hold, by topic and partition.
        hashes: What hashes, chains and checkpoints say; None: the schemas cannot be read.
        decided: What deciding again says; None: it was not asked for, or something is wrong already.
        faults: What is wrong.
        notes: What to know about it.
        seconds: How long it took.
    """

    folder: str
    partitions: list[PartitionFiles] = field(default_factory=list[PartitionFiles])
    hashes: HashesReport | None = None
    decided: Report | None = None
    faults: list[DiskFault] = field(default_factory=list[DiskFault])
    notes: list[str] = field(default_factory=list[str])
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """True when nothing is wrong."""
        return not self.faults

    def to_json(self) -> dict[str, Any]:
        """The report as `octolog audit disk --json` prints it."""
        size = sum(one.size_bytes for one in self.partitions)
        hashes = {} if self.hashes is None else self.hashes.to_json()
        return {
            "ok": self.ok,
            "folder": self.folder,
            "files": sum(one.files for one in self.partitions),
            "bytes": size,
            "batches": sum(one.batches for one in self.partitions),
            "aborted": sum(one.aborted for one in self.partitions),
            **{name: hashes.get(name) for name in ("facts", "trees", "checkpoints", "covered")},
            "faults": [asdict(fault) for fault in self.faults],
            "notes": self.notes,
            "partitions": [asdict(one) for one in self.partitions],
            "decided": None if self.decided is None else self.decided.to_json(),
            "seconds": round(self.seconds, 3),
            "bytes_per_s": round(size / self.seconds) if self.seconds else 0,
        }


def data_folder(settings: Settings) -> Path:
    """Where the embedded broker of these settings keeps its log."""
    return EmbeddedKafka(settings.home).data_dir


def check_disk(folder: Path, *, decide: bool = False, processes: int = 1, stage: Stage) -> DiskReport:
    """Check a broker's data folder, or a copy of it, from its files alone; nothing in it is changed.

    Args:
        folder: The broker's `log.dirs`.
        decide: Decide every fact again too, where nothing else is wrong.
        processes: How many processes share the partitions of the facts.
        stage: Called with what is done, how much of it is done, and how much there is.

    Raises:
        NotFound: When there are no facts in the folder.
        Refused: When a broker has it open.
    """
    started_s = time.monotonic()
    report = DiskReport(str(folder))
    _files(report, folder, partial(stage, "checking files (bytes)"))
    source = _ToTheDamage(folder)
    if not any(fault.topic == SCHEMAS_TOPIC for fault in report.faults):
        report.hashes = verify_hashes(source, progress=partial(stage, "checking hashes"), processes=processes)
        _hashes(report, folder, report.hashes)
    if decide and report.ok:
        report.decided = verify(
            source, progress=partial(stage, "deciding again"), processes=processes, copy=True
        )
        _decided(report, folder, report.decided)
    if was_killed(folder) and not report.ok:
        report.notes.append(_KILLED)
    report.seconds = time.monotonic() - started_s
    return report


def _files(report: DiskReport, folder: Path, progress: Progress) -> None:
    places, noted, done = open_folder(folder), written(folder), 0
    total = sum(size_of(folder, place) for place in places)

    def tell(more: int) -> None:
        nonlocal done
        done += more
        progress(done, total)

    for place in places:
        found = check_files(folder, place, noted.get(place, 0), tell)
        report.partitions.append(found)
        if found.damage is not None:
            wrong = found.damage
            report.faults.append(DiskFault(wrong.file, *place, wrong.offset, None, wrong.kind, wrong.why))


def _hashes(report: DiskReport, folder: Path, hashes: HashesReport) -> None:
    damaged = {(fault.topic, fault.partition): fault.offset for fault in report.faults}
    for found in (*(one.difference for one in hashes.partitions), *hashes.faults):
        # What lies behind damage was not read; that it is missing is said already.
        if found is not None and found.offset < damaged.get((found.topic, found.partition), found.offset + 1):
            report.faults.append(_located(folder, found))


def _decided(report: DiskReport, folder: Path, decided: Report) -> None:
    for one in decided.partitions:
        report.faults += [_located(folder, found) for found in one.differences]
    for lost in decided.lost:
        file = file_at(folder, lost.topic, lost.partition, lost.offset)
        place = lost.topic, lost.partition, lost.offset
        report.faults.append(DiskFault(file, *place, lost.tree, "lost", lost.reason))


def _located(folder: Path, found: Difference) -> DiskFault:
    place = found.topic, found.partition, found.offset
    return DiskFault(file_at(folder, *place), *place, found.tree, found.kind, found.message)


@dataclass(frozen=True, slots=True)
class _ToTheDamage(FolderSource):
    """A folder whose other topics are read up to their damage, which is said already."""

    def reader(self) -> FolderLogReader:
        return _Reader(self.folder)


class _Reader(FolderLogReader):
    def ends(self, topics: Sequence[str]) -> Positions:
        found = super().ends(topics)
        if not found and TASKS in topics:
            raise NotFound(f"there is no {TASKS} in the folder")
        return found

    def read(self, start: Positions, *, until: Positions | None = None) -> Iterator[list[LogRecord]]:
        for place, first in start.items():
            try:
                yield from super().read({place: first}, until=until)
            except BrokenLog:
                if place[0] == TASKS:
                    raise
