"""What a broker's data folder holds: every batch of every topic of the log, and what the broker noted of their ends.

A broker writes down, every few seconds and when it stops, up to where each partition was written. Files that end
before that, and partitions that have no folder any more, were cut off by somebody else.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from octolog.domain.errors import NotFound, Refused
from octolog.ports import TopicPartition
from streams.kafka.batches import Batch
from streams.kafka.schema_topic import SCHEMAS_TOPIC
from streams.kafka.segments import BrokenLog, SegmentFiles
from streams.topics import TASKS

_OURS: Final = "octolog."
_WRITTEN: Final = "replication-offset-checkpoint"
_LOCK: Final = ".lock"
_WORDS: Final = 3
_TELL_EVERY_BYTES: Final = 4_000_000


@dataclass(frozen=True, slots=True)
class Damaged:
    """The first place where a partition's files are not as a broker writes them.

    Attributes:
        file: The file; empty when the whole folder is gone.
        offset: Everything before this offset is right.
        kind: `damaged` or `missing`.
        why: What is wrong there.
    """

    file: str
    offset: int
    kind: str
    why: str


@dataclass(slots=True)
class PartitionFiles:
    """What the files of one partition hold.

    Attributes:
        topic: The topic.
        partition: The partition.
        files: Segments.
        size_bytes: Bytes of them that were checked.
        batches: Batches, each as long as it says and with its checksum.
        aborted: Transactions that were taken back; nothing of them counts.
        end_offset: The offset behind the last batch.
        damage: The first damage, if there is one.
    """

    topic: str
    partition: int
    files: int = 0
    size_bytes: int = 0
    batches: int = 0
    aborted: int = 0
    end_offset: int = 0
    damage: Damaged | None = None


def open_folder(folder: Path) -> list[TopicPartition]:
    """The partitions of the log in a data folder, `_schemas` among them; those that only the broker's notes name too.

    Raises:
        NotFound: When there are no facts in it.
        Refused: When a broker has it open.
    """
    places = {place for path in folder.glob("*-*") if path.is_dir() and (place := _place(path)) is not None}
    places |= {place for place in written(folder) if _is_ours(place[0])}
    if not any(topic == TASKS for topic, _ in places):
        raise NotFound(f"there is no {TASKS} in {folder}; name a broker's data folder (its `log.dirs`)")
    if _is_open(folder):
        raise Refused(f"a broker has {folder} open; stop it first (`octolog down`), or check a copy")
    return sorted(places)


def written(folder: Path) -> dict[TopicPartition, int]:
    """Up to where each partition was written when the broker last noted it; empty where it noted nothing."""
    try:
        lines = (folder / _WRITTEN).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    found: dict[TopicPartition, int] = {}
    for line in lines:
        words = line.split(" ")
        if len(words) == _WORDS and words[1].isdecimal() and words[2].isdecimal():
            found[words[0], int(words[1])] = int(words[2])
    return found


def size_of(folder: Path, place: TopicPartition) -> int:
    """Bytes of a partition's segments."""
    return sum(path.stat().st_size for path in _path(folder, place).glob("*.log"))


def file_at(folder: Path, topic: str, partition: int, offset: int) -> str:
    """The file that an offset lies in, relative to the folder; its place if it is not there."""
    path = _path(folder, (topic, partition))
    names = sorted(one.name for one in path.glob("*.log"))
    before = [
        name for name in names if name[: -len(".log")].isdecimal() and int(name[: -len(".log")]) <= offset
    ]
    return f"{path.name}/{before[-1] if before else names[0] if names else ''}"


def check_files(
    folder: Path, place: TopicPartition, at_least: int, tell: Callable[[int], None]
) -> PartitionFiles:
    """Read a partition's files, batch by batch.

    Args:
        folder: The data folder.
        place: Topic and partition.
        at_least: The offset up to which the broker noted that it wrote.
        tell: Called with the bytes that were read since the last call.
    """
    topic, partition = place
    path = _path(folder, place)
    files = SegmentFiles(path, topic, partition)
    found = PartitionFiles(topic, partition, len(files.paths))
    told = 0
    try:
        for batch in files.batches():
            _take_in(found, files, batch)
            if found.size_bytes - told >= _TELL_EVERY_BYTES:
                tell(found.size_bytes - told)
                told = found.size_bytes
    except BrokenLog as broken:
        found.damage = Damaged(f"{path.name}/{broken.file}", broken.offset, "damaged", broken.why)
    tell(size_of(folder, place) - told)
    last = files.paths[-1].stem if files.paths else ""
    found.end_offset = max(found.end_offset, int(last) if last.isdecimal() else 0)
    if found.damage is None and found.end_offset < at_least:
        why = (
            f"the broker had written up to {at_least}; offsets {found.end_offset} to {at_least - 1} are cut off"
            if files.paths
            else f"the broker had written up to {at_least}; there are no files any more"
        )
        file = file_at(folder, topic, partition, found.end_offset)
        found.damage = Damaged(file, found.end_offset, "missing", why)
    return found


def _take_in(found: PartitionFiles, files: SegmentFiles, batch: Batch) -> None:
    if batch.marker:
        found.aborted += not files.commits(batch)
    elif found.topic != TASKS:  # facts are opened with their hashes
        files.records_of(batch)
    found.batches += 1
    found.size_bytes += batch.size_bytes
    found.end_offset = batch.last + 1


def _place(path: Path) -> TopicPartition | None:
    topic, _, number = path.name.rpartition("-")
    return (topic, int(number)) if _is_ours(topic) and number.isdecimal() else None


def _is_ours(topic: str) -> bool:
    return topic.startswith(_OURS) or topic == SCHEMAS_TOPIC


def _path(folder: Path, place: TopicPartition) -> Path:
    return folder / f"{place[0]}-{place[1]}"


def _is_open(folder: Path) -> bool:
    """Whether a broker holds the folder's lock. Ours is let go with the file."""
    try:
        with (folder / _LOCK).open("rb") as lock:
            fcntl.lockf(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a copy has no lock, or one that others may not read
        return False
    return False
