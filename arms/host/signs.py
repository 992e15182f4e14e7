"""Signs of life: which attempts are announced, kept alive and ended, looked at in batches by one timer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from time import monotonic

from arms import topics
from arms.host.desk import Desk
from arms.host.held import Held, Phase
from arms.host.outbox import Outbox
from octolog.domain.reports import AttemptHeartbeat, AttemptStarted
from octolog.ports import LogRecord

__all__ = ["Signs"]


class Signs:
    """Announces attempts that last, renews the leases of all that are held, and ends those that take too long.

    Args:
        outbox: Where they go.
        instance_id: This process.
        grace_s: A run shorter than this is not announced, seconds.
        stall_s: A standstill as long as this may have cost this host its place in the group, seconds.
    """

    def __init__(self, outbox: Outbox, instance_id: str, grace_s: float, stall_s: float = 5.0) -> None:
        self._stall_s, self._stalls, self._ticked_s = stall_s, 0, monotonic()
        self._outbox, self._instance_id, self._grace_s = outbox, instance_id, grace_s
        self._started: deque[tuple[float, Desk, Held]] = deque()
        self._leases: list[tuple[float, int, Held]] = []
        self._count = 0

    def stalls(self) -> int:
        """How often this process stood still so long that its partitions may be another host's by now."""
        now = monotonic()
        if now - self._ticked_s > self._stall_s:
            self._stalls, self._ticked_s = self._stalls + 1, now
        return self._stalls

    def hold(self, held: Held) -> None:
        """Renew the lease of an attempt until it ends, from the queue on."""
        self._lease(held, monotonic())

    def began(self, desk: Desk, held: Held) -> None:
        """Look at a run again after its time of grace, or at its end if that comes first."""
        if desk.remaining_s(held) < self._grace_s:
            held.timer = asyncio.get_running_loop().call_later(desk.remaining_s(held), desk.expire, held)
        self._started.append((held.started_s + self._grace_s, desk, held))

    def tick(self) -> None:
        """Do what is due."""
        self.stalls()
        now = self._ticked_s = monotonic()
        while self._started and self._started[0][0] <= now:
            _, desk, held = self._started.popleft()
            if held.phase is Phase.RUNNING:
                self._announce(desk, held)
        while self._leases and self._leases[0][0] <= now:
            held = heappop(self._leases)[2]
            if held.phase is not Phase.ENDED:
                self.heartbeat(held)
                self._lease(held, now)

    def _lease(self, held: Held, now: float) -> None:
        self._count += 1
        heappush(self._leases, (now + held.assignment.lease_ms / 3000, self._count, held))

    def _announce(self, desk: Desk, held: Held) -> None:
        work = held.assignment
        report = AttemptStarted(
            work.root_task_id, work.task_id, work.attempt_id, work.arm_id, self._instance_id
        )
        self._outbox.send(
            topics.RESULTS,
            work.root_task_id,
            report,
            event_id=f"{work.attempt_id}:started:{self._instance_id}",
            source=work.arm_id,
            trace=held.trace,
        )
        if held.timer is None:
            held.timer = asyncio.get_running_loop().call_later(desk.remaining_s(held), desk.expire, held)

    def heartbeat(self, held: Held, then: Callable[[LogRecord], None] | None = None) -> None:
        """Send a sign of life; `then` is called once it is in the log."""
        work, lease = held.assignment, held.lease
        sent = lease.now()

        def arrived(record: LogRecord) -> None:
            lease.renewed(sent, record.timestamp_ms)
            if then is not None:
                then(record)

        held.signs += 1
        report = AttemptHeartbeat(
            work.root_task_id, work.task_id, work.attempt_id, work.arm_id, self._instance_id, held.note
        )
        self._outbox.send(
            topics.RESULTS,
            work.root_task_id,
            report,
            event_id=f"{work.attempt_id}:alive:{self._instance_id}:{held.signs}",
            source=work.arm_id,
            trace=held.trace,
            then=arrived,
        )
