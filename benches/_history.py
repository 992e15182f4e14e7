"""A log as octolog itself writes it: the real core drives trees of every kind, the real codec encodes.

For benches and tests of what reads the log. Everything derives from the seed: the same history every time.
"""

from __future__ import annotations

import random
from collections import defaultdict
from hashlib import sha256
from typing import Final

from octolog.domain.arm import ArmCapability, ArmEvent, ArmHealthChanged, ArmHeartbeat, ArmRegistered, Health
from octolog.domain.assignment import ArmCommand, AttemptAssignment
from octolog.domain.chain import Link
from octolog.domain.contract import AmendBudget, CancelTask, Step, SubmitTask, TaskContract
from octolog.domain.facts import Fact
from octolog.domain.ids import ArmId, TaskId
from octolog.domain.operators import Operator, OperatorInput, Role
from octolog.domain.registry import Registry, evolve_registry
from octolog.domain.reports import (
    AttemptStarted,
    ExecutionResult,
    ModelCallIntended,
    ResourceUsed,
    ResultStatus,
)
from octolog.domain.shard import ClosedTree, Input, Shard
from octolog.domain.tasksystem import AtomicTaskSubtype, TaskType
from octolog.domain.upkeep import DeadLetter
from octolog.domain.values import Amounts, Limits, Provenance, TaskError, TaskErrorType
from octolog.ports import LogRecord, Positions
from schemas.codec import Codec
from schemas.registry import SchemaIds

START_MS: Final = 1_700_000_000_000
_ARMS: Final = (
    ("planner", 3, ("planning",)),
    ("retriever", 1, ("retrieval",)),
    ("coder", 4, ("coding",)),
    ("judge", 2, ("judging",)),
)
_STEPS: Final = (
    Step("gather", "Gather what is known of the incident", required_capabilities=("retrieval",)),
    Step("write", "Write the summary", ("gather",), required_capabilities=("coding",)),
    Step("judge", "Judge it against the criteria", ("write",), required_capabilities=("judging",)),
)
_PROGRAM: Final = (
    Operator(
        "", -1, Role.ROOT, TaskType.MAP, inputs=(OperatorInput("mail", "at 9"), OperatorInput("log", "at 8"))
    ),
    Operator(
        "inner",
        0,
        Role.INNER,
        TaskType.ATOMIC,
        AtomicTaskSubtype.STANDARD,
        instructions="When did it begin, by {{current_input}}?",
        required_capabilities=("retrieval",),
    ),
)
_A_PROGRAM: Final = 10


class _Nothing:
    def get(self, root_id: TaskId) -> ClosedTree | None:
        """No tree was closed before this history."""


