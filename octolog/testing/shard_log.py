"""A partition in memory: contracts, reports and timers in, facts and assignments out, on the production code.

What Kafka does for the engine is done here by lists, so that a test sees every record in order. The hash chain
is real, over another encoding: the text of a fact instead of its Avro bytes.
"""

from __future__ import annotations

import copy
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

from octolog.domain.arm import ArmCallCounted
from octolog.domain.assignment import ArmCommand, AttemptAssignment
from octolog.domain.chain import GENESIS, Link, fact_hash
from octolog.domain.defaults import LEASE_MS, WINDOW
from octolog.domain.errors import InvalidContract, LogCorrupted
from octolog.domain.facts import Fact
from octolog.domain.ids import TaskId
from octolog.domain.memory import MemoryRecorded
from octolog.domain.registry import Registry
from octolog.domain.reports import ContextRecalled, HandlerMetrics, ModelCallIntended, ResourceUsed
from octolog.domain.shard import ClosedTree, Input, OpenTree, Shard
from octolog.domain.upkeep import TimerFired, TimerKind
from octolog.testing.arms import ArmsTopic
from octolog.testing.specification import START_MS
from schemas.json_schema import fault_in

CONTRACTS: Final = "octolog.contracts"
RESULTS: Final = "octolog.results"
RESOURCES: Final = "octolog.resources"
TIMERS: Final = "octolog.timers"

_MAX_TIMERS: Final = 100_000
"""More than this in one run means timers that never come to an end."""


class Logged(NamedTuple):
    """A fact as it was recorded.

    Attributes:
        fact: What happened.
        link: Its place in the chain.
        hash: Its hash.
    """

    fact: Fact
    link: Link
    hash: bytes


class Received(NamedTuple):
    """An input as it was consumed.

    Attributes:
        topic: Its topic.
        offset: Its offset there.
        at_ms: Its timestamp, milliseconds since the epoch.
        command: What it says.
        registry_offset: Registry events before this offset were known.
    """

    topic: str
    offset: int
    at_ms: int
    command: Input
    registry_offset: int


