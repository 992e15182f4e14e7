"""Audit bundles: one file with facts, what caused them, and what proves them; `octolog.verifier` checks it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from blobs import Blobs
from octolog.app.audit.bundle import PartitionWriter, write_archive
from octolog.app.blobs import claims_of
from octolog.domain.audit import Checkpoint, NotaryKeyAnnounced
from octolog.domain.chain import HASH_BYTES
from octolog.domain.errors import LogCorrupted, NotFound, Refused, SettingsError, UndecodableRecord
from octolog.domain.ids import TaskId
from octolog.domain.memory import MemoryRecorded
from octolog.domain.proof.merkle import Tracer
from octolog.domain.values import BlobRef
from octolog.ports import LogReader, LogRecord, Positions, Progress
from octolog.verifier.archive import BLOBS, FORMAT
from octolog.verifier.signatures import PROOFS, canonical
from schemas.codec import Codec, RecordedFact
from streams.notary.keys import KeyRing
from streams.replay import state_at
from streams.replay.source import Source
from streams.topics import ARMS, CHECKPOINTS, DEAD_LETTERS, INPUTS, MEMORY, TASKS

_OTHERS: Final = (*INPUTS, ARMS, DEAD_LETTERS, MEMORY)


@dataclass(frozen=True, slots=True)
class Exported:
    """What a bundle holds.

    Attributes:
        path: The file.
        size_bytes: Its size.
        sha256: Its SHA-256, lowercase hex: to be noted elsewhere.
        records: Records in it.
        facts: Facts among them.
        covered: Facts that a checkpoint proves.
        sealed_by: Id of the key that signed it; None: this home has no key.
    """

    path: str
    size_bytes: int
    sha256: str
    records: int
    facts: int
    covered: int
    sealed_by: str | None


def export_bundle(
    source: Source,
    out: Path,
    *,
    task: TaskId | None = None,
    fact: int | None = None,
    redact: bool = False,
    keys: KeyRing | None = None,
    blobs: Blobs | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Write a bundle; the same log and the same request give the same bytes.

    Args:
        source: The log.
        out: The file; replaced when it exists.
        task: A root task: its facts, their causes, and a proof of each. None: the whole log.
        fact: With `task`: this fact of the tree alone, its cause and its proof.
        redact: Leave personal data out.
        keys: Signs the bundle, if it has a key.
        blobs: Put the large values its records refer to into it, out of this store; None: leave them there.
        progress: Called with records written and an estimate of how many there are.

    Raises:
        NotFound: When the log has no such task or fact.
        LogCorrupted: When the task's facts contradict each other: there is no proof to give.
        BrokerUnavailable: When Kafka does not answer.
        SettingsError: When the file cannot be written.
        Refused: `blobs` with `redact`.
        BlobMissing, BlobChanged: A large value cannot be put into it.
    """
    if redact and blobs is not None:
        raise Refused(
            "large values are what arms wrote, personal data and all: leave them out of a redacted bundle"
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as folder:
            return _Export(source, Path(folder), redact, progress, blobs).run(out, task, fact, keys)
    except OSError as error:
        raise SettingsError(f"cannot write {out}: {error.strerror or error}") from error


@dataclass(slots=True)
class _Export:
    source: Source
    folder: Path
    redact: bool
    progress: Progress | None
    blobs: Blobs | None
    codec: Codec = field(init=False)
    reader: LogReader = field(init=False)
    ends: Positions = field(init=False)
    writers: dict[tuple[str, int], PartitionWriter] = field(default_factory=dict[Any, Any])
    foreign: list[tuple[str, int, int]] = field(default_factory=list[Any])
    refs: set[BlobRef] = field(default_factory=set[Any])
    records: int = 0
    facts: int = 0
    covered: int = 0

    def run(self, out: Path, task: TaskId | None, fact: int | None, keys: KeyRing | None) -> Exported:
        """Collect the parts, and put them together."""
        self.codec = self.source.codec()
        try:
            with closing(self.source.reader()) as reader:
                self.reader, self.ends = reader, _ends(reader)
                if task is None:
                    self._everything()
                else:
                    self._tree(task, fact)
        finally:
            for writer in self.writers.values():
                writer.close()
        self._embed()
        log = {"/".join(map(str, place)): writer.summary() for place, writer in sorted(self.writers.items())}
        manifest = {
            "format": FORMAT,
            "octolog": version("octolog"),
            "scope": {"task": task, "fact": fact},
            "topics": sorted({topic for topic, _ in self.ends}),
            "redacted": self.redact,
            "foreign_causes": sorted(self.foreign),
            "log": log,
        }
        size, digest, sealed_by = write_archive(out, self.folder, manifest, self.codec.ids, keys)
        return Exported(str(out), size, digest, self.records, self.facts, self.covered, sealed_by)

    def _embed(self) -> None:
        """Each large value once, checked."""
        if self.blobs is None or not self.refs:
            return
        (self.folder / BLOBS).mkdir()
        for ref in self.refs:
            self.blobs.save(ref, self.folder / BLOBS / ref.sha256)

    def _everything(self) -> None:
        total = sum(self.ends.values())
        largest: dict[int, int] = {}
        for topic, partition in sorted(self.ends):
            for record in self._read(topic, partition):
                self._keep(record)
                if topic == CHECKPOINTS and isinstance(said := self._decoded(record), Checkpoint):
                    largest[said.partition] = max(said.size, largest.get(said.partition, 0))
                if self.progress is not None and self.records % 1_000 == 0:
                    self.progress(self.records, total)
        self.covered = sum(largest.values())

    def _tree(self, task: TaskId, fact: int | None) -> None:
        """One tree, or one fact of it; `state_at` checks its chain."""
        view = state_at(self.reader, self.codec, task)
        wanted = {f.recorded.link.position: f for f in view.facts if fact in (None, f.recorded.link.seq)}
        if not wanted:
            raise NotFound(f"{task} has no fact {fact}; it has {len(view.facts)}")
        causes = {(f.recorded.link.cause_topic, f.recorded.link.cause_offset) for f in wanted.values()}
        offsets = {f.offset for f in wanted.values()}
        signed = self._newest_checkpoint(view.partition)
        tracer = Tracer()
        for record in self._read(TASKS, view.partition):
            if signed is not None and tracer.size < signed.size:
                tracer.add((record.value or b"")[-HASH_BYTES:], wanted=tracer.size in wanted)
            if record.offset in offsets:
                self._keep(record)
        if signed is not None:
            self._proofs(signed, tracer, {p: f.recorded.link.seq for p, f in wanted.items()})
        for topic in INPUTS:
            for record in self._read(topic, view.partition):
                self._keep_input(record, task.encode(), causes, whole=fact is None)
        if fact is None:
            for record in self._read(ARMS, 0):
                self._keep(record)
            for record in self._read(DEAD_LETTERS, 0):
                if record.key == task.encode():
                    self._keep(record)
            self._memories(task)

    def _memories(self, task: TaskId) -> None:
        """What the tree had remembered, and what was recorded about it directly."""
        for _, partition in sorted(place for place in self.ends if place[0] == MEMORY):
            for record in self._read(MEMORY, partition):
                said = self._decoded(record)
                if isinstance(said, MemoryRecorded) and said.root_task_id == task:
                    self._keep(record)

    def _keep_input(
        self, record: LogRecord, key: bytes, causes: set[tuple[str, int]], *, whole: bool
    ) -> None:
        """A tree's inputs, and what caused its facts; of other trees only that they did."""
        is_cause = (record.topic, record.offset) in causes
        if is_cause and record.key not in (key, b"", None):
            self.foreign.append((record.topic, record.partition, record.offset))
        elif is_cause or (whole and record.key == key):
            self._keep(record)

    def _newest_checkpoint(self, partition: int) -> Checkpoint | None:
        """Keeps the keys and the newest checkpoint of a partition."""
        newest: tuple[LogRecord, Checkpoint] | None = None
        kept: list[LogRecord] = []
        for record in self._read(CHECKPOINTS, 0):
            said = self._decoded(record)
            if isinstance(said, NotaryKeyAnnounced):
                kept.append(record)
            elif isinstance(said, Checkpoint) and said.partition == partition:
                newest = record, said
        if newest is None:
            return None
        for record in sorted([*kept, newest[0]], key=lambda record: record.offset):
            self._keep(record)
        return newest[1]

    def _proofs(self, signed: Checkpoint, tracer: Tracer, seqs: dict[int, int]) -> None:
        root, paths = tracer.finish()
        if root != signed.root:
            raise LogCorrupted(
                f"{TASKS}/{signed.partition}: its first {signed.size} facts have another root than the checkpoint "
                "that was signed; `octolog replay --verify` says more"
            )
        proofs = [
            {"position": position, "seq": seqs[position], "path": [part.hex() for part in path]}
            for position, path in sorted(paths.items())
        ]
        self.covered = len(proofs)
        document = [{"partition": signed.partition, "size": signed.size, "proofs": proofs}]
        (self.folder / PROOFS).write_bytes(canonical(document))

    def _read(self, topic: str, partition: int) -> Iterator[LogRecord]:
        place = topic, partition
        end = self.ends.get(place, 0)
        for batch in self.reader.read({place: 0}, until={place: end}) if end > 0 else ():
            yield from batch

    def _keep(self, record: LogRecord) -> None:
        place = record.topic, record.partition
        writer = self.writers.get(place)
        if writer is None:
            writer = self.writers[place] = PartitionWriter(
                *place, self.folder, self.codec, redact=self.redact
            )
        writer.add(record)
        if self.blobs is not None:
            said = self._decoded(record)
            fact = said.fact if isinstance(said, RecordedFact) else said
            self.refs.update(ref for _, ref in claims_of(fact))
        self.records += 1
        self.facts += record.topic == TASKS

    def _decoded(self, record: LogRecord) -> object:
        try:
            return self.codec.decode(record.value)
        except UndecodableRecord:
            return None


def _ends(reader: LogReader) -> Positions:
    """Checkpoints first, so that the facts they cover are there; causes last, likewise."""
    ends: Positions = {}
    for topics in ((CHECKPOINTS,), (TASKS,), *((topic,) for topic in _OTHERS)):
        try:
            ends |= reader.ends(topics)
        except NotFound:
            if topics == (TASKS,):
                raise
    return ends
