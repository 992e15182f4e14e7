"""One arm's desk: what it holds, in which order it is worked on, and how each attempt ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from heapq import heappop, heappush
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Any, Final

from arms import topics
from arms.arm import Arm, Fail
from arms.handler import DeadlinePassed, Handler
from arms.host.earlier import EarlierRuns
from arms.host.guard import Guard
from arms.host.held import Held, Kept, Phase, Place
from arms.host.meter import AttemptMeter
from arms.host.outbox import Outbox
from arms.host.places import Places
from arms.large import has_claims, resolved
from arms.metrics import metrics_of
from arms.model import Model
from arms.outcome import LargeOutput, Outcomes
from arms.work import Work
from octolog.domain.assignment import AttemptAssignment, AttemptRevoked
from octolog.domain.errors import OctologError
from octolog.domain.reports import CallUsage, ExecutionResult
from octolog.ports import LogRecord

if TYPE_CHECKING:
    from arms.host.holding import Holding

__all__ = ["Desk"]

_log: Final = logging.getLogger(__name__)


class Desk:
    """Queues, runs and reports the attempts of one arm.

    Args:
        arm: The arm.
        outbox: Where reports go.
        pool: Threads for a sync function.
        model: The model configured, if any.
        on_start: Called with an attempt when it begins.
        earlier: Knows what others spent on attempts before.
        outcomes: Makes its results.
        guard: Judges capability tokens; None: nobody does.
        holding: Tells what is held here no longer; None: whatever was taken is held.
    """

    def __init__(  # noqa: PLR0913 -- what every desk of a host shares, one by one
        self,
        arm: Arm,
        outbox: Outbox,
        pool: ThreadPoolExecutor,
        model: Model | None,
        on_start: Callable[[Desk, Held], None],
        earlier: EarlierRuns,
        outcomes: Outcomes,
        *,
        guard: Guard | None = None,
        holding: Holding | None = None,
    ) -> None:
        self.arm = arm
        self.held: dict[str, Held] = {}
        self.running = 0
        self._outbox, self._pool, self._model, self._on_start = outbox, pool, model, on_start
        self._outcomes, self._blobs = outcomes, outcomes.blobs
        self._kept = Kept()
        self._guard, self._earlier, self._holding = guard, earlier, holding
        self._queue: list[tuple[int, int, int, Held]] = []
        self._taken = 0
        self._loop = asyncio.get_running_loop()
        self._closed = False

    def take(self, assignment: AttemptAssignment, place: Place, trace: str | None) -> Held | None:
        """Queue an assignment; an attempt that is held or done already is not run twice.

        Returns:
            What is held now and was not before.
        """
        known = self.held.get(assignment.attempt_id)
        if known is not None:
            known.places.append(place)
            return None
        held = Held(assignment, [place], monotonic(), trace)
        done = self._kept.get(assignment.attempt_id)
        if done is not None:
            self._send(held, done)
            return None
        self.held[assignment.attempt_id] = held
        self._taken += 1
        heappush(self._queue, (assignment.priority, assignment.assigned_ms, self._taken, held))
        return held

    def revoke(self, revoked: AttemptRevoked) -> None:
        """Stop an attempt; it gets no result."""
        held = self.held.get(revoked.attempt_id)
        if held is None or held.phase is Phase.SENDING:
            return
        self._drop(held, revoked.reason or "revoked")
        held.acknowledge()

    def forget(self, gone: Iterable[Places]) -> None:
        """Drop what is queued from partitions that another host reads now; what runs may finish.

        Not what has called a model: two runs would spend one allowance twice. Whoever reads the partition next goes on
        with what is left.
        """
        lost = set(map(id, gone))
        for held in list(self.held.values()):
            held.places = [place for place in held.places if id(place[0]) not in lost]
            spends = held.phase is Phase.RUNNING and held.handler is not None and held.handler.is_used
            if not held.places and (held.phase is Phase.QUEUED or spends):
                self._drop(held, "another host took over")

    def dispatch(self) -> None:
        """Start what is due, as far as the arm's concurrency allows."""
        limit = self.arm.capability.max_concurrent_tasks
        queue = self._queue
        while queue and self.running < limit and not self._closed:
            held = heappop(queue)[3]
            if held.phase is Phase.QUEUED:
                self._start(held)

    def expire(self, held: Held) -> None:
        """End an attempt whose time is over, with a failure."""
        if held.phase is not Phase.RUNNING:
            return
        held.timed_out = True
        held.halt(f"ran longer than {self._limit_ms(held)} ms")

    def refuse(self, held: Held, why: Fail) -> None:
        """End a running attempt whose permission was revoked, with a failure."""
        if held.phase is Phase.RUNNING:
            held.refused = why
            held.halt(str(why))

    def remaining_s(self, held: Held) -> float:
        """Seconds that a running attempt may still take."""
        return held.started_s + self._limit_ms(held) / 1000 - monotonic()

    def close(self) -> list[asyncio.Task[None]]:
        """Start nothing more; give the tasks that still run."""
        self._closed = True
        return [held.task for held in self.held.values() if held.task is not None]

    def sayable(self, text: str) -> str:
        """A text as it may be logged."""
        return self._outcomes.note(text)[:500]

    def _drop(self, held: Held, reason: str) -> None:
        held.phase = Phase.ENDED
        self.held.pop(held.assignment.attempt_id, None)
        held.halt(reason)

    async def _calls_before(self, held: Held) -> list[CallUsage]:
        calls, is_over = await self._earlier.of(held)
        if is_over:
            self._drop(held, "its result is in the log already")
            held.acknowledge()
            await asyncio.sleep(0)  # an async function ends here, a thread at the call that it asked for
        return calls

    async def _permit(self, held: Held, holding: Holding) -> None:
        """Let an attempt go on that is held here; stop one that is not."""
        lost = await holding.lost(held)
        if lost is not None and not held.is_over:
            _log.warning(
                "arm %s: %s is not gone on with: %s", self.arm.arm_id, held.assignment.attempt_id, lost
            )
            self._drop(held, lost)
            held.acknowledge()
            await asyncio.sleep(0)  # as above

    def _limit_ms(self, held: Held) -> int:
        """From its start: its own timeout, the arm's, and what the budget's time leaves after the wait in the queue."""
        work = held.assignment
        limit_ms = min(work.timeout_ms, self.arm.capability.timeout_seconds * 1000)
        budget_ms = work.allowance.max_time_ms
        if budget_ms is None:
            return limit_ms
        return max(0, min(limit_ms, budget_ms - int((held.started_s - held.taken_s) * 1000)))

    def _start(self, held: Held) -> None:
        held.phase = Phase.RUNNING
        held.started_s = monotonic()
        self.running += 1
        held.task = self._loop.create_task(self._run(held))
        # Not a `finally` in the coroutine: a task that is cancelled before its first step never enters it.
        held.task.add_done_callback(lambda _: self._release(held))
        self._on_start(self, held)

    async def _run(self, held: Held) -> None:
        assignment = held.assignment
        handler = held.handler = Handler(
            assignment,
            AttemptMeter(assignment, self._outbox, held),
            config=self.arm.config.under(assignment),
            deadline_s=held.started_s + self._limit_ms(held) / 1000,
            earlier=partial(self._calls_before, held) if held.may_have_run else None,
            permit=None if self._holding is None else partial(self._permit, held, self._holding),
        )
        outcomes = self._outcomes
        try:
            if self._guard is not None and self._guard.concerns(assignment):
                held.capability = self._guard.told(assignment, accepted=False)
                await self._guard.admit(assignment)
                held.capability = self._guard.told(assignment, accepted=True)
            if self._blobs is not None and has_claims(assignment):
                assignment = await asyncio.to_thread(resolved, assignment, self._blobs, self.arm.capability)
            work = Work(assignment, handler, model=self._model, on_note=self._noter(held), loop=self._loop)
            value = await (self.arm.function(work) if self.arm.is_async else self._in_thread(held, work))
            try:
                result = outcomes.of(assignment, value, handler, **_times(held))
            except LargeOutput:
                result = await asyncio.to_thread(
                    outcomes.of_large, assignment, value, handler, **_times(held)
                )
        except asyncio.CancelledError:
            if held.refused is not None:
                refused = outcomes.of_error(assignment, held.refused, handler, **_times(held))
                self._end(held, refused, held.refused)
                return
            if not held.timed_out:
                if held.phase is Phase.ENDED:  # revoked; a host that stops leaves the attempt to the next
                    self._tell_metrics(held, asyncio.CancelledError())
                raise
            late = DeadlinePassed(f"the attempt ran longer than {self._limit_ms(held)} ms")
            self._end(held, outcomes.of_error(assignment, late, handler, **_times(held)), late)
        except Exception as error:  # noqa: BLE001 -- an arm may raise anything; its attempt failed, the host lives on
            if not isinstance(error, OctologError):
                _log.exception("arm %s failed at %s", self.arm.arm_id, assignment.task_id)
            self._end(held, outcomes.of_error(assignment, error, handler, **_times(held)), error)
        else:
            self._end(held, result)

    def _noter(self, held: Held) -> Callable[[str], None]:
        def note(text: str) -> None:
            held.note = self._outcomes.note(text, held.assignment)[:500]

        return note

    def _in_thread(self, held: Held, work: Work) -> asyncio.Future[Any]:
        held.thread = self._pool.submit(self.arm.function, work)
        return asyncio.wrap_future(held.thread)

    def _release(self, held: Held) -> None:
        """Free the slot of an ended task; a thread cannot be cancelled, its slot stays taken until it ends."""
        held.task = None
        if held.timer is not None:
            held.timer.cancel()
        if held.thread is None or held.thread.done():
            self._free()
        else:
            held.thread.add_done_callback(lambda _: self._loop.call_soon_threadsafe(self._free))

    def _free(self) -> None:
        self.running -= 1
        self.dispatch()

    def _end(self, held: Held, result: ExecutionResult, error: Exception | None = None) -> None:
        if held.phase is not Phase.RUNNING:
            return
        held.phase = Phase.SENDING
        self._tell_metrics(held, error)
        result = _with_token(held, result)
        try:
            self._send(held, result)
        except Exception as odd:  # noqa: BLE001 -- a field of the answer is of a type that no schema takes
            handler = held.handler
            assert handler is not None, "a result without a run"  # noqa: S101
            fault = Fail(f"the result cannot be written: {odd}", "INVALID_OUTPUT")
            result = _with_token(
                held, self._outcomes.of_error(held.assignment, fault, handler, **_times(held))
            )
            self._send(held, result)
        self._kept.put(result)

    def _tell_metrics(self, held: Held, error: BaseException | None) -> None:
        handler = held.handler
        if handler is not None and handler.is_used:
            AttemptMeter(held.assignment, self._outbox, held).ended(
                metrics_of(held.assignment, handler, error)
            )

    def _send(self, held: Held, result: ExecutionResult) -> None:
        def arrived(_: LogRecord) -> None:
            self.held.pop(result.attempt_id, None)
            held.phase = Phase.ENDED
            held.acknowledge()

        self._outbox.send(
            topics.RESULTS,
            result.root_task_id,
            result,
            event_id=f"{result.attempt_id}:result",
            source=result.arm_id,
            trace=held.trace,
            then=arrived,
        )


def _with_token(held: Held, result: ExecutionResult) -> ExecutionResult:
    """The result with what was seen of the attempt's capability token, where it had to show one."""
    if held.capability is None:
        return result
    return replace(result, provenance=replace(result.provenance, capability=held.capability))


def _times(held: Held) -> dict[str, int]:
    return {"took_ms": int((monotonic() - held.started_s) * 1000), "ended_ms": time_ns() // 1_000_000}
