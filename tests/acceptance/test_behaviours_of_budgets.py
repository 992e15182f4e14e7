"""Budgets that grow under way, and calls whose outcome nobody knows, on the real decider."""

from __future__ import annotations

from octolog.domain import facts as f
from octolog.domain.contract import ExtendBudget
from octolog.domain.ids import TaskId
from octolog.domain.values import Amounts, Limits, RetryPolicy
from octolog.testing import call_intended, call_used, started, submit
from tests.acceptance.story import ROOT, Story


def test_an_addition_counts_once_however_often_it_is_sent() -> None:
    story = Story()
    story.send(submit(budget=Limits(max_tokens=1_000, max_cost_micros=5), required_capabilities=("work",)))
    more = ExtendBudget(TaskId(ROOT), "request-1", Amounts(tokens=500, calls=3), "ada", "more")
    assert story.send(more, more) == ["BudgetAmended"]
    (fact,) = story.of(f.BudgetAmended)
    assert fact.limits == Limits(max_tokens=1_500, max_cost_micros=5)
    calls = ExtendBudget(TaskId(ROOT), "request-2", Amounts(calls=3), "ada")
    assert story.send(calls) == ["RequestRejected"]


def test_a_call_whose_outcome_is_unknown_is_charged_by_its_intent_and_shown_as_unknown() -> None:
    story = Story()
    story.send(
        submit(
            budget=Limits(max_tokens=1_000),
            retry=RetryPolicy(max_attempts=1),
            required_capabilities=("work",),
        )
    )
    held = story.only()
    story.send(started(held), call_intended(held, 1, tokens=300, calls=1, cost_micros=7))
    story.send(call_intended(held, 2, tokens=200, calls=1), call_used(held, 2, tokens=120, calls=1))
    story.log.pass_time(60_000)
    (ended,) = story.of(f.AttemptEnded)
    assert (ended.outcome, ended.settled.tokens, ended.unknown) == (
        f.Outcome.LOST,
        420,
        Amounts(300, 0, 7, 1),
    )
