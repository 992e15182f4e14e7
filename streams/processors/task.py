"""The task processor of one partition: decodes inputs, drives the shard, encodes what comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from octolog.domain.arm import ArmCallCounted
from octolog.domain.assignment import ArmCommand, AttemptAssignment
from octolog.domain.chain import Link
from octolog.domain.errors import ContractError, InvalidContract, UndecodableRecord
from octolog.domain.facts import Fact
from octolog.domain.ids import TaskId
from octolog.domain.memory import MemoryRecorded
from octolog.domain.registry import Registry
from octolog.domain.security import NO_SECURITY
from octolog.domain.shard import ClosedTrees, Input, OpenTree, Shard
from octolog.domain.upkeep import SnapshotCompleted, TimerFired
from octolog.ports import LogRecord
from schemas.catalog import TOPIC_RECORDS
from schemas.codec import Codec
from schemas.json_schema import fault_in
from streams.dead_letters import dead_letter
from streams.headers import event_headers
from streams.snapshots import program_key, program_snapshot, snapshot, snapshot_key
from streams.token_issuer import TokenIssuer
from streams.topics import ARMS, ASSIGNMENTS, DEAD_LETTERS, INPUTS, MEMORY, SNAPSHOTS, TASKS, TIMERS

Produce = Callable[[str, bytes, bytes | None, int, "dict[str, str | bytes] | None"], None]
"""Topic, key, value, partition (-1: by key), headers: adds a record to the open transaction."""

MAX_INPUT_BYTES: Final = 12 * 1024 * 1024
"""A longer input is refused: the facts that repeat its words must fit into a record. The topics' own bound is for
compressed batches (`deploy/topics.yaml`), and words compress well."""

_INPUT_TYPES: Final = {topic: frozenset(TOPIC_RECORDS[topic]) for topic in INPUTS}


class TaskProcessor:
    """One partition of the task processor.

    Args:
        partition: Which.
        codec: Encodes and decodes.
        produce: Adds a record to the open transaction.
        closed: Trees that are over.
        window: Attempts one arm may hold from this partition.
        lease_ms: How long an arm may stay silent.
        issuer: Signs capability tokens; None: assignments carry none.
    """

    def __init__(
        self,
        partition: int,
        codec: Codec,
        produce: Produce,
        closed: ClosedTrees,
        *,
        window: int,
        lease_ms: int,
        issuer: TokenIssuer | None = None,
    ) -> None:
        self.partition = partition
        self.shard = Shard(
            self._record,
            self._tell,
            closed,
            window=window,
            lease_ms=lease_ms,
            count=self._count,
            fault_in=fault_in,
            remember=self._remember,
        )
        self.facts = 0
        self.snapshotted: dict[TaskId, set[bytes]] = {}
        self._codec, self._produce = codec, produce
        self._source = f"octolog://tasks/{partition}"
        self._at_ms = 0
        self._issuer, self._security = issuer, NO_SECURITY

    def process(
        self, record: LogRecord, headers: Callable[[], list[tuple[str, Any]]], registry: Registry
    ) -> None:
        """Decide one input; what cannot be used becomes a dead letter, and nothing else changes."""
        self._at_ms, self._security = record.timestamp_ms, registry.security
        try:
            command = self._command(record)
            self.shard.react(record.topic, record.offset, record.timestamp_ms, command, registry)
        except (UndecodableRecord, InvalidContract) as error:
            self.refuse(record, headers(), error)

    def fire(self, timer: TimerFired) -> None:
        """Write a timer that is due, as an input of this partition."""
        self._produce(TIMERS, timer.root_task_id.encode(), self._codec.encode(timer), self.partition, None)

    def refuse(self, record: LogRecord, headers: list[tuple[str, Any]], error: ContractError) -> None:
        """Write a dead letter: the untouched bytes and why."""
        letter = dead_letter(
            record, headers, str(error), error=type(error).__name__, consumer="task-processor"
        )
        self._produce(DEAD_LETTERS, letter.key or b"", self._codec.encode(letter), -1, None)

    def write_snapshots(self, facts_offset: int) -> None:
        """Write the state of every tree that changed since the last time, and that all of it is there."""
        shard = self.shard
        for root_id in shard.touched:
            entry = shard.trees.get(root_id)
            before = self.snapshotted.pop(root_id, set())
            after = set() if entry is None else self._snapshot_tree(entry, before)
            for key in sorted(before - after):
                self._snapshot(key, None)
            if after:
                self.snapshotted[root_id] = after
        shard.touched.clear()
        done = SnapshotCompleted(self.partition, facts_offset, shard.position, len(shard.trees))
        self._produce(
            SNAPSHOTS, f"partition/{self.partition}".encode(), self._codec.encode(done), self.partition, None
        )

    def _snapshot_tree(self, entry: OpenTree, before: set[bytes]) -> set[bytes]:
        """Write a tree and those of its programs that have no record yet; returns the keys of all its records."""
        records, keys = snapshot(entry), set[bytes]()
        for program_id in entry.tree.programs:
            first = program_key(entry.tree.root_id, program_id)
            if first in before:  # a program never changes
                keys |= {key for key in before if key == first or key.startswith(first + b"#")}
            else:
                records += program_snapshot(entry, program_id)
        for record in records:
            self._snapshot(snapshot_key(record), self._codec.encode(record))
            keys.add(snapshot_key(record))
        return keys

    def _snapshot(self, key: bytes, value: bytes | None) -> None:
        self._produce(SNAPSHOTS, key, value, self.partition, None)

    def _command(self, record: LogRecord) -> Input:
        size_bytes = len(record.value or b"")
        if size_bytes > MAX_INPUT_BYTES:
            raise UndecodableRecord(f"{size_bytes} bytes; an input has at most {MAX_INPUT_BYTES}")
        command: Input = self._codec.decode(record.value)
        if type(command) not in _INPUT_TYPES[record.topic]:
            raise UndecodableRecord(f"a {type(command).__name__} does not belong in {record.topic}")
        if (record.key or b"") != command.root_task_id.encode():
            raise UndecodableRecord(f"the key is not the root task id {command.root_task_id[:80]!r}")
        return command

    def _record(self, fact: Fact, link: Link) -> bytes:
        value, digest = self._codec.encode_fact(fact, link)
        root_id = link.root_task_id
        headers = event_headers(f"{root_id}/{link.seq}", fact.schema_name, self._source, fact.at_ms, root_id)
        self._produce(TASKS, root_id.encode(), value, self.partition, headers)
        self.facts += 1
        return digest

    def _count(self, call: ArmCallCounted) -> None:
        call = replace(call, partition=self.partition)
        event_id = f"{call.attempt_id}/counted"
        headers = event_headers(event_id, call.schema_name, self._source, call.at_ms, call.root_task_id)
        self._produce(ARMS, call.arm_id.encode(), self._codec.encode(call), 0, headers)

    def _remember(self, recorded: MemoryRecorded) -> None:
        memory = recorded.memory
        headers = event_headers(
            memory.memory_id, recorded.schema_name, self._source, memory.timestamp_ms, recorded.root_task_id
        )
        self._produce(MEMORY, memory.memory_id.encode(), self._codec.encode(recorded), -1, headers)

    def _tell(self, command: ArmCommand) -> None:
        if self._issuer is not None and isinstance(command, AttemptAssignment) and command.policy is not None:
            command = self._issuer.stamped(command, self._security)
        kind = type(command).schema_name
        event_id = f"{command.attempt_id}/{kind.rsplit('.', 1)[1]}"
        headers = event_headers(event_id, kind, self._source, self._at_ms, command.root_task_id)
        topic = ASSIGNMENTS + command.arm_id
        self._produce(topic, command.attempt_id.encode(), self._codec.encode(command), -1, headers)
