"""The hashes of the whole log: all partitions, in one process or several."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeAlias

from octolog.domain.audit import Checkpoint
from octolog.ports import LogReader, Positions, Progress
from schemas.fact_bytes import FactSchemas
from streams.kafka.segments import BrokenLog
from streams.notary.witness import read_witness
from streams.replay.hashes import HashCheck, HashReport
from streams.replay.report import Difference
from streams.replay.shares import Told, ask_partitions, in_processes
from streams.replay.source import Source
from streams.topics import CHECKPOINTS, TASKS

_GONE: Final = "the whole partition is missing; a checkpoint covers {} facts of it"
_Share: TypeAlias = tuple[int, int, tuple[Checkpoint, ...]]
"""A partition, the offset to read to, and what was signed about it."""


@dataclass(frozen=True, slots=True)
class HashesReport:
    """What the hashes of a log say.

    Attributes:
        partitions: One report each, by number.
        faults: Checkpoints and keys that cannot be believed.
        seconds: How long it took.
    """

    partitions: tuple[HashReport, ...]
    faults: tuple[Difference, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """True when nothing is wrong."""
        return self.first_difference is None

    @property
    def facts(self) -> int:
        """Facts whose hashes, links and positions are right."""
        return sum(p.facts for p in self.partitions)

    @property
    def first_difference(self) -> Difference | None:
        """The first fault of the lowest partition that has one; a fact's before a checkpoint's."""
        found = (p.difference for p in self.partitions if p.difference is not None)
        return next(found, None) or next(iter(self.faults), None)

    def to_json(self) -> dict[str, Any]:
        """The report as `octolog replay --verify --hashes-only --json` prints it."""
        first = self.first_difference
        names = ("trees", "checkpoints", "covered")
        return {
            "ok": self.ok,
            "facts": self.facts,
            **{name: sum(getattr(p, name) for p in self.partitions) for name in names},
            "first_difference": None if first is None else asdict(first),
            "partitions": [asdict(p) for p in self.partitions],
            "faults": [asdict(fault) for fault in self.faults],
            "seconds": round(self.seconds, 3),
            "facts_per_s": round(self.facts / self.seconds) if self.seconds else 0,
        }


def verify_hashes(
    source: Source,
    *,
    partitions: Iterable[int] | None = None,
    until: Positions | None = None,
    progress: Progress | None = None,
    processes: int = 1,
) -> HashesReport:
    """Check the hash, the chain and the number of every fact, and every checkpoint, from the bytes alone.

    Args:
        source: The log.
        partitions: Which; None: all.
        until: Facts before these offsets; None: all there are.
        progress: Called with facts checked and an estimate of how many there are.
        processes: How many processes share the partitions; with more than one, `source` is pickled.

    Raises:
        NotFound: When a topic or a partition is not there.
        BrokerUnavailable: When Kafka does not answer.
    """
    started_s = time.monotonic()
    with closing(source.reader()) as reader:
        ends = reader.ends([TASKS])
    for place, end in (until or {}).items():
        ends[place] = min(end, ends.get(place, 0))
    wanted = ask_partitions(ends, partitions)
    witness = read_witness(source.reader(), source.codec())
    shares = [(number, ends[TASKS, number], tuple(witness.checkpoints[number])) for number in wanted]
    counts: defaultdict[int, int] = defaultdict(int)
    total = sum(end for _, end, _ in shares)

    def tell(partition: int, facts: int) -> None:
        counts[partition] = facts
        if progress is not None:
            progress(sum(counts.values()), total)

    reports = in_processes(_check, source, shares, tell, processes)
    faults = tuple(
        Difference(CHECKPOINTS, 0, offset, None, None, "checkpoint", why) for offset, why in witness.faults
    )
    there = {number for topic, number in ends if topic == TASKS}
    gone = tuple(
        Difference(TASKS, number, 0, None, None, "missing", _GONE.format(max(said.size for said in signed)))
        for number, signed in sorted(witness.checkpoints.items())
        if signed and number not in there
    )
    return HashesReport(tuple(reports), gone + faults, time.monotonic() - started_s)


def _check(source: Source, shares: list[_Share], tell: Told) -> list[HashReport]:
    schemas = FactSchemas(source.codec().ids)
    reports = []
    for number, end, checkpoints in shares:
        check = HashCheck(number, schemas, checkpoints)
        with closing(source.reader()) as reader:
            try:
                _read_into(check, reader, end, tell)
            except BrokenLog as broken:
                check.break_off(broken.offset, broken.why)
        reports.append(check.finish(end))
    return reports


def _read_into(check: HashCheck, reader: LogReader, end: int, tell: Told) -> None:
    place = TASKS, check.partition
    for batch in reader.read({place: 0}, until={place: end}) if end > 0 else ():
        if not check.add(batch):
            return
        tell(check.partition, check.report.facts)
