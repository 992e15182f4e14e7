"""The blob store of the settings: opened, checked against the log, and cleared of what nobody refers to."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from blobs import Blobs, Stored, open_shelf
from octolog.app.connection import Connection
from octolog.app.settings import Settings
from octolog.domain.contract import SubmitTask
from octolog.domain.errors import BlobChanged, BlobMissing, BlobTooLarge, SettingsError, UndecodableRecord
from octolog.domain.facts import AttemptEnded, TaskCompleted, TaskSubmitted
from octolog.domain.reports import ExecutionResult
from octolog.domain.values import BlobRef
from octolog.ports import LogRecord, Progress
from schemas.codec import Codec, RecordedFact
from streams.topics import CONTRACTS, RESULTS, TASKS

__all__ = ["Fault", "Garbage", "Verdict", "claims_of", "collect", "open_blobs", "references", "verify_blobs"]

_FOLDER: Final = "blobs"
_DIGEST: Final = re.compile(
    rb"(?=([0-9a-f]{64}))"
)  # overlapping: a digest may stand right behind other hex digits
_NAMED: Final = 20
"""Records behind the first that are named where a blob is wrong; all of them are counted."""


def open_blobs(settings: Settings) -> Blobs:
    """The blob store: where `OCTOLOG_BLOB_URL` says, else a folder in this home. Nothing is asked of it yet.

    Raises:
        SettingsError: The URL names no place for blobs.
    """
    return Blobs(open_shelf(settings.blob_url or str(settings.home / _FOLDER)), settings.blob_max_bytes)


@dataclass(frozen=True, slots=True)
class Reference:
    """A record that refers to a blob.

    Attributes:
        ref: The claim check.
        record: Name of the record's type.
        task_id: The task it is about.
        topic: Its topic.
        partition: Its partition.
        offset: Its offset.
    """

    ref: BlobRef
    record: str
    task_id: str
    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Fault:
    """A blob that a record refers to and nobody can read, or that is another than the record says.

    Attributes:
        sha256: The blob.
        message: What is wrong, one line.
        task_id: The task of the first record that refers to it.
        topic: That record's topic.
        partition: Its partition.
        offset: Its offset.
        references: How many records refer to it.
        referred_by: The records behind the first that do, as far as they are named: `TOPIC/PARTITION@OFFSET (TASK)`.
    """

    sha256: str
    message: str
    task_id: str
    topic: str
    partition: int
    offset: int
    references: int = 1
    referred_by: tuple[str, ...] = ()

    def __str__(self) -> str:
        more = self.references - 1 - len(self.referred_by)
        others = [*self.referred_by, *([f"{more} more"] if more else [])]
        also = f"; referred to by {', '.join(others)} too" if others else ""
        return f"{self.topic}/{self.partition}@{self.offset} ({self.task_id}): {self.message}{also}"


@dataclass(slots=True)
class Verdict:
    """What checking every blob against the log found.

    Attributes:
        store: Where the blobs lie.
        references: Records that refer to blobs.
        blobs: Different blobs they refer to.
        checked_bytes: Bytes read and found right.
        faults: Blobs that are missing or changed.
    """

    store: str
    references: int = 0
    blobs: int = 0
    checked_bytes: int = 0
    faults: list[Fault] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """True when every blob is there and right."""
        return not self.faults

    def to_json(self) -> dict[str, Any]:
        """The verdict as a JSON document."""
        return {"ok": self.ok, **asdict(self)}


@dataclass(frozen=True, slots=True)
class Garbage:
    """A blob, or the rest of an upload, that nobody refers to.

    Attributes:
        sha256: Its name.
        size_bytes: Its size.
        age_s: How long ago it was written, seconds.
        unfinished: True for the rest of an upload.
        deleted: True once it is deleted.
    """

    sha256: str
    size_bytes: int
    age_s: float
    unfinished: bool
    deleted: bool


def references(
    connection: Connection, codec: Codec, *, root_task_id: str | None = None, progress: Progress | None = None
) -> Iterator[Reference]:
    """Every reference to a blob in the log, contracts first, then results, then facts.

    Args:
        connection: The log.
        codec: Decodes it.
        root_task_id: Of this tree alone; None: of all.
        progress: Called with records read and how many there are about.
    """
    key = None if root_task_id is None else root_task_id.encode()
    for record in _records(connection, (CONTRACTS, RESULTS, TASKS), progress):
        if (key is not None and record.key != key) or record.value is None:
            continue
        if (
            _DIGEST.search(record.value) is None
        ):  # most records name no blob, and nothing else with 64 hex digits
            continue
        try:
            decoded = codec.decode(record.value)
        except UndecodableRecord:
            continue
        said = decoded.fact if isinstance(decoded, RecordedFact) else decoded
        for task_id, ref in claims_of(said):
            place = record.topic, record.partition, record.offset
            yield Reference(ref, type(said).__name__, task_id, *place)


def verify_blobs(
    connection: Connection,
    blobs: Blobs,
    *,
    root_task_id: str | None = None,
    progress: Progress | None = None,
    reading: Progress | None = None,
) -> Verdict:
    """Read every blob that the log refers to, each once, and name those that are missing or changed.

    Args:
        connection: The log.
        blobs: Where the blobs lie.
        root_task_id: What this tree refers to alone; None: what any does.
        progress: Called with records read and how many there are about.
        reading: Called with bytes of blobs read and how many there are, once the log is read.

    Raises:
        BrokerUnavailable: Kafka does not answer.
        StoreUnavailable: The store does not answer.
    """
    wanted: dict[tuple[str, int], _Wanted] = {}
    for found in references(connection, connection.codec(), root_task_id=root_task_id, progress=progress):
        key = found.ref.sha256, found.ref.size_bytes
        known = wanted.get(key)
        if known is None:
            wanted[key] = _Wanted(found)
        else:
            known.add(found)
    verdict = Verdict(blobs.shelf.url, sum(one.references for one in wanted.values()))
    verdict.blobs = len({name for name, _ in wanted})
    done, total = 0, sum(max(0, size) for _, size in wanted)
    for one in wanted.values():
        ref = one.first.ref
        try:
            blobs.check(ref)
            verdict.checked_bytes += ref.size_bytes
        except (BlobMissing, BlobChanged, BlobTooLarge) as error:
            verdict.faults.append(one.fault(str(error)))
        done += max(0, ref.size_bytes)
        if reading is not None:
            reading(done, total)
    return verdict


@dataclass(slots=True)
class _Wanted:
    """A blob, and who refers to it."""

    first: Reference
    references: int = 1
    others: list[str] = field(default_factory=list[str])

    def add(self, found: Reference) -> None:
        self.references += 1
        if len(self.others) < _NAMED:
            self.others.append(f"{found.topic}/{found.partition}@{found.offset} ({found.task_id})")

    def fault(self, message: str) -> Fault:
        first = self.first
        place = first.task_id, first.topic, first.partition, first.offset
        return Fault(first.ref.sha256, message, *place, self.references, tuple(self.others))


def collect(
    connection: Connection,
    blobs: Blobs,
    *,
    grace_s: float,
    delete: bool = False,
    progress: Progress | None = None,
) -> list[Garbage]:
    """Blobs that no record names and that are older than `grace_s` seconds, oldest first; deleted if asked.

    A record names a blob when its bytes hold the blob's digest, in whatever field of whatever schema, in a text an
    arm wrote or in a dead letter: what looks like a reference is one.

    Raises:
        BrokerUnavailable: Kafka does not answer; nothing was deleted.
        StoreUnavailable: The store does not answer.
    """
    now_ms = time.time_ns() // 1_000_000
    before_ms = now_ms - int(grace_s * 1000)
    # The store first, the log after: what is referred to between the two is found, and what is written then is young.
    stored = [
        found for found in (*blobs.shelf.stored(), *blobs.shelf.unfinished()) if found.written_ms < before_ms
    ]
    unnamed = {found.name for found in stored if not found.handle}
    if unnamed:
        for record in _records(connection, _all_topics(connection), progress):
            unnamed.difference_update(map(bytes.decode, _DIGEST.findall(record.value or b"")))
            if not unnamed:
                break
    garbage = sorted(
        (each for each in stored if each.handle or each.name in unnamed), key=lambda each: each.written_ms
    )
    return [_garbage(each, blobs, now_ms, before_ms, delete=delete) for each in garbage]


def _garbage(found: Stored, blobs: Blobs, now_ms: int, before_ms: int, *, delete: bool) -> Garbage:
    gone = delete and blobs.shelf.remove(found, before_ms)
    age_s = (now_ms - found.written_ms) / 1000
    return Garbage(found.name, found.size_bytes, age_s, bool(found.handle), gone)


def claims_of(said: Any) -> Iterator[tuple[str, BlobRef]]:
    """The claim checks in a record, with the task each belongs to."""
    match said:
        case SubmitTask(contract=contract) | TaskSubmitted(contract=contract):
            if contract.context_blob is not None:
                yield contract.task_id, contract.context_blob
            for step in contract.steps:
                if step.context_blob is not None:
                    yield f"{contract.task_id}/{step.step_id}", step.context_blob
        case ExecutionResult() | AttemptEnded() | TaskCompleted():
            if said.output_blob is not None:
                yield said.task_id, said.output_blob
        case _:
            pass


def _all_topics(connection: Connection) -> tuple[str, ...]:
    """Every topic that may name a blob: octolog's own."""
    names = tuple(str(row["topic"]) for row in connection.topics())
    if TASKS not in names:  # of another cluster, or of none: nothing would be referred to, and all deleted
        raise SettingsError(
            f"there is no {TASKS} on {connection.bootstrap_servers}; is it the cluster of this store?"
        )
    return names


def _records(
    connection: Connection, topics: tuple[str, ...], progress: Progress | None
) -> Iterator[LogRecord]:
    reader = connection.reader()
    done, total = 0, 0
    for topic in topics:
        total += sum(reader.ends([topic]).values())
    for topic in topics:
        for batch in reader.read(reader.begins([topic]), until=reader.ends([topic])):
            done += len(batch)
            if progress is not None:
                progress(done, total)
            yield from batch