class History:
    """A growing log.

    Attributes:
        records: Every record, in the order they were appended over all topics.
    """

    def __init__(self, ids: SchemaIds, *, partitions: int = 2, seed: int = 1) -> None:
        self.codec = Codec(ids)
        self.records: list[LogRecord] = []
        self._random = random.Random(seed)
        self._now_ms = START_MS
        self._ends: defaultdict[tuple[str, int], int] = defaultdict(int)
        self._told: list[ArmCommand] = []
        self._registry = Registry()
        self._partitions = partitions
        self._shards = [self._shard(partition) for partition in range(partitions)]
        self._trees = 0
        for arm_id, tier, capabilities in _ARMS:
            capability = ArmCapability(ArmId(arm_id), arm_id.title(), "", capabilities, tier)
            self.arm_event(ArmId(arm_id), ArmRegistered(capability, "operator"))

    def grow(self, records: int) -> list[LogRecord]:
        """Run trees until the log has that many records, and return all of them."""
        while len(self.records) < records:
            self.tree()
        return self.records

    def after(self, records: list[LogRecord]) -> Positions:
        """The positions of a reader that has read `records`."""
        return {(record.topic, record.partition): record.offset + 1 for record in records}

    def append(self, topic: str, partition: int, key: str, value: bytes | None) -> LogRecord:
        """Append a value as it is."""
        self._now_ms += self._random.randrange(3)
        offset = self._ends[topic, partition]
        self._ends[topic, partition] = offset + 1
        record = LogRecord(topic, partition, offset, self._now_ms, key.encode(), value)
        self.records.append(record)
        return record

    def arm_event(self, arm_id: ArmId, event: ArmEvent) -> None:
        """Tell the registry."""
        record = self.append("octolog.arms", 0, arm_id, self.codec.encode(event))
        self._registry = evolve_registry(self._registry, event, record.offset)

    def dead_letter(self) -> None:
        """A letter as any consumer would write it."""
        letter = DeadLetter(
            "octolog.results",
            0,
            7,
            self._now_ms,
            "processor",
            "2 bytes",
            "UndecodableRecord",
            b"k",
            b"\0\1",
            "[]",
        )
        self.append("octolog.dead-letters", 0, "k", self.codec.encode(letter))

    def tree(self) -> TaskId:
        """Run one task tree to its end; every tenth is of the same kind."""
        number = self._trees
        self._trees += 1
        root = TaskId(f"task-{number:06d}")
        budget = Limits(max_tokens=50_000, max_cost_micros=900_000) if number % 2 else Limits()
        contract = TaskContract(
            root,
            f"Summarise incident {number}, with causes and next actions",
            acceptance_criteria=("names a cause", "names an owner"),
            budget=budget if number % 10 != 9 else Limits(max_tokens=-1),
            required_capabilities=("planning",),
            steps=_STEPS if number % 10 in (1, 2, 3, 4, 5) else (),
            operators=_PROGRAM if number % 20 == _A_PROGRAM else (),
        )
        self._command(root, SubmitTask(root, contract, "alice"))
        if number % 10 == 8:
            self._told.clear()
            self._command(root, CancelTask(root, "no longer needed", "alice"))
        if number % 10 == 5:
            self._command(root, AmendBudget(root, Limits(max_tokens=80_000), "bob", "more detail wanted"))
        self._work(number, root)
        if number % 50 == 0:
            self.arm_event(ArmId("judge"), ArmHeartbeat(ArmId("judge"), f"judge-{number % 3}", 0, 0))
        if number % 500 == 499:
            before, now = (
                (Health.HEALTHY, Health.DEGRADED)
                if number % 1000 == 499
                else (Health.DEGRADED, Health.HEALTHY)
            )
            self.arm_event(
                ArmId("coder"), ArmHealthChanged(ArmId("coder"), now, before, "answered in 3500 ms")
            )
        return root

    def _work(self, number: int, root: TaskId) -> None:
        tries = 0
        while True:
            while self._told:
                told = self._told.pop(0)
                if isinstance(told, AttemptAssignment):
                    self._attempt(number, told, tries)
                    tries += 1
            shard = self._shards[self._partition(root)]
            due_ms = shard.next_due_ms()
            if root not in shard.trees or due_ms is None:
                return
            self._now_ms = max(self._now_ms, due_ms)
            for timer in list(shard.due(self._now_ms)):
                self._input("octolog.timers", timer.root_task_id, timer)

    def _attempt(self, number: int, told: AttemptAssignment, tries: int) -> None:
        root, task, attempt, arm = told.root_task_id, told.task_id, told.attempt_id, told.arm_id
        tokens = self._random.randrange(200, 2_000)
        self._input("octolog.results", root, AttemptStarted(root, task, attempt, arm, f"{arm}-0"))
        model = f"model-{number % 3}"
        at_most = Amounts(4_000, 60_000, 40_000, 1)
        self._input("octolog.resources", root, ModelCallIntended(root, task, attempt, arm, 1, model, at_most))
        used = Amounts(tokens, 350, tokens * 3, 1)
        self._input(
            "octolog.resources", root, ResourceUsed(root, task, attempt, arm, 1, model, used, tokens, 0, "v1")
        )
        self._input("octolog.results", root, self._result(number, told, tries, tokens, model))

    def _result(
        self, number: int, told: AttemptAssignment, tries: int, tokens: int, model: str
    ) -> ExecutionResult:
        failed = (number % 10 == 6 and tries == 0) or number % 10 == 7
        output = "" if failed else '{"summary":"' + f"cause {self._random.random()} " * 12 + '"}'
        proof = Provenance(
            told.arm_id,
            self._now_ms,
            sha256(told.goal.encode()).hexdigest(),
            (f"https://incidents.example/{number}", "docs/runbook.md"),
            model,
            ("schema",) if told.arm_id == "judge" else (),
            sha256(told.context_json.encode()).hexdigest(),
            sha256(output.encode()).hexdigest(),
        )
        error = (
            TaskError(TaskErrorType.TASK_FAILURE, "no answer", reason="execution_timeout") if failed else None
        )
        return ExecutionResult(
            root_task_id=told.root_task_id,
            task_id=told.task_id,
            attempt_id=told.attempt_id,
            arm_id=told.arm_id,
            status=ResultStatus.FAILURE if failed else ResultStatus.SUCCESS,
            output=output,
            confidence=0.0 if failed else 0.9,
            execution_time_ms=self._random.randrange(50, 4_000),
            tokens_used=tokens,
            provenance=proof,
            error="no answer" if failed else None,
            error_code="EXECUTION_TIMEOUT" if failed else None,
            retryable=number % 10 == 6,
            task_error=error,
            plan=_STEPS if number % 10 == 0 and told.task_id == told.root_task_id else (),
        )

    def _command(self, root: TaskId, command: Input) -> None:
        self._input("octolog.contracts", root, command)

    def _input(self, topic: str, root: TaskId, command: Input) -> None:
        partition = self._partition(root)
        record = self.append(topic, partition, root, self.codec.encode(command))
        self._shards[partition].react(topic, record.offset, record.timestamp_ms, command, self._registry)

    def _partition(self, root: TaskId) -> int:
        return int(root.rsplit("-", 1)[1]) % self._partitions

    def _shard(self, partition: int) -> Shard:
        def record(fact: Fact, link: Link) -> bytes:
            value, digest = self.codec.encode_fact(fact, link)
            self.append("octolog.tasks", partition, link.root_task_id, value)
            return digest

        return Shard(record, self._told.append, _Nothing(), window=10**6)
