"""The same contracts and results through octolog's processor and through the peers' engines, phase by phase.

An engine is held (SIGSTOP) while a phase's inputs are written, and timed from its release to its last fact being
readable to somebody who sees only what is committed. Inputs carry timestamps of their own, equal for every engine, so
that equal decisions are equal bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Producer

from benches._children import Processor, processor
from benches._cluster import PARTITIONS, Cluster, Facts, cpu_s
from benches._peers import environment_of
from benches._run import say
from benches._work import CHAIN, contract, facts_of, result
from streams.kafka.admin import TopicSpec
from streams.topics import CONTRACTS, RESULTS, TASKS

ARM: Final = "echo"
WINDOW: Final = 1_000_000
LEASE_MS: Final = 86_400_000
COMMIT_INTERVAL_S: Final = 0.2
_ROOT: Final = Path(__file__).resolve().parents[1]
_QUIET_S: Final = 30.0
_START_S: Final = 60.0

Input = tuple[str, str, bytes]
"""Topic (octolog's name), key, value."""


@dataclass(frozen=True, slots=True)
class Phase:
    """Inputs of one kind: the contracts, or the results of one step.

    Attributes:
        name: Which.
        inputs: In order.
        facts: Facts that follow.
    """

    name: str
    inputs: Sequence[Input]
    facts: int


@dataclass(slots=True)
class Measured:
    """One engine's run.

    Attributes:
        phases: Seconds and facts by phase of the last round.
        seconds: Of the last round.
        facts: Of the last round.
        cpu_s: Processor time the engine took for it.
        broker_cpu_s: Processor time the broker took for it.
        rounds: Facts per second of every round but the warm-up.
        written: Digests of all its facts by partition, in order.
        last: Hash of every tree's last fact.
        about: What else is known.
    """

    phases: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
    seconds: float = 0.0
    facts: int = 0
    cpu_s: float = 0.0
    broker_cpu_s: float = 0.0
    rounds: list[float] = field(default_factory=list[float])
    written: dict[int, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    last: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    about: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def facts_per_s(self) -> float:
        """Sustained over the last round."""
        return self.facts / self.seconds

    def figures(self) -> dict[str, Any]:
        """For the report."""
        return {
            "facts_per_s": round(self.facts_per_s),
            "facts": self.facts,
            "seconds": round(self.seconds, 3),
            "phases": self.phases,
            "engine_cpu_s": round(self.cpu_s, 2),
            "broker_cpu_s": round(self.broker_cpu_s, 2),
            "engine_cpu_us_per_fact": round(self.cpu_s / self.facts * 1e6, 1),
            "facts_per_s_of_rounds": [round(rate) for rate in self.rounds],
            **self.about,
        }


def phases(cluster: Cluster, number: int, trees: int) -> list[Phase]:
    """The phases of a round of trees, every other one of three steps, the rest of one."""
    encode = cluster.codec.encode
    steps = {f"task-{number}-{tree}": 3 if tree % 2 else 1 for tree in range(trees)}
    found = [
        Phase(
            "contracts",
            [(CONTRACTS, task, encode(contract(task, count, ARM))) for task, count in steps.items()],
            2 * trees,
        )
    ]
    for at, step in enumerate(CHAIN):
        reached = [task for task, count in steps.items() if count > at]
        before = sum(map(facts_of, steps.values())) if at + 1 == len(CHAIN) else 0
        inputs = [(RESULTS, task, encode(result(task, step, ARM))) for task in reached]
        # An end and a completion; then the next step's assignment, or the tree's completion.
        found.append(Phase(step, inputs, 3 * len(reached)))
        assert not before or before == sum(phase.facts for phase in found)
    return found


class Run:
    """One engine on its own topics.

    Args:
        cluster: Where.
        name: Prefix of its topics; empty: octolog's own names.
    """

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.measured = Measured()
        self._cluster, self._name, self._number = cluster, name, 0
        self._facts = Facts(cluster, self._topic(TASKS))
        self._producer = Producer(cluster.kafka.producer(linger_ms=5))

    def warm_up(self, rounds: list[Phase]) -> None:
        """A round that is not measured; waits for the engine to start."""
        for phase in rounds:
            self._produce(phase.inputs)
            self._read(phase.facts, _START_S)

    def measure(self, rounds: list[Phase], pid: int, busy: Callable[[], float]) -> None:
        """A round, each phase from the engine's release to its last fact; replaces the figures of the one before."""
        found = self.measured
        found.phases, found.seconds, found.facts, found.cpu_s, found.broker_cpu_s = {}, 0.0, 0, 0.0, 0.0
        for phase in rounds:
            os.kill(pid, signal.SIGSTOP)
            self._produce(phase.inputs)
            used_s, broker_s = busy(), self._cluster.cpu_s()
            start_s = time.monotonic()
            os.kill(pid, signal.SIGCONT)
            seconds = self._read(phase.facts, _QUIET_S) - start_s
            found.cpu_s += busy() - used_s
            found.broker_cpu_s += self._cluster.cpu_s() - broker_s
            found.seconds += seconds
            found.facts += phase.facts
            rate = round(phase.facts / seconds)
            found.phases[phase.name] = {
                "facts": phase.facts, "seconds": round(seconds, 3), "facts_per_s": rate,
            }  # fmt: skip
        found.rounds.append(found.facts_per_s)
        say(
            f"{self._name or 'octolog'}: {found.facts} facts in {found.seconds:.2f} s, {found.facts_per_s:.0f}/s"
        )

    def close(self) -> None:
        """Release the connections."""
        self._facts.close()

    def _topic(self, name: str) -> str:
        return f"{self._name}.{name}" if self._name else name

    def _produce(self, inputs: Sequence[Input]) -> None:
        for topic, key, value in inputs:
            self._number += 1
            at_ms = _epoch_ms + self._number
            self._producer.produce(self._topic(topic), value, key.encode(), timestamp=at_ms)
            self._producer.poll(0)
        assert self._producer.flush(30) == 0

    def _read(self, count: int, quiet_s: float) -> float:
        """Read so many facts; returns when the last of them was there, monotonic seconds."""
        now_s = time.monotonic()
        deadline_s = now_s + quiet_s
        while count > 0:
            messages = self._facts.poll(0.1)
            now_s = time.monotonic()
            for message in messages:
                value = message.value()
                self.measured.written[message.partition()].append(hashlib.sha256(value).digest())
                self.measured.last[message.key()] = value[-32:]
            count -= len(messages)
            if messages:
                deadline_s = now_s + quiet_s
            if now_s > deadline_s:
                raise RuntimeError(
                    f"{self._name or 'octolog'}: {count} facts still missing after {quiet_s:.0f} s"
                )
        assert count == 0, f"{self._name or 'octolog'} wrote {-count} facts too many"
        return now_s


_epoch_ms: Final = int(time.time() * 1_000) - 60_000
"""First timestamp of the inputs, for every engine; a minute ago, so that none lies ahead of the clock."""


def octolog(cluster: Cluster, rounds: Sequence[list[Phase]]) -> Measured:
    """Run octolog's processor."""
    run = Run(cluster, "")
    with processor(cluster, window=WINDOW, lease_ms=LEASE_MS) as child:
        run.warm_up(rounds[0])
        before = child.wait_for("idle")
        for phases_ in rounds[1:]:
            before = _settled(child)
            run.measure(phases_, child.pid, child.cpu_s)
        after = _settled(child)
    transactions = after["commits"] - before["commits"]
    run.measured.about = {
        "transactions": transactions,
        "facts_per_transaction": round(run.measured.facts / max(1, transactions), 1),
        "window": WINDOW,
        "lease_ms": LEASE_MS,
        "writes": "facts with CloudEvents headers, assignments, snapshots",
    }
    run.close()
    return run.measured


def _settled(child: Processor) -> dict[str, Any]:
    """The processor's last word once nothing comes any more."""
    while True:
        try:
            child.wait_for("idle", 0.7)
        except RuntimeError:
            if child.process.poll() is not None:
                raise
            return child.last


def peer(cluster: Cluster, name: str, rounds: Sequence[list[Phase]]) -> Measured:
    """Run a peer's engine with octolog's decider."""
    from octolog.app.topics import topic_plan

    plan = {spec.name: spec for spec in topic_plan(PARTITIONS).topics}
    config = {**plan[CONTRACTS].config, "message.timestamp.type": "CreateTime"}
    names = {topic: f"{name}.{topic}" for topic in (CONTRACTS, RESULTS, TASKS)}
    cluster.create([TopicSpec(topic, PARTITIONS, 1, config) for topic in names.values()])
    run = Run(cluster, name)
    with _engine(cluster, name, names) as process:
        run.warm_up(rounds[0])
        for phases_ in rounds[1:]:
            run.measure(phases_, process.pid, lambda: cpu_s(process.pid))
    run.measured.about = {
        "commit_interval_s": COMMIT_INTERVAL_S,
        "writes": "facts without headers, and its own state's changelog; no assignments",
    }
    run.close()
    return run.measured


@contextmanager
def _engine(cluster: Cluster, name: str, topics: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    context = cluster.folder / "context.json"
    paths = os.pathsep.join([str(_ROOT / "benches/peers/shared"), str(_ROOT)])
    environ = {**os.environ, "PYTHONPATH": paths}
    environ.pop("VIRTUAL_ENV", None)
    command = [
        str(environment_of(name)), str(_ROOT / "benches/peers" / name / "engine.py"),
        "--bootstrap-servers", cluster.bootstrap_servers, "--group", name,
        "--contracts", topics[CONTRACTS], "--results", topics[RESULTS], "--facts", topics[TASKS],
        "--state-dir", str(cluster.folder / name), "--partitions", str(PARTITIONS),
        "--commit-interval-s", str(COMMIT_INTERVAL_S), "--decider", "octolog", "--context", str(context),
    ]  # fmt: skip
    process = subprocess.Popen(command, env=environ, stdout=sys.stderr, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGCONT)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def write_context(cluster: Cluster, arm: bytes) -> None:
    """What the peers' decider is told: schema ids, the registry's only entry, window and lease as octolog's."""
    from schemas import catalog

    ids = {name: cluster.ids.register(name, catalog.schema_json(name)) for name in catalog.TOP_LEVEL}
    known = {"ids": ids, "arm": arm.hex(), "window": WINDOW, "lease_ms": LEASE_MS}
    (cluster.folder / "context.json").write_text(json.dumps(known))


def same_decisions(ours: Measured, theirs: Measured) -> dict[str, Any]:
    """Compare every fact, byte for byte, in each partition's order, as far as the peer came.

    Raises:
        AssertionError: The peer decided something else, so its speed is no comparison.
    """
    for number, found in theirs.written.items():
        assert ours.written[number][: len(found)] == found, f"partition {number}: the facts differ"
    ended = [key for key, digest in theirs.last.items() if ours.last[key] == digest]
    assert len(ended) == len(theirs.last), "a tree's last hash differs"
    facts = sum(map(len, theirs.written.values()))
    return {"facts_equal_byte_for_byte": facts, "trees_with_the_same_last_hash": len(ended)}
