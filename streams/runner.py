"""The one loop: consume, decide, produce, commit; exactly once.

Facts, assignments, timers, snapshots, dead letters and the positions of the inputs are committed in one Kafka
transaction, or not at all. Whatever goes wrong ends alike: the shards are dropped and restored from the log,
and the inputs are read again from their committed positions.

Batches adapt by themselves: while one transaction commits, inputs arrive, and the next takes all of them. A
lone record commits at once.

One module because every way out of the loop (fenced, revoked, restored) changes the same few things.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import structlog

from octolog.domain.defaults import LEASE_MS, WINDOW
from octolog.domain.errors import Fenced, Unavailable, UndecodableRecord
from octolog.domain.ids import ArmId, TaskId
from octolog.domain.upkeep import TimerFired, TimerKind
from octolog.ports import LogRecord
from schemas.codec import Codec
from streams.closed_index import ClosedIndex
from streams.kafka.admin import KafkaAdmin
from streams.kafka.config import KafkaConfig
from streams.kafka.inputs import InputConsumer
from streams.kafka.pipeline import TransactionPipeline, fence_owner
from streams.kafka.reader import KafkaLogReader, record_of
from streams.kafka.slots import becomes_free
from streams.kafka.tail import Tail
from streams.kafka.transaction import ProducerFenced
from streams.partition import Partition
from streams.patience import Patience
from streams.processors.task import TaskProcessor
from streams.registry_table import RegistryTable
from streams.restore import Restoring, keep_out_of_collections, restore
from streams.token_issuer import TokenIssuer
from streams.topics import ARMS, INPUTS, RESOURCES, RESULTS, TASKS

GROUP: Final = "octolog-task-processor"
_IDLE_S: Final = 0.05
_MAX_BATCH: Final = 4_000
_SNAPSHOT_FACTS: Final = 10_000
_STANDSTILL_S: Final = 1.0
"""A commit that takes so long was held up by a broker that arms could not reach either."""
_RESTORE_PAUSE_S: Final = 0.2
_GROUP_S: Final = 2.0
"""Within two heartbeats the group has told a member that another took its slot."""
_RESTORE_TRIES: Final = 25
_RESTORE_S: Final = 60.0
"""So many times and so long a restore is tried: a broker that stood still looks for its own coordinators first."""

_Headers: TypeAlias = dict[str, str | bytes] | None
_Refused: TypeAlias = list[tuple[LogRecord, UndecodableRecord]]

log = structlog.get_logger("octolog.processor")


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """One worker of the task processor.

    Attributes:
        slot: Its name, stable over restarts: `0`, `1`, ...
        state_dir: Folder for the indexes of closed trees; differs by cluster.
        window: Attempts one arm may hold from one partition.
        lease_ms: How long an arm may stay silent.
        max_batch: Inputs of one transaction at most.
        snapshot_facts: Facts of a partition after which its open trees are written down.
    """

    slot: str
    state_dir: Path
    window: int = WINDOW
    lease_ms: int = LEASE_MS
    max_batch: int = _MAX_BATCH
    snapshot_facts: int = _SNAPSHOT_FACTS


class TaskWorker:
    """Owns some partitions of the task processor and runs them until told to stop.

    Args:
        kafka: Where Kafka is.
        codec: Encodes and decodes.
        settings: This worker.
        on_new_arm: Called when an arm first appears in the registry, so that its topic can be made.
        issuer: Signs capability tokens; None: assignments carry none.
    """

    def __init__(
        self,
        kafka: KafkaConfig,
        codec: Codec,
        settings: WorkerSettings,
        on_new_arm: Callable[[ArmId], None],
        issuer: TokenIssuer | None = None,
    ) -> None:
        self._issuer = issuer
        self._kafka, self._codec, self._settings = kafka, codec, settings
        self._slot = f"{GROUP}-{settings.slot}"
        # Made first: it ends what a dead predecessor left open, so that the log can be read to its end.
        self._producer = TransactionPipeline(kafka, self._slot)
        self._refused: list[tuple[LogRecord, UndecodableRecord]] = []
        self._told = 0
        self._registry = RegistryTable(codec, on_new_arm, self._refuse_registry)
        self._arms = Tail(kafka, ARMS)
        self._registry.apply(self._arms.catch_up())
        self._registry_news = False
        self._arms_news: list[LogRecord] = []
        self._reader = KafkaLogReader(kafka)
        self._admin = KafkaAdmin(kafka)
        self._partitions: dict[int, Partition] = {}
        self._mine: set[int] = set()
        self._clock_ahead_ms = 0.0
        self.commits = 0
        self._inputs = self._join()

    @property
    def facts(self) -> int:
        """Facts committed or about to be, by this worker."""
        return sum(p.processor.facts for p in self._partitions.values())

    @property
    def owned(self) -> list[int]:
        """Partitions owned now."""
        return sorted(self._partitions)

    def run(self, stop: Callable[[], bool]) -> None:
        """Process inputs until `stop()`; returns quietly when another process takes the slot over.

        Raises:
            BrokerUnavailable: When Kafka stays away beyond every bound.
            LogCorrupted: When facts cannot be read back.
        """
        try:
            while not stop():
                try:
                    self.step()
                except Fenced as error:
                    self._join_again(error, stop)
        except Fenced as error:
            log.warning("stepping down", reason=str(error))
        finally:
            self.close()

    def step(self) -> int:
        """One round: what has come, what is due, what must be written down. Returns the number of inputs."""
        try:
            return self._step()
        except ProducerFenced as error:
            log.warning("restoring from the log", reason=str(error))
            self._hear_the_group(_GROUP_S)
            self._producer.renew()
            self._restore_all()
            return 0
        except Unavailable as error:
            log.warning("restoring from the log", reason=str(error))
            self._restore_all()
            return 0

    def close(self) -> None:
        """Leave the group and release everything."""
        self._drop(list(self._partitions))
        self._inputs.close()
        self._arms.close()
        self._reader.close()
        self._producer.close()

    def _step(self) -> int:
        if self._producer.ended:
            self._settle()
        messages = self._inputs.poll(self._wait_s(), self._settings.max_batch)
        self._follow_registry()
        if self._wait_s() == 0.0:
            self._settle()  # a broker that stands still must be noticed before anybody is given up
        due = self._due()
        snapshots = self._snapshots_due()
        refused = self._refused_here()
        if not (messages or due or snapshots or refused):
            return 0
        if snapshots:
            self._settle()  # the indexes end where the facts do
        for number in snapshots:
            self._partitions[number].write_index(self._facts_end(number))
        self._producer.begin()
        registry = self._registry.registry
        for message in messages:
            record = record_of(message)
            self._clock_ahead_ms = max(self._clock_ahead_ms - 1, record.timestamp_ms - time.time() * 1_000)
            partition = self._partitions[record.partition]
            if record.topic == RESULTS:
                partition.patience.results_to = record.offset + 1
            elif record.topic == RESOURCES:
                partition.patience.resources_to = record.offset + 1
            partition.processor.process(record, lambda m=message: m.headers() or [], registry)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        for number, timer in due:
            self._partitions[number].processor.fire(timer)
        for number in snapshots:
            self._partitions[number].snapshot()
        for record, error in refused:
            self._partitions[0].processor.refuse(record, [], error)
        self._commit(self._inputs.after(messages, self._slot), refused)
        return len(messages)

    def _commit(self, positions: list[Any], refused: _Refused) -> None:
        if refused:
            told = refused[-1][0].offset + 1
            positions.append(self._inputs.mark(ARMS, told, self._slot))
        began_s = time.monotonic()
        self._producer.prepare(positions, self._inputs.group_metadata())
        self._note(time.monotonic() - began_s)
        self._settle()
        self._producer.commit()
        self.commits += 1
        if refused:
            self._settle()
            self._told = refused[-1][0].offset + 1
            self._refused = self._refused_here()

    def _settle(self) -> None:
        """Wait until the last transaction is committed."""
        self._note(self._producer.settle())

    def _note(self, commit_s: float) -> None:
        if commit_s > _STANDSTILL_S:
            for partition in self._partitions.values():
                partition.patience.renew()

    def _wait_s(self) -> float:
        due = [ms for p in self._partitions.values() if (ms := p.processor.shard.next_due_ms()) is not None]
        if not due:
            return _IDLE_S
        return min(_IDLE_S, max(0.0, (min(due) - self._now_ms()) / 1_000))

    def _now_ms(self) -> int:
        """The broker's clock, as far as records have shown it to run ahead of this machine's."""
        return int(time.time() * 1_000 + max(0.0, self._clock_ahead_ms))

    def _due(self) -> list[tuple[int, TimerFired]]:
        now_ms = self._now_ms()
        fired = [
            (n, timer)
            for n, p in self._partitions.items()
            for timer in p.due(now_ms, partial(self._said_to, n))
        ]
        if self._registry_news:
            self._registry_news = False
            news = TimerFired(TimerKind.REGISTRY, TaskId(""), "", now_ms)
            fired += [(number, news) for number, p in self._partitions.items() if p.processor.shard.waiting]
        return fired

    def _said_to(self, number: int) -> tuple[int, int]:
        """Where a partition's results and resources end."""
        return self._reader.end(RESULTS, number), self._reader.end(RESOURCES, number)

    # Snapshots

    def _snapshots_due(self) -> list[int]:
        now_s, enough = time.monotonic(), self._settings.snapshot_facts
        return [number for number, p in self._partitions.items() if p.snapshot_due(now_s, enough)]

    def _facts_end(self, number: int) -> int:
        # The last transaction is settled, and only this worker writes here: the end is after its last fact.
        return self._reader.end(TASKS, number)

    # The registry, and its dead letters

    def _follow_registry(self) -> None:
        self._arms_news += self._arms.poll()
        if self._arms_news:
            self._registry_news |= self._registry.apply(self._arms_news)
            self._arms_news.clear()  # not before: when an arm's topic cannot be made, the same records come again

    def _refuse_registry(self, record: LogRecord, error: UndecodableRecord) -> None:
        self._refused.append((record, error))

    def _refused_here(self) -> _Refused:
        """Every worker reads the whole registry; the owner of partition 0 says, once, what is no part of it."""
        if 0 not in self._partitions:
            return []
        return [(record, error) for record, error in self._refused if record.offset >= self._told]

    # The slot

    def _join(self) -> InputConsumer:
        return InputConsumer(self._kafka, GROUP, self._slot, INPUTS, self._assigned, self._revoked)

    def _join_again(self, error: Fenced, stop: Callable[[], bool]) -> None:
        """Come back when it was no other process that took the slot.

        Raises:
            Fenced: When it was.
        """
        self._inputs.close()
        self._drop(list(self._partitions))
        self._mine.clear()
        if stop():
            return
        log.warning("asking whose slot this is", reason=str(error))
        if not becomes_free(self._admin, GROUP, self._slot, stop):
            raise error
        self._producer.renew()
        self._inputs = self._join()
        log.warning("joining again", reason="nobody runs this slot")

    # Partitions come and go

    def _assigned(self, numbers: list[int]) -> None:
        self._mine.update(numbers)
        self._settle()
        if numbers:
            self._fence_the_dead(numbers)
        self._restore(numbers)

    def _fence_the_dead(self, numbers: list[int]) -> None:
        """End transactions that former owners left open, so that facts can be read to their end at once.

        A former owner that lives has ended its transaction before it gave a partition up, and must not be
        fenced: only one that blocks a partition is dead. What a paused one tries later, its old generation in
        the group refuses.
        """
        ends = self._admin.high_watermarks(TASKS, numbers)
        blocked = [number for number in numbers if self._reader.end(TASKS, number) < ends[number]]
        for owner in self._inputs.former_owners(blocked) - {self._slot} if blocked else ():
            log.info("fencing a dead owner", owner=owner, partitions=blocked)
            fence_owner(self._kafka, owner)

    def _revoked(self, numbers: list[int]) -> None:
        self._mine.difference_update(numbers)
        self._drop(numbers)
        # Before the next owner reads them. If it was lost, that is no harm here: all partitions go at once.
        self._producer.abandon()

    def _restore(self, numbers: list[int]) -> None:
        started_s = time.monotonic()
        processors = {number: self._processor(number) for number in numbers}
        restoring = {number: Restoring(p.shard, index) for number, (p, index) in processors.items()}
        restore(restoring, self._reader, self._codec)
        read, used = self._inputs.positions(RESULTS, numbers), self._inputs.positions(RESOURCES, numbers)
        for number, (processor, index) in processors.items():
            done = restoring[number]
            processor.snapshotted = done.snapshotted
            patience = Patience(read[number], used[number], self._settings.lease_ms / 1_000)
            self._partitions[number] = Partition.restored(processor, index, done.facts, patience)
        facts = sum(done.facts for done in restoring.values())
        if 0 in numbers:
            self._told = self._inputs.marked(ARMS)
        # The registry may have changed while nobody had these partitions: whatever waits is looked at again.
        self._registry_news = True
        keep_out_of_collections()
        seconds = round(time.monotonic() - started_s, 3)
        log.info("restored", partitions=numbers, facts=facts, seconds=seconds)

    def _processor(self, number: int) -> tuple[TaskProcessor, ClosedIndex]:
        index = ClosedIndex(self._settings.state_dir / f"closed-{number}.sqlite")
        processor = TaskProcessor(
            number,
            self._codec,
            self._produce,
            index,
            window=self._settings.window,
            lease_ms=self._settings.lease_ms,
            issuer=self._issuer,
        )
        return processor, index

    def _restore_all(self) -> None:
        """After a lost transaction: forget everything, read it back, read the inputs again."""
        self._producer.abandon()
        until_s, tries = time.monotonic() + _RESTORE_S, 0
        while True:
            tries += 1
            self._drop(list(self._partitions))
            # All that is assigned, not only what is held: the last restore may have failed half way.
            numbers = sorted(self._mine)
            try:
                self._restore(numbers)
                self._inputs.rewind(numbers)
            except Unavailable:
                if tries >= _RESTORE_TRIES and time.monotonic() > until_s:
                    raise
                self._hear_the_group(_RESTORE_PAUSE_S)
            else:
                return

    def _hear_the_group(self, seconds: float) -> None:
        """The partitions may be another's by now, or the slot: only a poll tells. What it reads is read again.

        Raises:
            Fenced: When another process runs this slot.
        """
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            time.sleep(_IDLE_S)
            with suppress(Unavailable):
                self._inputs.poll(0, self._settings.max_batch)

    def _drop(self, numbers: list[int]) -> None:
        for number in numbers:
            partition = self._partitions.pop(number, None)
            if partition is not None:
                partition.index.close()

    def _produce(
        self, topic: str, key: bytes, value: bytes | None, partition: int, headers: _Headers
    ) -> None:
        self._producer.produce(topic, key, value, partition, headers)
