"""A log in memory that the real task processor writes, and that a replay reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from octolog.domain.arm import ArmEvent
from octolog.domain.assignment import ArmCommand, AttemptAssignment
from octolog.domain.defaults import LEASE_MS, WINDOW
from octolog.domain.shard import ClosedTree, Input
from octolog.domain.upkeep import TimerFired, TimerKind
from octolog.ports import LogRecord, Positions
from schemas.codec import Codec, RecordedFact
from schemas.registry import MemorySchemaTopic, TopicSchemaIds
from streams.processors.task import TaskProcessor
from streams.registry_table import RegistryTable
from streams.topics import (
    ARMS,
    ASSIGNMENTS,
    CONTRACTS,
    DEAD_LETTERS,
    INPUTS,
    MEMORY,
    RESOURCES,
    RESULTS,
    TASKS,
    TIMERS,
)

START_MS = 1_700_000_000_000
TOPICS = (*INPUTS, TASKS, ARMS, DEAD_LETTERS, MEMORY)
_TOPIC_OF = {
    "contract": CONTRACTS,
    "result": RESULTS,
    "resource": RESOURCES,
    "timer": TIMERS,
}


CODEC = Codec(TopicSchemaIds(MemorySchemaTopic()))
"""One for all worlds: making it takes longer than a story."""


class MemoryReader:
    """A `LogReader` on lists of records."""

    def __init__(self, records: dict[tuple[str, int], list[LogRecord]]) -> None:
        self._records = records

    def ends(self, topics: Sequence[str]) -> Positions:
        return {
            place: records[-1].offset + 1 if records else 0
            for place, records in self._records.items()
            if place[0] in topics
        }

    def read(self, start: Positions, *, until: Positions | None = None) -> Iterator[list[LogRecord]]:
        assert until is not None, "tests read to an end"
        for place, first in start.items():
            batch = [r for r in self._records.get(place, []) if first <= r.offset < until.get(place, 0)]
            for index in range(0, len(batch), 7):  # odd batches, so that groups of facts are cut anywhere
                yield batch[index : index + 7]

    def at_time(self, topics: Sequence[str], timestamp_ms: int) -> Positions:
        ends = self.ends(topics)
        return {
            place: next((r.offset for r in self._records[place] if r.timestamp_ms >= timestamp_ms), end)
            for place, end in ends.items()
        }

    def close(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Decided:
    """How the engine is set when it decides."""

    window: int = WINDOW
    lease_ms: int = LEASE_MS


@dataclass
class MemorySource:
    """A `Source` on lists of records."""

    records: dict[tuple[str, int], list[LogRecord]]
    same_codec: Codec

    def reader(self) -> MemoryReader:
        return MemoryReader(self.records)

    def codec(self) -> Codec:
        return self.same_codec


class Closed:
    """No tree is over before the test begins; the shard keeps those that end."""

    def get(self, root_id: str) -> ClosedTree | None:
        return None


@dataclass
class World:
    """One partition with users, arms, and a clock that stands still until it is moved.

    Offsets skip one after each input, as they do where a transaction ends.

    Attributes:
        records: Everything written, by topic and partition.
        story: Everything written, in order.
        committed: The processor's positions.
        held: Attempts that arms were told of and have not ended.
        counted: What the processor counted for circuit breakers and `deliver_counted` has not appended yet.
    """

    decided: Decided = field(default_factory=Decided)
    partition: int = 0
    now_ms: int = START_MS

    def __post_init__(self) -> None:
        self.codec = CODEC
        self.records: dict[tuple[str, int], list[LogRecord]] = {
            (topic, 0 if topic in (ARMS, DEAD_LETTERS, MEMORY) else self.partition): [] for topic in TOPICS
        }
        self.committed: Positions = {(topic, self.partition): 0 for topic in INPUTS}
        self.story: list[LogRecord] = []
        self.held: list[AttemptAssignment] = []
        self.counted: list[tuple[bytes, bytes | None]] = []
        self._ends: dict[tuple[str, int], int] = {}
        self._registry = RegistryTable(self.codec, lambda _: None, self._refuse)
        self.restart()

    @property
    def source(self) -> MemorySource:
        return MemorySource(self.records, self.codec)

    def restart(self) -> None:
        """Forget the shard and fold the facts, as after a crash; the inputs are processed already."""
        self.processor = TaskProcessor(
            self.partition,
            self.codec,
            self._produce,
            Closed(),
            window=self.decided.window,
            lease_ms=self.decided.lease_ms,
        )
        for record in self.records[TASKS, self.partition]:
            recorded = self.codec.decode(record.value)
            self.processor.shard.refold(recorded.fact, recorded.link, recorded.hash)
        self.processor.shard.resume()

    def arm(self, event: ArmEvent) -> None:
        """An arm speaks to the registry; waiting tasks are looked at again."""
        name = getattr(event, "arm_id", None) or event.capability.arm_id  # type: ignore[union-attr]
        if self.arm_bytes(name.encode(), self.codec.encode(event)) and self.processor.shard.waiting:
            self.send(TimerFired(TimerKind.REGISTRY, "", "", self.now_ms))  # type: ignore[arg-type]

    def arm_bytes(self, key: bytes | None, value: bytes | None) -> bool:
        """Append anything to the registry; True when an arm changed."""
        return self._registry.apply([self._append(ARMS, 0, key, value)])

    def deliver_counted(self) -> None:
        """Append what was counted for circuit breakers to the registry, as the broker does at once."""
        for key, value in self.counted:
            if self.arm_bytes(key, value) and self.processor.shard.waiting:
                self.send(TimerFired(TimerKind.REGISTRY, "", "", self.now_ms))  # type: ignore[arg-type]
        self.counted.clear()

    def send(self, command: Input, *, wait_ms: int = 10) -> None:
        """Append an input and process it."""
        topic = _TOPIC_OF[type(command).schema_name.split(".")[1]]
        self.send_bytes(topic, command.root_task_id.encode(), self.codec.encode(command), wait_ms=wait_ms)

    def send_bytes(self, topic: str, key: bytes | None, value: bytes | None, *, wait_ms: int = 10) -> None:
        """Append anything to an input topic and process it."""
        self.now_ms += wait_ms
        record = self._append(topic, self.partition, key, value)
        self.processor.process(record, list, self._registry.registry)
        self.processor.shard.touched.clear()
        self.committed[topic, self.partition] = record.offset + 1
        self._ends = {place: end + 1 for place, end in self._ends.items()}

    def pass_time(self, ms: int) -> None:
        """Let time pass; timers that come due on the way are processed when they do."""
        until_ms = self.now_ms + ms
        while (due_ms := self.processor.shard.next_due_ms()) is not None and due_ms <= until_ms:
            self.now_ms = max(self.now_ms, due_ms)
            for timer in list(self.processor.shard.due(self.now_ms)):
                self.send(timer, wait_ms=0)
        self.now_ms = until_ms

    def next_attempt(self) -> AttemptAssignment:
        """What an arm was told first and has not answered yet."""
        return self.held.pop(0)

    def facts(self) -> list[RecordedFact]:
        """All facts, in order."""
        return [self.codec.decode(record.value) for record in self.records[TASKS, self.partition]]

    def _produce(
        self,
        topic: str,
        key: bytes,
        value: bytes | None,
        partition: int,
        headers: dict[str, Any] | None,
    ) -> None:
        if topic.startswith(ASSIGNMENTS):
            told: ArmCommand = self.codec.decode(value)
            if isinstance(told, AttemptAssignment):
                self.held.append(told)
            else:
                self.held = [a for a in self.held if a.attempt_id != told.attempt_id]
        elif topic == ARMS:
            self.counted.append((key, value))
        else:
            self._append(topic, max(0, partition), key, value)

    def _append(self, topic: str, partition: int, key: bytes | None, value: bytes | None) -> LogRecord:
        place = topic, partition
        offset = self._ends.get(place, 0)
        self._ends[place] = offset + 1
        record = LogRecord(topic, partition, offset, self.now_ms, key, value)
        self.records[place].append(record)
        self.story.append(record)
        return record

    def _refuse(self, record: LogRecord, error: Exception) -> None:
        self.processor.refuse(record, [], error)  # type: ignore[arg-type]