class ClosedIndex:
    """The index of closed trees, in memory.

    Attributes:
        trees: By root task id.
    """

    def __init__(self) -> None:
        self.trees: dict[TaskId, ClosedTree] = {}

    def get(self, root_id: TaskId) -> ClosedTree | None:
        """The tree, or None when it never was or is open."""
        return self.trees.get(root_id)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a partition after some of its facts.

    Attributes:
        facts: How many facts are folded in.
        trees: Open trees.
        closed: Trees that are over.
    """

    facts: int
    trees: tuple[OpenTree, ...]
    closed: dict[TaskId, ClosedTree]


class ShardLog:
    """One partition with everything around it.

    Args:
        arms: The registry's topic; shared with whoever changes it.
        window: Attempts one arm may hold.
        lease_ms: How long an arm may stay silent, milliseconds.

    Attributes:
        log: Facts, in order.
        received: Inputs, in order.
        told: What arms were told, in order.
        counted: What was counted for circuit breakers and `deliver_counted` has not told the registry yet.
        remembered: Memories of accepted results, in order.
        now_ms: The latest time seen, milliseconds since the epoch.
        shard: The code under test.
    """

    def __init__(
        self,
        arms: ArmsTopic,
        *,
        window: int = WINDOW,
        lease_ms: int = LEASE_MS,
        now_ms: int = START_MS,
    ) -> None:
        self.arms, self._window, self._lease_ms, self.now_ms = arms, window, lease_ms, now_ms
        self.log: list[Logged] = []
        self.received: list[Received] = []
        self.told: list[ArmCommand] = []
        self._offsets: dict[str, int] = dict.fromkeys((CONTRACTS, RESULTS, RESOURCES, TIMERS), 0)
        self.index = ClosedIndex()
        self.counted: list[ArmCallCounted] = []
        self.remembered: list[MemoryRecorded] = []
        self.shard = Shard(
            self._record,
            self.told.append,
            self.index,
            window=window,
            lease_ms=lease_ms,
            count=self.counted.append,
            fault_in=fault_in,
            remember=self.remembered.append,
        )

    # In

    def send(self, command: Input, *, at_ms: int | None = None) -> tuple[Fact, ...]:
        """Append an input to its topic, consume it, and return the facts that followed.

        Raises:
            InvalidContract: For a report that would become a dead letter.
        """
        self.now_ms = max(self.now_ms, self.now_ms if at_ms is None else at_ms)
        topic = _topic(command)
        offset = self._offsets[topic]
        self._offsets[topic] += 1
        at = self.now_ms if at_ms is None else at_ms
        return self.consume(Received(topic, offset, at, command, self.arms.now.offset), self.arms.now)

    def consume(self, record: Received, registry: Registry) -> tuple[Fact, ...]:
        """Consume an input that lies in its topic already; see `send`."""
        before = len(self.log)
        self.received.append(record)
        self.shard.react(record.topic, record.offset, record.at_ms, record.command, registry)
        self.index.trees.update(self.shard.just_closed)
        self.shard.just_closed.clear()
        self.shard.touched.clear()
        return tuple(logged.fact for logged in self.log[before:])

    def registry_changed(self) -> tuple[Fact, ...]:
        """Let the partition look at the registry again, as the engine does after each change."""
        return self.send(TimerFired(TimerKind.REGISTRY, TaskId(""), "", self.now_ms))

    def deliver_counted(self) -> tuple[Fact, ...]:
        """Tell the registry what was counted for circuit breakers, as the engine does at once."""
        before = self.arms.now.arms
        for call in self.counted:
            self.arms.append(call)
        self.counted.clear()
        return () if self.arms.now.arms is before else self.registry_changed()

    def pass_time(self, duration_ms: int) -> tuple[Fact, ...]:
        """Let time pass, firing every timer at its moment; returns the facts that followed."""
        return self._fire_until(self.now_ms + duration_ms)

    def run_timers(self) -> tuple[Fact, ...]:
        """Let time pass until no timer is set; returns the facts that followed."""
        return self._fire_until(None)

    # Out

    @property
    def facts(self) -> tuple[Fact, ...]:
        """Every fact, in order."""
        return tuple(logged.fact for logged in self.log)

    def facts_of(self, root_id: str) -> tuple[Fact, ...]:
        """Every fact of one tree, in order."""
        return tuple(logged.fact for logged in self.log if logged.link.root_task_id == root_id)

    def take_assignments(self) -> tuple[AttemptAssignment, ...]:
        """What arms were asked to do since the last call, in order; revocations are left in `told`."""
        taken = tuple(item for item in self.told if isinstance(item, AttemptAssignment))
        self.told[:] = [item for item in self.told if not isinstance(item, AttemptAssignment)]
        return taken

    def verify(self) -> None:
        """Check numbers, links and hashes of every fact.

        Raises:
            LogCorrupted: Names the first fact that does not fit.
        """
        heads: dict[TaskId, tuple[int, bytes]] = {}
        for position, (fact, link, digest) in enumerate(self.log):
            seq, head = heads.get(link.root_task_id, (0, GENESIS))
            if (link.position, link.seq, link.prev_hash) != (position, seq, head):
                raise LogCorrupted(f"fact {position}: {link} does not follow {seq - 1} of its tree")
            if digest != _hash(fact, link):
                raise LogCorrupted(f"fact {position}: its hash is not that of {fact}")
            heads[link.root_task_id] = seq + 1, digest

    # Again

    def replayed(self, inputs: int | None = None) -> ShardLog:
        """A new partition that decided the first `inputs` inputs again (all by default).

        Like `octolog replay --verify`, it knows the registry as the facts of each input name it, or, for an
        input without facts, as the input before did.
        """
        again = self._fresh()
        again.continue_with(self, 0, inputs)
        return again

    def continue_with(self, other: ShardLog, start: int, end: int | None = None) -> None:
        """Consume another partition's inputs from `start` to `end`, with what each knew of the registry."""
        known = {(link.cause_topic, link.cause_offset): link.registry_offset for _, link, _ in other.log}
        offset = 0
        for number, record in enumerate(other.received[:end]):
            offset = known.get((record.topic, record.offset), offset)
            if number >= start:
                with suppress(InvalidContract):  # a dead letter then, and so again
                    self.consume(record, self.arms.by_offset[offset])

    def snapshot(self) -> Snapshot:
        """The state now, as a restart would find it stored."""
        trees = tuple(copy.deepcopy(tree) for tree in self.shard.trees.values())
        return Snapshot(len(self.log), trees, dict(self.index.trees))

    def restored(self, facts: int, snapshot: Snapshot | None = None, *, tail_from: int = 0) -> ShardLog:
        """A new partition restored from the first `facts` facts, as after a restart.

        Args:
            facts: How many facts were committed before the restart.
            snapshot: State to begin from; None: from the facts alone.
            tail_from: The first fact read back; with a snapshot, at most the number of facts it holds.
        """
        again = self._fresh()
        again.log = list(self.log[:facts])
        if snapshot is not None:
            again.index.trees.update(snapshot.closed)
            again.shard.position = snapshot.facts
            for tree in copy.deepcopy(snapshot.trees):
                again.shard.load(tree)
        for fact, link, digest in self.log[tail_from:facts]:
            again.shard.refold(fact, link, digest)
        again.index.trees.update(again.shard.just_closed)
        again.shard.just_closed.clear()
        again.shard.resume()
        return again

    def _fresh(self) -> ShardLog:
        return ShardLog(self.arms, window=self._window, lease_ms=self._lease_ms, now_ms=self.now_ms)

    def _record(self, fact: Fact, link: Link) -> bytes:
        digest = _hash(fact, link)
        self.log.append(Logged(fact, link, digest))
        return digest

    def _fire_until(self, end_ms: int | None) -> tuple[Fact, ...]:
        facts: list[Fact] = []
        for _ in range(_MAX_TIMERS):
            due_ms = self.shard.next_due_ms()
            if due_ms is None or (end_ms is not None and due_ms > end_ms):
                self.now_ms = self.now_ms if end_ms is None else end_ms
                return tuple(facts)
            self.now_ms = max(self.now_ms, due_ms)
            for timer in list(self.shard.due(self.now_ms)):
                facts += self.send(timer)
        raise AssertionError(f"{_MAX_TIMERS} timers fired and more are set: a tree never ends")


def _hash(fact: Fact, link: Link) -> bytes:
    return fact_hash(fact.schema_name.encode(), repr((fact, link)).encode())


def _topic(command: Input) -> str:
    if isinstance(command, TimerFired):
        return TIMERS
    if isinstance(command, ModelCallIntended | ResourceUsed | HandlerMetrics | ContextRecalled):
        return RESOURCES
    return RESULTS if hasattr(command, "attempt_id") else CONTRACTS
