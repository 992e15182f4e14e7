"""Operator programs: a sequence of 1,000 steps, a map of 1,000, a reduce of 1,000 inputs, and 100 sequences at once.

Broker, processor and arms' host are processes of their own, with the product's own settings; the arm does nothing.
Claims: a map runs at least 1,000 steps/s; one sequence or reduce at least 40 steps/s, each step durable before the
next; 100 sequences at once at least 1,000 steps/s together. In memory, without Kafka: what deciding and folding one
fact costs, and what the evaluation keeps, in programs of 10 to 10,000 operators.
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benches._children import noop_arm, processor
from benches._cluster import Cluster, Facts, cluster
from benches._run import bound, options, report, say
from benches._work import audit, schema_prefix
from octolog.domain import facts as f
from octolog.domain.assignment import ArmCommand, AttemptAssignment
from octolog.domain.chain import GENESIS, Link
from octolog.domain.contract import SubmitTask, TaskContract
from octolog.domain.ids import ArmId, TaskId
from octolog.domain.operators import ATOMIC, FailurePolicy, Operator, OperatorInput, Program, Role
from octolog.domain.registry import Registry
from octolog.domain.reports import ExecutionResult, ResultStatus
from octolog.domain.shard import Shard
from octolog.domain.tasksystem import AtomicTaskSubtype, TaskType
from octolog.domain.values import Provenance
from octolog.testing import ArmsTopic, ClosedIndex, capability
from streams.kafka.publisher import KafkaPublisher
from streams.snapshots import snapshot
from streams.topics import CONTRACTS, RESULTS

STEPS: Final = 1_000
TREES: Final = {"quick": 100, "full": 100}
STEPS_OF_ONE: Final = {"quick": 300, "full": STEPS}
SIZES: Final = (10, 100, 1_000, 10_000)
_SILENCE_S: Final = 60.0
_OUTPUT: Final = '"' + "x" * 198 + '"'


def sequence(steps: int) -> Program:
    """Steps one after the other; each is told its number."""
    return _compound(TaskType.SEQUENTIAL, steps)


def fan(steps: int) -> Program:
    """As many independent steps."""
    return _compound(TaskType.MAP, steps)


def fold(steps: int) -> Program:
    """A reduce of half as many inputs: an inner task and a reduction for each."""
    inputs = steps // 2
    root = Operator("", -1, Role.ROOT, TaskType.REDUCE, initial_value="nothing")
    given = tuple(OperatorInput(f"input-{number}", f"text {number}") for number in range(inputs))
    inner = replace(ATOMIC, name="inner", parent=0, role=Role.INNER, instructions="read {{current_input}}")
    joined = "add {{current_result}} to {{accumulator}}"
    reduction = replace(ATOMIC, name="reduction", parent=0, role=Role.REDUCTION, instructions=joined)
    return (replace(root, inputs=given), inner, reduction)


def _compound(kind: TaskType, steps: int) -> Program:
    root = Operator("", -1, Role.ROOT, kind, on_failure=FailurePolicy.COLLECT)
    atomic = replace(ATOMIC, subtype=AtomicTaskSubtype.STANDARD, parent=0, role=Role.STEP)
    return (root, *(replace(atomic, name=f"s{n}", instructions=f"step {n}") for n in range(steps)))


def main() -> None:
    """Measure, check, print."""
    given = options(__doc__ or "")
    size = "full" if given.full else "quick"
    report(
        {
            "bench": "operators",
            "size": size,
            **_on_the_broker(size),
            "decide": [_decide_cost(kind, n) for kind in (sequence, fan, fold) for n in SIZES],
            "memory": [_memory(kind, n) for kind in (sequence, fan, fold) for n in SIZES],
        }
    )


def _on_the_broker(size: str) -> dict[str, Any]:
    one = STEPS_OF_ONE[size]
    runs = (
        ("map_of_1000", fan(STEPS), 1, STEPS, 1_000.0),
        ("one_sequence", sequence(one), 1, one, 40.0),
        ("one_reduce", fold(2 * one), 1, 2 * one, 40.0),
        ("sequences_at_once", sequence(one), TREES[size], one, 1_000.0),
    )
    found: dict[str, Any] = {}
    with cluster() as where, noop_arm(where), processor(where) as child:
        facts = Facts(where)
        _timed(where, facts, "warm", fan(200), 20)
        expected = {f"warm-{n}": 200 for n in range(20)}
        for name, program, trees, steps, at_least in runs:
            say(f"{name}: {trees} x {steps} steps")
            time.sleep(0.2)  # the processor says how it is when its inputs ran dry
            before = child.latest()["commits"]
            seconds = _timed(where, facts, name, program, trees)
            expected |= {f"{name}-{n}": steps for n in range(trees)}
            time.sleep(0.2)
            found[name] = {
                "trees": trees,
                "steps": trees * steps,
                "seconds": round(seconds, 2),
                "steps_per_s": bound(trees * steps / seconds, at_least=at_least),
                "transactions": child.latest()["commits"] - before,
            }
        facts.close()
        checked = audit(where, expected)
    return {**found, "checked": {"trees_completed": checked.trees, "facts": checked.facts, "dead_letters": 0}}


def _timed(where: Cluster, facts: Facts, prefix: str, program: Program, trees: int) -> float:
    """Submit trees and wait for the last end; returns the seconds between."""
    publisher = KafkaPublisher(where.kafka)
    encoded = [(f"{prefix}-{n}", where.codec.encode(_submit(f"{prefix}-{n}", program))) for n in range(trees)]
    completed = schema_prefix(where, f.TaskCompleted)
    start_s = heard_s = time.monotonic()
    for task_id, value in encoded:
        publisher.publish(CONTRACTS, task_id, value)
    left = {task_id.encode() for task_id, _ in encoded}
    while left:
        messages = facts.poll(0.1)
        now_s = time.monotonic()
        heard_s = now_s if messages else heard_s
        if now_s - heard_s > _SILENCE_S:
            raise RuntimeError(f"{len(left)} trees are open, and nothing came for {_SILENCE_S:.0f} s")
        for message in messages:
            if message.value()[:5] == completed and message.key() in left:
                fact = where.codec.decode(message.value()).fact
                if fact.task_id.encode() == message.key():
                    left.discard(message.key())
    publisher.close()
    return time.monotonic() - start_s


def _submit(task_id: str, program: Program) -> SubmitTask:
    contract = TaskContract(
        TaskId(task_id), "do it", operators=program, required_capabilities=("noop",), timeout_ms=300_000
    )
    return SubmitTask(TaskId(task_id), contract, "bench")


class _Memory:
    """A partition without a log: facts are counted, attempts are answered at once."""

    def __init__(self) -> None:
        self.registry: Registry = ArmsTopic(capability("noop", "noop")).now
        self.told: list[ArmCommand] = []
        self.facts = 0
        self.shard = Shard(
            self._record, self.told.append, ClosedIndex(), lease_ms=1_000_000, window=1_000_000
        )
        self._offset = 0

    def submit(self, program: Program) -> None:
        """Start a tree."""
        self._react(CONTRACTS, _submit("task", program))

    def answers(self) -> Iterator[None]:
        """Answer what was assigned, one attempt at a time, until nothing is."""
        at = 0
        while at < len(self.told):
            asked = self.told[at]
            at += 1
            if isinstance(asked, AttemptAssignment):
                self._react(RESULTS, _answer(asked))
                yield
            if at > 1_000:
                del self.told[:at]
                at = 0

    def _react(self, topic: str, command: SubmitTask | ExecutionResult) -> None:
        self._offset += 1
        self.shard.react(topic, self._offset, 1_000_000, command, self.registry)

    def _record(self, _fact: f.Fact, _link: Link) -> bytes:
        self.facts += 1
        return GENESIS


def _answer(asked: AttemptAssignment) -> ExecutionResult:
    return ExecutionResult(
        asked.root_task_id,
        asked.task_id,
        asked.attempt_id,
        ArmId("noop"),
        ResultStatus.SUCCESS,
        _OUTPUT,
        1.0,
        1,
        0,
        Provenance("noop", 1, "a" * 64),
    )


def _decide_cost(kind: Any, size: int) -> dict[str, Any]:
    """CPU time of one input and its facts, over a whole program; the best of three."""
    best_s, facts, inputs = 1e9, 0, 0
    for _ in range(3):
        memory = _Memory()
        memory.submit(kind(size))
        facts = memory.facts
        start_s = time.process_time()
        inputs = sum(1 for _ in memory.answers())
        best_s = min(best_s, time.process_time() - start_s)
        facts = memory.facts - facts
        assert not memory.shard.trees, "the program did not end"
    return {
        "program": kind.__name__,
        "tasks": size,
        "results": inputs,
        "us_per_result": round(best_s / inputs * 1e6, 1),
        "us_per_fact": round(best_s / facts * 1e6, 1),
    }


def _memory(kind: Any, size: int) -> dict[str, Any]:
    """What half a program leaves behind, beside the program itself and eight bytes for each attempt that ended."""
    memory = _Memory()
    memory.submit(kind(size))
    answers = memory.answers()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    half = size // 2
    for _ in range(half):
        next(answers)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    tree = memory.shard.trees[TaskId("task")].tree
    return {
        "program": kind.__name__,
        "tasks": size,
        "open_tasks": len(tree.nodes),
        "ended": half,
        "kib_more_than_at_the_start": round((after - before) / 1024, 1),
        "snapshot_kib": round(
            sum(len(r.state) for r in snapshot(memory.shard.trees[TaskId("task")])) / 1024, 1
        ),
    }


if __name__ == "__main__":
    main()
