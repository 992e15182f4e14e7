"""An attempt that the host holds, and the results it may have to give again."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final

from arms.arm import Fail
from arms.handler import Handler
from arms.host.lease import Lease
from arms.host.places import Places
from octolog.domain.assignment import AttemptAssignment
from octolog.domain.reports import ExecutionResult
from octolog.domain.values import CapabilityShown

__all__ = ["Held", "Kept", "Phase", "Place"]

Place = tuple[Places, int]


class Phase(Enum):
    """Where an attempt is in the host."""

    QUEUED = auto()
    RUNNING = auto()
    SENDING = auto()
    ENDED = auto()


@dataclass(slots=True, eq=False)
class Held:
    """An attempt in the host.

    Attributes:
        assignment: What came from the log.
        places: Where it lay there; more than one when it was read again.
        taken_s: When it was taken, monotonic seconds.
        trace: W3C traceparent, if it came with one.
        phase: Queued, running, its result on the way, or ended: its result is in the log, or none is wanted.
        started_s: When its function began, monotonic seconds.
        timed_out: Its time was over before its function ended.
        refused: Why it was stopped, when its permission was revoked.
        handler: Counts its model calls, once it runs.
        task: Runs it.
        timer: Ends it when its time is over.
        note: The arm's last word on its progress.
        signs: Heartbeats sent.
        thread: Where a sync function runs.
        capability: What was seen of its capability token; None: it needs none.
        lease: Until when it is surely held here.
        stalls: Standstills of the host after which the group said that the attempt is still its own.
        asking: Held by who finds out whether it still is.
    """

    assignment: AttemptAssignment
    places: list[Place]
    taken_s: float
    trace: str | None = None
    phase: Phase = Phase.QUEUED
    started_s: float = 0.0
    timed_out: bool = False
    refused: Fail | None = None
    handler: Handler | None = None
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None
    note: str = ""
    signs: int = 0
    thread: Future[Any] | None = None
    capability: CapabilityShown | None = None
    lease: Lease = field(init=False)
    stalls: int = 0
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.lease = Lease(self.assignment.assigned_ms, self.assignment.lease_ms)

    @property
    def is_over(self) -> bool:
        """Whether nothing more may be done for it here."""
        return self.phase is Phase.ENDED

    @property
    def may_have_run(self) -> bool:
        """Whether another host, or this one before it died, may have begun the attempt."""
        return any(self.assignment.assigned_ms <= places.since_ms for places, _ in self.places)

    def acknowledge(self) -> None:
        """Let the offset pass: the result is in the log, or none is needed."""
        for places, offset in self.places:
            places.finish(offset)
        self.places.clear()

    def halt(self, reason: str) -> None:
        """Stop the function if it runs: an async one is cancelled, a thread can only be refused its model calls."""
        if self.handler is not None:
            self.handler.stop(reason)
        if self.timer is not None:
            self.timer.cancel()
        if self.task is not None:
            self.task.cancel()


class Kept:
    """The last results, so that an assignment that is read again is answered and not run again."""

    MAX_BYTES: Final = 64 * 1024 * 1024
    MAX_RESULTS: Final = 20_000

    def __init__(self) -> None:
        self._results: OrderedDict[str, ExecutionResult] = OrderedDict()
        self._size_bytes = 0

    def put(self, result: ExecutionResult) -> None:
        """Keep a result; the oldest go when there are too many."""
        if result.attempt_id in self._results:
            return
        self._results[result.attempt_id] = result
        self._size_bytes += len(result.output)
        while len(self._results) > self.MAX_RESULTS or self._size_bytes > self.MAX_BYTES:
            _, gone = self._results.popitem(last=False)
            self._size_bytes -= len(gone.output)

    def get(self, attempt_id: str) -> ExecutionResult | None:
        """The result of an attempt, if it is still kept."""
        return self._results.get(attempt_id)
