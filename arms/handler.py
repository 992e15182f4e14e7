"""The handler: made once per attempt; says no before a model call that would pass what the attempt may use.

A refused call is never made: nothing is sent, nothing is announced. A call that is made is announced first
(`ModelCallIntended`, in the log before the model hears of it) and settled after (`ResourceUsed`). A call whose end
is unknown stays charged with the most it can have used.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from arms.call import Meter, ModelCall, Used
from arms.limits import UNBOUNDED, DeadlinePassed, HandlerConfig, LimitReached
from arms.prices.price import Price
from octolog.domain.assignment import AttemptAssignment
from octolog.domain.errors import BudgetRefused
from octolog.domain.reports import CallUsage, ContextRecalled, ModelCallIntended, ResourceUsed
from octolog.domain.values import NOTHING, Amounts

__all__ = [
    "UNBOUNDED",
    "DeadlinePassed",
    "Handler",
    "HandlerConfig",
    "LimitReached",
    "Meter",
    "ModelCall",
    "Used",
]

WARNING_PERCENT: Final = 80  # informative; work goes on (seed B)


class Handler:
    """Counts and refuses for one attempt.

    Args:
        assignment: The attempt, with its allowance.
        meter: Where calls are announced and settled.
        config: Turns and context allowed.
        deadline_s: When the attempt's time is over, by `clock`; None: never.
        clock: Seconds, monotonic.
        earlier: Tells the calls of a process that died with the attempt; asked once, before the first call. None:
            nobody can have begun it.
        permit: Returns while the attempt is held here, and stops it where it is not; None: it always is.
    """

    def __init__(
        self,
        assignment: AttemptAssignment,
        meter: Meter,
        *,
        config: HandlerConfig = UNBOUNDED,
        deadline_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        earlier: Callable[[], Awaitable[Sequence[CallUsage]]] | None = None,
        permit: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.used = Used()
        self.known_tokens = 0
        self.warnings: list[str] = []
        self.last_model: str | None = None
        self.calls: list[CallUsage] = []
        self.asked_model = ""
        self.config = config
        self._assignment, self._meter = assignment, meter
        self._deadline_s, self._clock = deadline_s, clock
        self._earlier, self._asking = earlier, asyncio.Lock()
        self._permit = permit
        self._calls_made = 0
        self._stopped: str | None = None

    @property
    def is_used(self) -> bool:
        """Whether there is anything that it counted or refused."""
        return bool(self.asked_model) or self.used.peak_context_tokens > 0

    async def recalled(self, record: ContextRecalled) -> None:
        """Have it in the log what memory gave, before the model hears of it."""
        await self._meter.recalled(record)

    def stop(self, reason: str) -> None:
        """Refuse every further call: the attempt was revoked or its time is over."""
        self._stopped = reason

    @property
    def remaining_s(self) -> float | None:
        """Seconds the attempt still has; None: any number. Nothing is left of one that was stopped."""
        if self._stopped is not None:
            return 0.0
        return None if self._deadline_s is None else max(0.0, self._deadline_s - self._clock())

    @property
    def stopped(self) -> str | None:
        """Why the attempt was stopped: revoked, or its time is over; None: it was not."""
        return self._stopped

    def check_time(self) -> None:
        """Raise DeadlinePassed when the attempt has no time left."""
        if self._stopped is not None:
            raise DeadlinePassed(f"{self._stopped}; the call was not made")
        if self._deadline_s is not None and self._clock() >= self._deadline_s:
            raise DeadlinePassed("the attempt's time is over; the call was not made")

    async def permitted(self) -> None:
        """Return when the attempt may act: to be awaited before a call of a tool or a service, as before a model's.

        A host that stood still longer than the attempt's lease finds out first whether it still holds it.

        Raises:
            DeadlinePassed: It may not: its time is over, or it was revoked, ended or given to another host.
            LeaseUnknown: That could not be found out.
        """
        self.check_time()
        if self._permit is not None:
            await self._permit()
            self.check_time()

    def resume(self, turns: int, context_tokens: int) -> None:
        """Go on where an earlier attempt left off to wait for a subtask: its turns and context count."""
        self.used.turns += max(0, turns)
        self._grow(max(0, context_tokens))

    def room(self, model: str, prompt_tokens: int, context_tokens: int) -> tuple[int | None, str]:
        """How long the answer of the next call may be.

        Args:
            model: Model asked.
            prompt_tokens: The most the whole prompt can have, in tokens.
            context_tokens: What the call adds to the context at most, its answer left out.

        Returns:
            Tokens, None for any number, and what bounds them: `tokens` (the allowance) or `context`.
        """
        left: list[tuple[int, str]] = []
        tokens, context = self._assignment.allowance.max_tokens, self.config.context_limit(model)
        if tokens is not None:
            left.append((tokens - self.used.tokens - prompt_tokens, "tokens"))
        if context is not None:
            left.append((context - self.used.context_tokens - context_tokens, "context"))
        return min(left, default=(None, ""))

    @asynccontextmanager
    async def model_call(
        self,
        model: str,
        at_most: Amounts,
        *,
        context_tokens: int = 0,
        max_output_tokens: int | None = None,
    ) -> AsyncIterator[ModelCall]:
        """Make one model call inside this block, or none at all.

        Args:
            model: Model asked.
            at_most: The most the call can use; counted in full until it is settled.
            context_tokens: What the call adds to the conversation's context, its answer left out.
            max_output_tokens: Longest answer, in tokens; a longer one is broken off while it streams. None: not known.

        Raises:
            BudgetRefused: It could pass the attempt's allowance.
            LimitReached: Turns or context are used up.
            DeadlinePassed: The time is over, or the attempt was revoked.
            EarlierRunUnknown: What an earlier run of the attempt spent could not be read.
            LeaseUnknown: Whether the attempt is still held here could not be found out.
        """
        self.asked_model = model
        at_most = Amounts(at_most.tokens, at_most.time_ms, at_most.cost_micros, max(1, at_most.calls))
        if self._earlier is not None:
            await self._go_on()
        await self.permitted()
        self._refuse(model, at_most, context_tokens)
        call = self._open(model, at_most, context_tokens, max_output_tokens)
        work = self._assignment
        try:
            await self._meter.intended(
                ModelCallIntended(
                    work.root_task_id, work.task_id, work.attempt_id, work.arm_id, call.number, model, at_most
                )
            )
            await self.permitted()  # the announcement took its time, too
        except BaseException:
            # The announcement may be in the log; the call was not made.
            call.not_made()
            self._close(call)
            self.calls.append(_usage(call))
            raise
        try:
            yield call
        finally:
            self._close(call)
            self.calls.append(_usage(call))

    def priced(self, model: str, price: Price) -> None:
        """Hear what a call will be charged by; warns, once per model, where that is zero for want of a price."""
        text = (
            f"price of {model}: not known, its calls are charged zero; give one in [[prices]] of octolog.toml"
        )
        if not price.is_known and text not in self.warnings:
            self.warnings.append(text)
            self._meter.warned(text)

    def add_context(self, tokens: int, model: str = "") -> None:
        """Take tokens into the conversation's context without a call.

        Raises:
            LimitReached: They do not fit; nothing was added.
        """
        self._check_context(model, tokens)
        self._grow(tokens)
        self._warn(model)

    async def _go_on(self) -> None:
        """Count what an earlier run spent, and say it again with the result.

        A number stands for one call in the ledger, so those of the earlier run are taken.
        """
        async with self._asking:
            if self._earlier is None:
                return
            calls = await self._earlier()
            self._earlier = None
            self._calls_made = max((call.call_number for call in calls), default=0)
            self.calls += calls
            for call in calls:
                self._charge(call.amounts, 1)

    def _refuse(self, model: str, at_most: Amounts, context_tokens: int) -> None:
        self.check_time()
        for name, used, most, limit in self._budget(at_most):
            if used + most > limit:
                raise BudgetRefused(
                    f"{name}: {used} of {limit} used, the call to {model} may need {most}; it was not made"
                )
        turns = self.config.max_turns
        if turns is not None and self.used.turns >= turns:
            raise LimitReached("turns", self.used.turns, turns)
        self._check_context(model, context_tokens)

    def _budget(self, at_most: Amounts) -> Iterator[tuple[str, int, int, int]]:
        limits, used = self._assignment.allowance, self.used
        rows = (
            ("calls", used.calls, at_most.calls, limits.max_llm_calls),
            ("tokens", used.tokens, at_most.tokens, limits.max_tokens),
            ("cost_micros", used.cost_micros, at_most.cost_micros, limits.max_cost_micros),
        )
        for name, so_far, most, limit in rows:
            if limit is not None:
                yield name, so_far, most, limit

    def _check_context(self, model: str, tokens: int) -> None:
        limit = self.config.context_limit(model)
        if limit is not None and self.used.context_tokens + tokens > limit:
            raise LimitReached("context", self.used.context_tokens, limit)

    def _grow(self, tokens: int) -> None:
        self.used.context_tokens += tokens
        self.used.peak_context_tokens = max(self.used.peak_context_tokens, self.used.context_tokens)

    def _open(
        self, model: str, at_most: Amounts, context_tokens: int, max_output_tokens: int | None
    ) -> ModelCall:
        self._calls_made += 1
        self._charge(at_most, 1)
        # Counted before the answer, so that calls side by side cannot pass the limit together.
        self.used.turns += 1
        self.used.context_tokens += context_tokens
        return ModelCall(self._calls_made, model, at_most, context_tokens, max_output_tokens, self._on_tokens)

    def _on_tokens(self, more: int) -> None:
        """Some of an answer came: it counts as known before the call is settled."""
        self.known_tokens += more
        self.check_time()

    def _charge(self, amounts: Amounts, sign: int) -> None:
        self.used.tokens += sign * amounts.tokens
        self.used.cost_micros += sign * amounts.cost_micros
        self.used.calls += sign * amounts.calls

    def _close(self, call: ModelCall) -> None:
        if call.settlement is not None:
            used, input_tokens, output_tokens, version = call.settlement
            self._charge(call.at_most, -1)
            self._charge(used, 1)
            self.known_tokens += used.tokens - call.streamed_tokens
            if used.calls:
                self.last_model = call.model
                self.used.last_turn_at_ms = time.time_ns() // 1_000_000
                self.used.context_tokens += call.added_tokens - call.context_tokens
            else:
                self.used.turns -= 1
                self.used.context_tokens -= call.context_tokens
            self._grow(output_tokens)
            work = self._assignment
            call.settled = ResourceUsed(
                work.root_task_id,
                work.task_id,
                work.attempt_id,
                work.arm_id,
                call.number,
                call.model,
                used,
                input_tokens,
                output_tokens,
                version,
            )
            self._meter.used(call.settled)
        else:
            self._grow(0)
        self._warn(call.model)

    def _warn(self, model: str) -> None:
        rows = [(name, used, limit) for name, used, _, limit in self._budget(NOTHING)]
        if self.config.max_turns is not None:
            rows.append(("turns", self.used.turns, self.config.max_turns))
        context = self.config.context_limit(model)
        if context is not None:
            rows.append(("context", self.used.context_tokens, context))
        for name, used, limit in rows:
            near = limit > 0 and used * 100 >= limit * WARNING_PERCENT
            if near and not any(text.startswith(f"{name}:") for text in self.warnings):
                self.warnings.append(f"{name}: {used} of {limit} used")
                self._meter.warned(self.warnings[-1])


def _usage(call: ModelCall) -> CallUsage:
    """What the attempt's result says again of a call."""
    known = call.settlement
    if known is None:
        return CallUsage(call.number, call.model, call.at_most, is_known=False)
    return CallUsage(call.number, call.model, known[0], is_known=True, price_version=known[3])
