"""An assignment to the service and its answer back.

A request that got no answer is repeated with the same idempotency key, inside its attempt: that is the bridge's
own counter, apart from the attempts that the log counts. What the service answered is never asked for again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Final

import orjson

from arms.arm import Answer, Fail, Retry
from arms.bridge.asked import asked_of
from arms.bridge.breaker import Breaker, BreakerOpen, Passage
from arms.bridge.description import Description
from arms.bridge.protocol import (
    RUNNING,
    BadAnswer,
    ErrorDetail,
    ExecuteResponse,
    UsageJson,
    read_error,
    read_response,
    request_of,
)
from arms.bridge.settings import BridgeSettings
from arms.bridge.transport import NoReply, Reply, Transport
from arms.handler import DeadlinePassed, ModelCall
from arms.work import Work
from octolog.domain.errors import OctologError
from octolog.domain.retry import delay_ms
from octolog.domain.values import NOTHING, Amounts
from schemas.json_schema import ANYTHING, check_schema, fault_in

__all__ = ["Counts", "Forwarder"]

_log: Final = logging.getLogger(__name__)
_AGAIN: Final = frozenset({429, 502, 503, 504})
"""Statuses that say: not now; a proxy's as well as the service's own."""
_CATEGORIES: Final[Mapping[int, tuple[str, bool]]] = {
    400: ("VALIDATION", False), 401: ("AUTHENTICATION", False), 403: ("AUTHORIZATION", False),
    404: ("NOT_FOUND", False), 408: ("EXECUTION_TIMEOUT", True), 409: (RUNNING, True), 413: ("TOO_LARGE", False),
    422: ("VALIDATION", False), 429: ("RATE_LIMIT_EXCEEDED", True), 503: ("ARM_UNAVAILABLE", True),
    504: ("EXECUTION_TIMEOUT", True),
}  # fmt: skip
_RUNNING_PAUSE_S: Final = 1.0
_MICROS: Final = 1_000_000
_LAST_MOMENT_S: Final = 0.05


@dataclass(slots=True)
class Counts:
    """What happened since the start.

    Attributes:
        forwarded: Attempts handed to the service.
        transport_retries: Requests repeated because no answer came; no attempts of their own.
        faults: Requests without a usable answer.
        not_asked: Attempts that failed because the breaker was open.
        cancelled: Attempts the service was told to stop.
    """

    forwarded: int = 0
    transport_retries: int = 0
    faults: int = 0
    not_asked: int = 0
    cancelled: int = 0


class Forwarder:
    """The function of a bridged arm.

    Args:
        description: What the service says of itself.
        settings: The bounds.
        transport: The way to it.
        breaker: Told of every request's end.
    """

    def __init__(
        self, description: Description, settings: BridgeSettings, transport: Transport, breaker: Breaker
    ) -> None:
        self.counts = Counts()
        self._description, self._settings = description, settings
        self._transport, self._breaker = transport, breaker
        self._capability = description.capability
        check_schema("input_schema", self._capability.input_schema_json)
        check_schema("output_schema", self._capability.output_schema_json)
        self._cancelling: set[asyncio.Task[None]] = set()

    async def __call__(self, work: Work) -> Answer:
        """Hand an attempt over and wait for its answer.

        Raises:
            Fail: The service refused it, failed at it, or answered badly.
            Retry: It may go well later.
            BudgetRefused: The attempt may not use as much as the service may need; it was not asked.
            DeadlinePassed: No answer came in the attempt's time.
        """
        fault = fault_in(self._capability.input_schema_json, work.assignment.context_json)
        if fault is not None:
            raise Fail(f"context{fault}", "INVALID_INPUT")
        began, limit_s = monotonic(), self._limit_s(work)
        try:
            async with asyncio.timeout(limit_s):
                return await self._metered(work, began + limit_s)
        except TimeoutError:
            self._cancel(work, "its time is over")
            raise DeadlinePassed(f"the service gave no answer within {limit_s:.1f} s") from None
        except asyncio.CancelledError:
            if (
                work.handler.stopped is not None
            ):  # else the host ends; its successor asks again by the same key
                self._cancel(work, work.handler.stopped)
            raise

    async def settle(self) -> None:
        """Wait until what is being told to the service is told; bounded by the time for a cancellation."""
        if self._cancelling:
            await asyncio.wait(self._cancelling, timeout=self._settings.cancel_timeout_s)

    def _limit_s(self, work: Work) -> float:
        remaining_s = work.handler.remaining_s
        return self._capability.timeout_seconds if remaining_s is None else remaining_s

    async def _metered(self, work: Work, until_s: float) -> Answer:
        use = self._description.model_use
        if use is None:
            await work.handler.permitted()
            found = await self._asked(work, until_s)
            if found.usage is not None or found.tokens_used:
                await self._undeclared(work, found)
            return self._judged(found)
        async with work.handler.model_call(use.model, use.at_most) as call:
            found = await self._asked(work, until_s)
            _settle(call, found, _usage(found))
        return self._judged(found)

    async def _undeclared(self, work: Work, found: ExecuteResponse) -> None:
        """Charge what was used although nobody said it would be: what was spent is spent."""
        usage = _usage(found)
        _log.warning(
            "arm %s: reports model use, but its description has no model_use; its budget holds only after the fact",
            work.assignment.arm_id,
        )
        async with work.handler.model_call(usage.model or "undeclared", NOTHING) as call:
            _settle(call, found, usage)

    def _judged(self, found: ExecuteResponse) -> Answer:
        if found.status != "success":
            said, code = found.error or found.status, found.error_code or found.status.upper()
            if found.retryable:
                raise Retry(said, code)
            raise Fail(said, code, output=found.output)
        asked = asked_of(found)
        # As the processor does: who waits for a subtask, or gives a program, has no output yet.
        has_output = found.subtask is None and not found.operators
        if has_output and self._capability.output_schema_json != ANYTHING:
            fault = fault_in(self._capability.output_schema_json, orjson.dumps(found.output).decode())
            if fault is not None:
                raise BadAnswer(f"output{fault}")
        source = found.provenance
        return Answer(
            found.output,
            found.confidence,
            tuple(source.data_sources),
            tuple(source.tests_passed),
            model_version=source.model_version,
            command_hash=source.command_hash,
            plan=asked.plan,
            operators=asked.operators,
            subtask=asked.subtask,
            continuation=found.continuation,
            question=found.question,
            memories=asked.memories,
        )

    async def _asked(self, work: Work, until_s: float) -> ExecuteResponse:
        """Ask until there is an answer, or no more tries."""
        self.counts.forwarded += 1
        tries = 0
        while True:
            fault, pause_s = await self._tried(work, until_s)
            if isinstance(fault, ExecuteResponse):
                return fault
            if fault.code != RUNNING:
                tries += 1
                pause_s = max(
                    pause_s, delay_ms(self._settings.retry, work.assignment.attempt_id, tries) / 1000
                )
            if tries >= self._settings.retry.max_attempts or monotonic() + pause_s >= until_s:
                raise fault
            self.counts.transport_retries += fault.code != RUNNING
            work.heartbeat(f"asking again in {pause_s:.1f} s: {fault}")
            await asyncio.sleep(pause_s)

    async def _tried(self, work: Work, until_s: float) -> tuple[ExecuteResponse | Retry, float]:
        """One request: its answer, or why it has to be made again and after how many seconds at the earliest."""
        given = work.assignment
        left_s = max(_LAST_MOMENT_S, until_s - monotonic())
        try:
            passage = self._breaker.enter()
        except BreakerOpen as closed:
            self.counts.not_asked += 1
            raise Retry(str(closed), "ARM_UNAVAILABLE") from None
        try:
            reply = await self._transport.post(
                "/execute", request_of(given, left_s), left_s, {"idempotency-key": given.attempt_id}
            )
            answer = self._read(reply, given.attempt_id, given.task_id)
        except asyncio.CancelledError:
            if monotonic() >= until_s - _LAST_MOMENT_S:
                self._breaker.failed(passage, f"no answer within {left_s:.1f} s")
            else:
                self._breaker.abandoned(passage)
            raise
        except (NoReply, BadAnswer) as error:
            self.counts.faults += 1
            self._breaker.failed(passage, str(error))
            if isinstance(error, BadAnswer):
                raise
            return Retry(str(error), "ARM_UNAVAILABLE"), 0.0
        except BaseException:
            self._breaker.abandoned(passage)
            raise
        return self._told(answer, reply, passage)

    def _told(
        self, answer: ExecuteResponse | ErrorDetail, reply: Reply, passage: Passage
    ) -> tuple[ExecuteResponse | Retry, float]:
        """Tell the breaker, and what an error means for this attempt."""
        if isinstance(answer, ExecuteResponse):
            self._breaker.succeeded(passage)
            return answer, 0.0
        if reply.status >= 500:  # noqa: PLR2004 -- the server's own faults
            self.counts.faults += 1
            self._breaker.failed(passage, f"{reply.status} {answer.code}")
        else:
            self._breaker.succeeded(passage)
        if answer.code == RUNNING or reply.status in _AGAIN:
            said_s = answer.retry_after_seconds or reply.retry_after_s
            pause_s = _RUNNING_PAUSE_S if said_s is None and answer.code == RUNNING else said_s or 0.0
            return Retry(answer.message, answer.code), pause_s
        raise (Retry if answer.may_pass else Fail)(answer.message, answer.code)

    def _read(self, reply: Reply, attempt_id: str, task_id: str) -> ExecuteResponse | ErrorDetail:
        if reply.status == 200:  # noqa: PLR2004 -- OK
            uses = self._description.uses
            return read_response(reply.json(), attempt_id=attempt_id, task_id=task_id, uses=uses)
        with suppress(BadAnswer):
            said = read_error(reply.json())
            if said is not None:
                return said
        if 200 < reply.status < 400:  # noqa: PLR2004 -- neither OK nor an error
            raise BadAnswer(f"POST /execute answers {reply.status}; a result is a 200")
        code, passes = _CATEGORIES.get(reply.status, ("EXTERNAL", reply.status >= 500))  # noqa: PLR2004
        message = f"POST /execute answers {reply.status} without the error document of the protocol"
        return ErrorDetail(code=code, message=message, retryable=passes)

    def _cancel(self, work: Work, reason: str) -> None:
        """Tell the service to stop, beside: whoever waits for this attempt's end does not wait for that."""
        self.counts.cancelled += 1
        task = asyncio.get_running_loop().create_task(self._tell(work.assignment.attempt_id, reason))
        self._cancelling.add(task)
        task.add_done_callback(self._cancelling.discard)

    async def _tell(self, attempt_id: str, reason: str) -> None:
        try:
            await self._transport.post(
                "/cancel", {"attempt_id": attempt_id, "reason": reason}, self._settings.cancel_timeout_s
            )
        except OctologError as error:
            _log.info("arm %s was not told to stop: %s", self._capability.arm_id, error)


def _usage(found: ExecuteResponse) -> UsageJson:
    return found.usage or UsageJson(
        model=found.provenance.model_version or "", input_tokens=found.tokens_used, calls=1
    )


def _settle(call: ModelCall, found: ExecuteResponse, usage: UsageJson) -> None:
    """Charge what it says it used; one that says nothing stays charged with the most it may have used."""
    if found.usage is None and not found.tokens_used:
        return
    used = Amounts(
        usage.input_tokens + usage.output_tokens, 0, round(usage.cost_dollars * _MICROS), usage.calls
    )
    call.settle(
        used,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        price_version=usage.price_version,
    )
