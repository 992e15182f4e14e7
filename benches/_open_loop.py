"""Tasks that come at a steady rate, whatever the system does; when each fact became readable.

A task's time counts from when it was due, so that a stall is charged to every task it delays.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from benches._cluster import Cluster, Facts
from benches._work import contract, schema_prefix
from octolog.domain import facts as f
from streams.kafka.publisher import KafkaPublisher
from streams.topics import CONTRACTS

_DRAIN_S: Final = 20.0


@dataclass(slots=True)
class Times:
    """Moments of one run, monotonic seconds by task id.

    Attributes:
        due: When the contract was to be submitted.
        first: When the first of its facts was readable.
        done: When the fact that ends it was.
        late_s: By how much the feeder itself ran behind at most.
    """

    due: dict[str, float] = field(default_factory=dict[str, float])
    first: dict[str, float] = field(default_factory=dict[str, float])
    done: dict[str, float] = field(default_factory=dict[str, float])
    late_s: float = 0.0

    def ms(self, start: dict[str, float], end: dict[str, float], *, skip: int = 0) -> list[float]:
        """Milliseconds between two moments of every task but the first `skip`, which warm up."""
        return [(end[task] - start[task]) * 1_000 for task in list(self.due)[skip:]]


def open_loop(
    cluster: Cluster,
    facts: Facts,
    *,
    prefix: str,
    tasks: int,
    rate_per_s: float,
    steps: int,
    answered: bool = True,
) -> Times:
    """Submit tasks at a rate and follow them to their end, or to their first fact where no arm answers.

    Raises:
        RuntimeError: Not all ended in time.
    """
    times = Times()
    feeder = threading.Thread(
        target=_feed, args=(cluster, times, prefix, tasks, rate_per_s, steps), daemon=True
    )
    feeder.start()
    completed = schema_prefix(cluster, f.TaskCompleted)
    ends: Counter[str] = Counter()
    deadline_s = time.monotonic() + tasks / rate_per_s + _DRAIN_S
    reached = times.done if answered else times.first
    while len(reached) < tasks and time.monotonic() < deadline_s:
        messages = facts.poll(0.05)
        now_s = time.monotonic()
        for message in messages:
            key = message.key().decode()
            times.first.setdefault(key, now_s)
            if message.value()[:5] == completed:
                ends[key] += 1
                if ends[key] == steps + 1:
                    times.done[key] = now_s
    feeder.join()
    if len(reached) < tasks:
        raise RuntimeError(f"{len(reached)} of {tasks} tasks ended within {_DRAIN_S:.0f} s of the last")
    return times


def _feed(cluster: Cluster, times: Times, prefix: str, tasks: int, rate_per_s: float, steps: int) -> None:
    publisher = KafkaPublisher(cluster.kafka)
    encoded = [
        (task_id, cluster.codec.encode(contract(task_id, steps, "noop")))
        for task_id in (f"{prefix}-{number}" for number in range(tasks))
    ]
    start_s = time.monotonic() + 0.05
    for number, (task_id, value) in enumerate(encoded):
        due_s = start_s + number / rate_per_s
        time.sleep(max(0.0, due_s - time.monotonic()))
        times.due[task_id] = due_s
        publisher.publish(CONTRACTS, task_id, value)
        times.late_s = max(times.late_s, time.monotonic() - due_s)
    publisher.close()
