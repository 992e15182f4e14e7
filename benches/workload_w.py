"""Workload W: tasks of three steps, plan, execute, judge, each recorded before the next begins; the arm does nothing.

Broker, processor and arms' host are processes of their own, as in a node, with the product's own settings. Claims: at
least 1,500 steps/s; at 20 tasks/s, submit to completed p50 at most 60 ms and p99 at most 150 ms. Measured with the
broker's default flushing (a record is safe once the operating system has it) and with `flush.messages=1` on every
topic, the broker's own included (once it is on disk). The peers run with fsync: their figures compare to the latter.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benches._children import Processor, noop_arm, processor
from benches._cluster import Cluster, Facts, cluster, cpu_s
from benches._open_loop import open_loop
from benches._peers import run_peer
from benches._run import bound, options, report, say, spread
from benches._work import CHAIN, audit, contract, schema_prefix
from octolog.app.topics import assignment_topic
from octolog.domain import facts as f
from streams.kafka.publisher import KafkaPublisher
from streams.topics import CONTRACTS

OPEN_TASKS: Final = 1_000
"""Tasks in progress at any moment of the closed loop."""

RATE_PER_S: Final = 20.0
WARM_UP: Final = 500
LATENCY_WARM_UP: Final = 20
TASKS: Final = {"quick": 2_000, "full": 15_000}
LATENCY_TASKS: Final = {"quick": 120, "full": 1_200}
PEER_TASKS: Final = {"quick": 200, "full": 3_000}
PEER_LATENCY_TASKS: Final = {"quick": 60, "full": 600}
PEERS: Final = {
    "dbos_postgresql": ("dbos", "--store", "postgres"),
    "dbos_sqlite": ("dbos", "--store", "sqlite"),
    "langgraph_sqlite": ("langgraph",),
}
FLUSHED: Final = {"flush.messages": "1"}


def main() -> None:
    """Measure, check, print."""
    given = options(__doc__ or "")
    size = "full" if given.full else "quick"
    found: dict[str, Any] = {
        "octolog": _octolog(size, None),
        "octolog_flush_messages_1": _octolog(size, FLUSHED),
    }
    peers = {} if given.no_peers else {name: _peer(size, *how) for name, how in PEERS.items()}
    report(
        {
            "bench": "workload_w",
            "size": size,
            "steps_per_task": len(CHAIN),
            **found,
            "peers_with_fsync": peers,
            "like_for_like": "peers_with_fsync against octolog_flush_messages_1: a step is on disk before the next",
        }
    )


def _octolog(size: str, flushing: dict[str, str] | None) -> dict[str, Any]:
    what = "flush.messages=1" if flushing else "default flushing"
    with cluster(topic_config=flushing) as where:
        where.create([assignment_topic("noop")])  # before the host makes it, so that it flushes alike
        with noop_arm(where) as arms, processor(where) as child:
            facts = Facts(where)
            _closed_loop(where, facts, "warm", WARM_UP)
            say(f"octolog, {what}: {TASKS[size]} tasks, {OPEN_TASKS} open")
            throughput = _throughput(where, facts, child, arms.pid, TASKS[size])
            say(
                f"octolog, {what}: {throughput['steps_per_s']['value']} steps/s; then {RATE_PER_S:.0f} tasks/s"
            )
            latency = _latency(where, facts, LATENCY_TASKS[size])
            facts.close()
        expected = [("warm", WARM_UP), ("task", TASKS[size]), ("calm", LATENCY_TASKS[size])]
        checked = audit(where, {f"{name}-{n}": len(CHAIN) for name, count in expected for n in range(count)})
    return {
        "durability": "on disk" if flushing else "operating system",
        "throughput": throughput,
        "latency": latency,
        "checked": {"trees_completed": checked.trees, "facts": checked.facts, "dead_letters": 0},
    }


def _throughput(where: Cluster, facts: Facts, child: Processor, arms: int, tasks: int) -> dict[str, Any]:
    pids = {"processor": child.pid, "arms": arms, "broker": where.pid, "bench": os.getpid()}
    before = child.latest()
    used = {name: cpu_s(pid) for name, pid in pids.items() if name != "bench"} | {
        "bench": time.process_time()
    }
    seconds = _closed_loop(where, facts, "task", tasks)
    after = {name: cpu_s(pid) for name, pid in pids.items() if name != "bench"} | {
        "bench": time.process_time()
    }
    time.sleep(0.2)  # the processor says how it is when its inputs ran dry
    last = child.latest()
    transactions = max(1, last["commits"] - before["commits"])
    return {
        "tasks": tasks,
        "transactions": transactions,
        "facts_per_transaction": round((last["facts"] - before["facts"]) / transactions, 1),
        "open_tasks": OPEN_TASKS,
        "seconds": round(seconds, 3),
        "steps_per_s": bound(tasks * len(CHAIN) / seconds, at_least=1_500),
        "cpu_s": {name: round(after[name] - used[name], 2) for name in pids},
    }


def _closed_loop(where: Cluster, facts: Facts, prefix: str, tasks: int) -> float:
    """Keep `OPEN_TASKS` tasks in progress until all are done; returns the seconds from first submit to last end."""
    encoded = [
        (f"{prefix}-{n}", where.codec.encode(contract(f"{prefix}-{n}", 3, "noop"))) for n in range(tasks)
    ]
    publisher = KafkaPublisher(where.kafka)
    completed = schema_prefix(where, f.TaskCompleted)
    waiting = iter(encoded)
    ends: Counter[bytes] = Counter()
    start_s = heard_s = now_s = time.monotonic()
    for _ in range(OPEN_TASKS):
        _submit(publisher, waiting)
    done = 0
    while done < tasks:
        messages = facts.poll(0.1)
        now_s = time.monotonic()
        heard_s = now_s if messages else heard_s
        if now_s - heard_s > 30:
            raise RuntimeError(f"{done} of {tasks} tasks ended, then nothing for 30 s")
        for message in messages:
            if message.value()[:5] == completed:
                key = message.key()
                ends[key] += 1
                if ends[key] == len(CHAIN) + 1:
                    done += 1
                    _submit(publisher, waiting)
    publisher.close()
    return now_s - start_s


def _submit(publisher: KafkaPublisher, waiting: Iterator[tuple[str, bytes]]) -> None:
    following = next(waiting, None)
    if following is not None:
        publisher.publish(CONTRACTS, *following)


def _latency(where: Cluster, facts: Facts, tasks: int) -> dict[str, Any]:
    times = open_loop(where, facts, prefix="calm", tasks=tasks, rate_per_s=RATE_PER_S, steps=len(CHAIN))
    found = spread(times.ms(times.due, times.done, skip=LATENCY_WARM_UP))
    return {
        "tasks_per_s": RATE_PER_S,
        "submit_to_completed": found,
        "p50": bound(found["p50_ms"], at_most=60),
        "p99": bound(found["p99_ms"], at_most=150),
        "feeder_late_ms": round(times.late_s * 1_000, 1),
    }


def _peer(size: str, name: str, *how: str) -> dict[str, Any]:
    say(f"{name} {' '.join(how)}")
    return {
        "throughput": run_peer(name, "w.py", "throughput", "--tasks", str(PEER_TASKS[size]), *how),
        "latency": run_peer(
            name, "w.py", "latency", "--rate-per-s", str(RATE_PER_S),
            "--tasks", str(PEER_LATENCY_TASKS[size]), *how,
        ),
    }  # fmt: skip


if __name__ == "__main__":
    main()
