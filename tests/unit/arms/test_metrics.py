"""What is told of a handler once its attempt is over."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from arms.handler import Handler
from arms.limits import DeadlinePassed, HandlerConfig, LimitReached
from arms.metrics import metrics_of
from octolog.domain.errors import BudgetRefused
from octolog.domain.reports import HandlerMetrics
from octolog.domain.rules import check_report
from octolog.domain.tasksystem import ResourceLimits
from octolog.domain.values import Amounts
from tests.unit.arms.doubles import RecordingMeter, assignment

CONFIG = HandlerConfig(max_turns=3, max_context_fraction=0.8, window_tokens=180_000)
GIVEN = assignment(timeout_ms=5_000)


def turns(handler: Handler, *context_tokens: int) -> None:
    async def converse() -> None:
        for tokens in context_tokens:
            async with handler.model_call("sonnet", Amounts(tokens=tokens), context_tokens=tokens) as call:
                call.settle(Amounts(tokens=tokens, calls=1), input_tokens=tokens)

    asyncio.run(converse())


def told(handler: Handler, error: BaseException | None = None) -> HandlerMetrics:
    found = metrics_of(GIVEN, handler, error)
    check_report(found)
    return found


def test_the_metrics_are_turns_and_context_with_limits_peak_and_warnings() -> None:
    handler = Handler(GIVEN, RecordingMeter(), config=CONFIG)
    turns(handler, 100_000, 44_000)
    with pytest.raises(LimitReached) as refused:
        turns(handler, 1)
    found = told(handler, refused.value)
    assert found.limits == ResourceLimits(3, 144_000, 0.8, 5_000)
    metrics = found.metrics
    assert (metrics.turns_used, metrics.turns_limit) == (2, 3)
    assert (metrics.context_used, metrics.context_limit, metrics.context_peak) == (144_000, 144_000, 144_000)
    assert metrics.last_turn_at_ms is not None
    assert found.warnings == ("context: 144000 of 144000 used",)
    assert (found.model, found.stopped_by) == ("sonnet", "context")


def test_without_limits_they_are_told_as_zero() -> None:
    handler = Handler(GIVEN, RecordingMeter())
    turns(handler, 10)
    found = told(handler)
    assert (found.limits.max_turns, found.limits.max_context_window) == (0, 0)
    assert (found.metrics.turns_used, found.metrics.turns_limit, found.metrics.context_used) == (1, 0, 10)
    assert (found.warnings, found.stopped_by) == ((), "")


@pytest.mark.parametrize(
    ("error", "stopped_by"),
    [
        (LimitReached("turns", 3, 3), "turns"),
        (BudgetRefused("tokens"), "budget"),
        (DeadlinePassed("late"), "timeout"),
        (asyncio.CancelledError(), "revoked"),
        (KeyError("a bug"), ""),
    ],
)
def test_what_ended_the_conversation_is_named(error: Any, stopped_by: str) -> None:
    assert told(Handler(GIVEN, RecordingMeter(), config=CONFIG), error).stopped_by == stopped_by


def test_a_handler_that_nobody_asked_has_nothing_to_tell() -> None:
    handler = Handler(GIVEN, RecordingMeter(), config=HandlerConfig(max_turns=1))
    assert not handler.is_used
    turns(handler, 0)
    assert handler.is_used


def test_a_refused_first_call_is_told_too() -> None:
    handler = Handler(
        GIVEN, RecordingMeter(), config=HandlerConfig(max_context_fraction=0.5, window_tokens=10)
    )
    with pytest.raises(LimitReached):
        turns(handler, 6)
    assert handler.is_used
    assert told(handler).metrics.context_used == 0
