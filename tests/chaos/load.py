"""Steady load of many kinds of contracts, with what must become of each."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from octolog.app.connection import Connection
from octolog.domain.contract import SubmitTask
from octolog.domain.ids import ArmId, TaskId
from octolog.domain.memory import (
    EntityType,
    EpisodicMemory,
    MemoryForgotten,
    MemoryRecorded,
    SemanticMemory,
)
from octolog.domain.values import Limits, RetryPolicy
from octolog.ports import LogRecord
from octolog.testing import cancel, step, submit
from streams.topics import CONTRACTS, EPISODES, MEMORY

NOOP = ("noop",)
PATIENT = RetryPolicy(max_attempts=50, base_ms=100, cap_ms=1_000)
"""Arms are killed on purpose, and each death costs what they hold an attempt: three would not always do."""


@dataclass(slots=True)
class Sent:
    """What was asked for.

    Attributes:
        roots: Kind of every contract that is in the log, by root task id.
        cancelled: Roots that were also asked to stop.
        clashing: Roots whose id was sent again with another content.
        repeated: Roots that were sent again as they were.
        failed: What could not be written to the log.
    """

    roots: dict[str, str] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    clashing: set[str] = field(default_factory=set)
    repeated: set[str] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)

    def and_also(self, other: Sent) -> Sent:
        """What either was asked for; no root is in both."""
        return Sent(
            self.roots | other.roots,
            self.cancelled | other.cancelled,
            self.clashing | other.clashing,
            self.repeated | other.repeated,
            self.failed + other.failed,
        )


def atomic(root: str) -> SubmitTask:
    return submit(root, required_capabilities=NOOP, retry=PATIENT)


def chain(root: str) -> SubmitTask:
    steps = (
        step("first", required_capabilities=NOOP),
        step("second", "first", required_capabilities=NOOP),
        step("third", "second", required_capabilities=NOOP),
    )
    return submit(root, steps=steps, retry=PATIENT)


def parallel(root: str) -> SubmitTask:
    steps = [step(f"part-{n}", required_capabilities=NOOP) for n in range(3)]
    return submit(
        root, steps=(*steps, step("join", "part-0", "part-2", required_capabilities=NOOP)), retry=PATIENT
    )


def budgeted(root: str) -> SubmitTask:
    """Its steps share limits, so that some must wait until others settle."""
    limits = Limits(max_tokens=1_000, max_time_ms=3_600_000, max_cost_micros=50_000, max_llm_calls=4)
    steps = tuple(step(f"part-{n}", required_capabilities=NOOP) for n in range(3))
    return submit(root, steps=steps, budget=limits, retry=PATIENT)


KINDS = {"atomic": atomic, "chain": chain, "parallel": parallel, "budgeted": budgeted}
_WEIGHTS = (5, 2, 2, 1)
_A_MEMORY = 3


class Load(threading.Thread):
    """Submits trees at a steady rate until told to stop.

    Args:
        connection: Which log; the thread makes a publisher of its own.
        rng: Decides what is sent.
        trees_per_s: New trees a second; repeats and cancels come on top.
        prefix: Of the ids of its trees.
    """

    def __init__(
        self, connection: Connection, rng: random.Random, trees_per_s: float, prefix: str = ""
    ) -> None:
        super().__init__(name="load", daemon=True)
        self.sent = Sent()
        self._prefix = prefix
        self._rng, self._gap_s = rng, 1 / trees_per_s
        self._publisher, self._codec = connection.publisher(linger_ms=2), connection.codec()
        self._over = threading.Event()
        self._recent: deque[SubmitTask] = deque(maxlen=200)

    def run(self) -> None:
        began_s, number = time.monotonic(), 0
        while not self._over.is_set():
            self._one(number)
            number += 1
            self._over.wait(max(0.0, began_s + number * self._gap_s - time.monotonic()))

    def finish(self) -> Sent:
        """Stop, and return what is in the log for sure."""
        self._over.set()
        self.join(30)
        self._publisher.flush(120)
        return self.sent

    def _one(self, number: int) -> None:
        kind = self._rng.choices(list(KINDS), _WEIGHTS)[0]
        command = KINDS[kind](f"{self._prefix}{kind}-{number}")
        self._send(command, kind)
        self._recent.append(command)
        if number % _A_MEMORY == 0:
            self._remember(number)
        luck = self._rng.random()
        if luck < 0.05:
            self._repeat(self._rng.choice(self._recent))
        elif luck < 0.08:
            self._clash(self._rng.choice(self._recent))
        elif luck < 0.12:
            self._cancel(self._rng.choice(self._recent))

    def _remember(self, number: int) -> None:
        """A memory that takes the place of another, now and then of itself, and an episode of one hour."""
        memory_id, arm = f"memory-{number % 7}", ArmId("noop")
        memory = SemanticMemory(memory_id, EntityType.FACT, f"incident {number // 2} ended", arm, number, 0.9)
        self._append(MEMORY, memory_id, MemoryRecorded(TaskId("t"), TaskId("t"), memory))
        if number % 5 == 0:
            self._append(MEMORY, memory_id, MemoryForgotten(memory_id, "no longer true", "chaos"))
        episode = EpisodicMemory(f"episode-{number}", arm, TaskId("t"), ("saw",), ("did",), ("was",))
        self._append(EPISODES, arm, episode)

    def _append(self, topic: str, key: str, record: Any) -> None:
        def done(outcome: LogRecord | Exception) -> None:
            if isinstance(outcome, Exception):
                self.sent.failed.append(f"{topic} {key}: {outcome}")

        self._publisher.publish(topic, key, self._codec.encode(record), done=done)

    def _repeat(self, earlier: SubmitTask) -> None:
        self.sent.repeated.add(earlier.root_task_id)
        self._send(earlier)

    def _clash(self, earlier: SubmitTask) -> None:
        self.sent.clashing.add(earlier.root_task_id)
        self._send(submit(earlier.root_task_id, goal="something else", required_capabilities=NOOP))

    def _cancel(self, earlier: SubmitTask) -> None:
        self.sent.cancelled.add(earlier.root_task_id)
        self._send(cancel(earlier.root_task_id))

    def _send(self, command: Any, kind: str | None = None) -> None:
        root = str(command.root_task_id)

        def done(outcome: LogRecord | Exception) -> None:
            if isinstance(outcome, Exception):
                self.sent.failed.append(f"{root}: {outcome}")
            elif kind is not None:
                self.sent.roots[root] = kind

        self._publisher.publish(CONTRACTS, root, self._codec.encode(command), done=done)
