"""Following the facts and signing what they add up to."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from octolog.domain.audit import Checkpoint
from octolog.domain.errors import LogCorrupted
from octolog.domain.proof.merkle import Peaks
from octolog.ports import LogRecord, Publisher
from schemas.fact_bytes import FactSchemas
from streams.notary.keys import KeyRing
from streams.notary.witness import read_witness
from streams.replay.hashes import HashCheck
from streams.replay.source import Source
from streams.topics import CHECKPOINTS, TASKS

DEFAULT_INTERVAL_S: Final = 10.0
_FLUSH_S: Final = 5.0
_log: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class _Partition:
    peaks: Peaks
    check: HashCheck
    signed: int
    end_offset: int
    since_s: float | None = None
    dead: bool = False


class Notary:
    """Signs a checkpoint of a partition when an interval has passed since its first unsigned fact.

    It goes on from its own last checkpoint, and starts from the first fact where it has none. A partition with
    a fact whose hash or number is wrong is signed no further.

    Args:
        source: The log.
        publisher: Appends checkpoints.
        keys: Signs them.
        interval_s: Seconds from a fact to the checkpoint that covers it, at most, while the notary keeps up.
        clock_s: The time, seconds since the epoch.
    """

    def __init__(
        self,
        source: Source,
        publisher: Publisher,
        keys: KeyRing,
        *,
        interval_s: float = DEFAULT_INTERVAL_S,
        clock_s: Callable[[], float] = time.time,
    ) -> None:
        self._source, self._publisher, self._keys = source, publisher, keys
        self._interval_s, self._clock_s = interval_s, clock_s
        self._codec = source.codec()
        self._schemas = FactSchemas(self._codec.ids)
        self._announced: set[str] = set()
        self._partitions: dict[int, _Partition] = {}
        self.checkpoints = 0
        self.fault: str | None = None

    def run(self, stop: Callable[[], bool]) -> None:
        """Follow the log until `stop()`; then sign what is left.

        Raises:
            BrokerUnavailable: When Kafka does not answer; `run` may be called again.
        """
        with closing(self._source.reader()) as reader:
            ends = reader.ends([TASKS])
            self._resume([partition for _, partition in ends])
            start = {(TASKS, number): place.end_offset for number, place in self._partitions.items()}
            for batch in reader.read(start):
                self.take(batch)
                stopping = stop()
                self.sign_due(all_of_them=stopping)
                if stopping:
                    return

    def take(self, batch: list[LogRecord]) -> None:
        """Take in facts, in offset order within each partition."""
        now_s = self._clock_s()
        for number, records in groupby(sorted(batch, key=_place), key=lambda record: record.partition):
            place = self._partitions.get(number) or self._first(number)
            if place.dead:
                continue
            facts = list(records)
            if not place.check.add(facts):
                self._refuse(place)
                continue
            place.end_offset = facts[-1].offset + 1
            place.since_s = place.since_s or now_s

    def sign_due(self, *, all_of_them: bool = False) -> None:
        """Sign every partition whose first unsigned fact is an interval old; `all_of_them`: however old."""
        now_s = self._clock_s()
        signed = False
        for number, place in self._partitions.items():
            due = place.since_s is not None and (all_of_them or now_s - place.since_s >= self._interval_s)
            if due and not place.dead and place.peaks.size > place.signed:
                self._sign(number, place, int(now_s * 1_000))
                signed = True
        if signed:
            self._publisher.flush(_FLUSH_S)

    def _resume(self, partitions: list[int]) -> None:
        """From the last checkpoint of each partition that a key of this home signed."""
        witness = read_witness(self._source.reader(), self._codec)
        self._announced = set(witness.keys)
        for number in partitions:
            place = self._first(number)
            for seen in reversed(witness.checkpoints[number]):
                peaks = _state(seen) if self._keys.has(seen.key_id) else None
                if peaks is not None:
                    place.peaks, place.signed, place.end_offset = peaks, seen.size, seen.end_offset
                    place.check = HashCheck(number, self._schemas, peaks=peaks)
                    break
            self._partitions[number] = place

    def _first(self, number: int) -> _Partition:
        peaks = Peaks()
        place = _Partition(peaks, HashCheck(number, self._schemas, peaks=peaks), 0, 0)
        self._partitions[number] = place
        return place

    def _sign(self, number: int, place: _Partition, now_ms: int) -> None:
        peaks = place.peaks
        signed = self._keys.checkpoint(
            TASKS,
            number,
            size=peaks.size,
            end_offset=place.end_offset,
            root=peaks.root(),
            peaks=peaks.packed(),
            at_ms=now_ms,
        )
        if signed.key_id not in self._announced:
            for said in self._keys.announcements():
                if said.key_id not in self._announced:
                    self._publisher.publish(CHECKPOINTS, "keys", self._codec.encode(said))
                    self._announced.add(said.key_id)
        self._publisher.publish(CHECKPOINTS, f"{TASKS}/{number}", self._codec.encode(signed))
        place.signed, place.since_s = peaks.size, None
        self.checkpoints += 1

    def _refuse(self, place: _Partition) -> None:
        fault = place.check.report.difference
        assert fault is not None  # noqa: S101 -- said by the check that refused
        place.dead = True
        self.fault = str(
            LogCorrupted(f"{fault.topic}/{fault.partition}@{fault.offset}: {fault.kind}: {fault.message}")
        )
        _log.error("no further checkpoint: %s", self.fault)


def _place(record: LogRecord) -> tuple[int, int]:
    return record.partition, record.offset


def _state(seen: Checkpoint) -> Peaks | None:
    """The tree a checkpoint was signed over; its peaks are not signed, so they must lead to its root."""
    try:
        peaks = Peaks(seen.size, seen.peaks)
    except ValueError:
        return None
    return peaks if peaks.root() == seen.root else None
