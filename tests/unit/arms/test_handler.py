"""What the handler refuses, what it counts, and in which order it reports."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from arms.handler import DeadlinePassed, Handler, HandlerConfig, LimitReached
from octolog.domain.errors import BudgetRefused
from octolog.domain.reports import ModelCallIntended, ResourceUsed
from octolog.domain.values import NO_LIMITS, NOTHING, Amounts, Limits, TaskErrorType
from tests.unit.arms.doubles import RecordingMeter, assignment


class Bench:
    """A handler, its meter, a clock, and the calls that were really made."""

    def __init__(
        self, limits: Limits = NO_LIMITS, config: HandlerConfig | None = None, deadline_s: float | None = None
    ) -> None:
        self.meter, self.now_s, self.made = RecordingMeter(), 0.0, 0
        self.handler = Handler(
            assignment(allowance=limits),
            self.meter,
            config=config or HandlerConfig(),
            deadline_s=deadline_s,
            clock=lambda: self.now_s,
        )

    def call(self, at_most: Amounts = NOTHING, used: Amounts | None = None, context_tokens: int = 0) -> None:
        async def make() -> None:
            async with self.handler.model_call("m", at_most, context_tokens=context_tokens) as call:
                self.made += 1
                if used is not None:
                    call.settle(used)

        asyncio.run(make())

    def refused(self, error: type[Exception], **call: Any) -> Exception:
        made, records = self.made, len(self.meter.records)
        with pytest.raises(error) as caught:
            self.call(**call)
        assert self.made == made, "a refused call was made"
        assert len(self.meter.records) == records, "a refused call was announced"
        return caught.value


ONE = Amounts(calls=1)


def test_with_two_calls_allowed_the_third_is_never_made() -> None:
    bench = Bench(Limits(max_llm_calls=2))
    bench.call(used=ONE)
    bench.call(used=ONE)
    assert "calls: 2 of 2 used" in str(bench.refused(BudgetRefused))


def test_none_allowed_means_none_made() -> None:
    Bench(Limits(max_llm_calls=0)).refused(BudgetRefused)


@pytest.mark.parametrize(
    ("limits", "at_most"),
    [(Limits(max_tokens=100), Amounts(tokens=101)), (Limits(max_cost_micros=100), Amounts(cost_micros=101))],
)
def test_a_call_that_could_pass_the_allowance_is_refused(limits: Limits, at_most: Amounts) -> None:
    Bench(limits).refused(BudgetRefused, at_most=at_most)


def test_a_call_that_could_reach_the_allowance_exactly_is_made() -> None:
    bench = Bench(Limits(max_tokens=100, max_cost_micros=7, max_llm_calls=1))
    bench.call(Amounts(tokens=100, cost_micros=7))
    assert bench.made == 1


def test_what_a_call_did_not_use_can_be_used_by_the_next() -> None:
    bench = Bench(Limits(max_tokens=100))
    bench.call(Amounts(tokens=100), used=Amounts(tokens=40, calls=1))
    bench.refused(BudgetRefused, at_most=Amounts(tokens=61))
    bench.call(Amounts(tokens=60), used=Amounts(tokens=60, calls=1))
    assert (bench.handler.used.tokens, bench.handler.known_tokens) == (100, 100)


def test_a_call_whose_use_is_unknown_stays_charged_in_full() -> None:
    bench = Bench(Limits(max_tokens=100))
    bench.call(Amounts(tokens=80))
    bench.refused(BudgetRefused, at_most=Amounts(tokens=21))
    assert [type(record) for record in bench.meter.records] == [ModelCallIntended]


def test_calls_side_by_side_cannot_pass_the_allowance_together() -> None:
    bench = Bench(Limits(max_tokens=100))

    async def both() -> list[BaseException | None]:
        async def one() -> None:
            async with bench.handler.model_call("m", Amounts(tokens=60)) as call:
                await asyncio.sleep(0)
                call.settle(Amounts(tokens=10, calls=1))

        return list(await asyncio.gather(one(), one(), return_exceptions=True))

    first, second = asyncio.run(both())
    assert first is None
    assert isinstance(second, BudgetRefused)


def test_the_intent_is_reported_before_the_call_and_the_use_after() -> None:
    bench = Bench()
    order: list[str] = []

    async def make() -> None:
        at_most = Amounts(tokens=9, cost_micros=3, calls=1)
        async with bench.handler.model_call("m", at_most) as call:
            order.extend(type(record).__name__ for record in bench.meter.records)
            call.settle(Amounts(tokens=5, calls=1), input_tokens=3, output_tokens=2, price_version="v")

    asyncio.run(make())
    intended, used = bench.meter.records
    assert order == ["ModelCallIntended"]
    assert isinstance(intended, ModelCallIntended)
    assert isinstance(used, ResourceUsed)
    assert (intended.call_number, intended.at_most) == (1, Amounts(9, 0, 3, 1))
    assert (used.call_number, used.used, used.input_tokens, used.output_tokens) == (
        1,
        Amounts(5, calls=1),
        3,
        2,
    )


def test_a_call_the_model_never_heard_of_is_settled_with_nothing() -> None:
    bench = Bench(Limits(max_llm_calls=1), HandlerConfig(max_turns=1))

    async def make() -> None:
        async with bench.handler.model_call("m", NOTHING) as call:
            call.not_made()

    asyncio.run(make())
    assert (bench.handler.used.calls, bench.handler.used.turns) == (0, 0)
    bench.call(used=ONE)


def test_no_call_is_made_when_the_announcement_fails() -> None:
    bench = Bench()

    class Away(RecordingMeter):
        async def intended(self, record: ModelCallIntended) -> None:
            raise ConnectionError("the log is away")

    bench.handler = Handler(assignment(), Away())
    with pytest.raises(ConnectionError):
        bench.call()
    assert bench.made == 0
    assert bench.handler.used.calls == 0


def test_no_call_is_made_after_the_deadline_or_when_stopped() -> None:
    bench = Bench(deadline_s=10)
    bench.now_s = 9.9
    bench.call()
    bench.now_s = 10
    bench.refused(DeadlinePassed)
    stopped = Bench()
    stopped.handler.stop("revoked")
    assert "revoked" in str(stopped.refused(DeadlinePassed))


def test_each_resource_warns_once_at_80_percent() -> None:
    bench = Bench(Limits(max_tokens=100, max_llm_calls=10))
    bench.call(used=Amounts(tokens=79, calls=1))
    assert bench.meter.warnings == []
    bench.call(used=Amounts(tokens=1, calls=1))
    bench.call(used=Amounts(tokens=5, calls=1))
    assert bench.meter.warnings == ["tokens: 80 of 100 used"]
    for _ in range(5):
        bench.call(used=ONE)
    assert bench.meter.warnings == ["tokens: 80 of 100 used", "calls: 8 of 10 used"]


def test_three_turns_allowed_the_fourth_is_refused_and_the_warning_comes_at_the_third() -> None:
    bench = Bench(config=HandlerConfig(max_turns=3))
    bench.call(used=ONE)
    bench.call(used=ONE)
    assert bench.meter.warnings == []
    bench.call(used=ONE)
    assert bench.meter.warnings == ["turns: 3 of 3 used"]
    error = bench.refused(LimitReached)
    assert isinstance(error, LimitReached)
    told = error.task_error
    assert (told.type, told.resource, told.used, told.limit) == (
        TaskErrorType.RESOURCE_EXHAUSTION,
        "turns",
        3,
        3,
    )


def test_ten_turns_allowed_warn_at_the_eighth() -> None:
    bench = Bench(config=HandlerConfig(max_turns=10))
    for _ in range(7):
        bench.call(used=ONE)
    assert bench.meter.warnings == []
    bench.call(used=ONE)
    assert bench.meter.warnings == ["turns: 8 of 10 used"]


def test_context_may_reach_its_share_of_the_window_and_no_token_more() -> None:
    bench = Bench(config=HandlerConfig(max_context_fraction=0.8, window_tokens=180_000))
    bench.handler.add_context(100_000)
    assert bench.meter.warnings == []
    bench.handler.add_context(44_000)
    assert bench.meter.warnings == ["context: 144000 of 144000 used"]
    with pytest.raises(LimitReached) as caught:
        bench.handler.add_context(1)
    assert (caught.value.used, caught.value.limit) == (144_000, 144_000)
    used = bench.handler.used
    assert (used.context_tokens, used.peak_context_tokens) == (144_000, 144_000)
    bench.refused(LimitReached, context_tokens=1)


@pytest.mark.parametrize(
    ("model", "limit"),
    [("claude-sonnet-9", 144_000), ("gpt-4-turbo", 102_400), ("gpt-3.5-turbo", 12_800), ("anything", 80_000)],
)
def test_the_window_follows_the_models_name(model: str, limit: int) -> None:
    assert HandlerConfig(max_context_fraction=0.8).context_limit(model) == limit


def test_tokens_of_an_answer_are_known_while_it_comes_and_counted_once() -> None:
    bench = Bench()
    known: list[int] = []

    async def make() -> None:
        async with bench.handler.model_call("m", Amounts(tokens=50)) as call:
            for tokens in (1, 2, 2, 5):
                call.streamed(tokens)
                known.append(bench.handler.known_tokens)
            call.settle(Amounts(17, calls=1), input_tokens=10, output_tokens=7)

    asyncio.run(make())
    assert known == [1, 2, 2, 5]
    assert bench.handler.known_tokens == 17


def test_an_answer_may_be_as_long_as_was_asked_for_and_no_token_longer() -> None:
    bench = Bench(Limits(max_tokens=100))

    async def make() -> None:
        async with bench.handler.model_call("m", Amounts(tokens=60), max_output_tokens=10) as call:
            call.streamed(10)
            call.streamed(11)

    with pytest.raises(LimitReached) as caught:
        asyncio.run(make())
    assert (caught.value.resource, caught.value.used, caught.value.limit) == ("output", 11, 10)
    assert bench.handler.used.tokens == 60, "what it used is not known: it stays charged with the most"
    assert bench.handler.known_tokens == 11


def test_a_stream_is_broken_off_when_the_time_is_over() -> None:
    bench = Bench(deadline_s=10)

    async def make() -> None:
        async with bench.handler.model_call("m", NOTHING) as call:
            call.streamed(1)
            bench.now_s = 10
            call.streamed(2)

    with pytest.raises(DeadlinePassed):
        asyncio.run(make())


def test_34_the_context_is_corrected_by_what_the_model_counted_and_so_is_its_peak() -> None:
    bench = Bench(config=HandlerConfig(max_context_fraction=0.8, window_tokens=180_000))

    async def make(added: int, output_tokens: int) -> None:
        async with bench.handler.model_call("m", NOTHING, context_tokens=144_000) as call:
            used = Amounts(added + output_tokens, calls=1)
            call.settle(used, output_tokens=output_tokens, context_tokens=added)

    asyncio.run(make(30_000, 1_000))
    used = bench.handler.used
    assert (used.context_tokens, used.peak_context_tokens) == (31_000, 31_000)
    assert bench.meter.warnings == []
    bench.refused(LimitReached, context_tokens=113_001)
    assert (used.context_tokens, used.peak_context_tokens) == (31_000, 31_000)


def test_the_room_for_an_answer_is_what_allowance_and_context_leave() -> None:
    config = HandlerConfig(max_context_fraction=0.5, window_tokens=1_000)
    assert Bench().handler.room("m", 100, 100) == (None, "")
    assert Bench(config=config).handler.room("m", 100, 80) == (420, "context")
    both = Bench(Limits(max_tokens=300), config)
    assert both.handler.room("m", 100, 80) == (200, "tokens")
    both.handler.add_context(400)
    assert both.handler.room("m", 100, 80) == (20, "context")


def test_turns_and_context_from_before_a_subtask_count() -> None:
    bench = Bench(config=HandlerConfig(max_turns=3, max_context_fraction=0.5, window_tokens=1_000))
    bench.handler.resume(2, 300)
    bench.refused(LimitReached, context_tokens=201)
    bench.call(used=ONE)
    error = bench.refused(LimitReached)
    assert isinstance(error, LimitReached)
    assert (error.resource, error.used, error.limit) == ("turns", 3, 3)
