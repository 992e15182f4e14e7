from __future__ import annotations

from typing import Any, Final

import pytest

from octolog.domain import facts as f
from octolog.domain.ids import TaskId
from octolog.domain.upkeep import TimerFired, TimerKind
from octolog.domain.values import NO_LIMITS, Amounts, Category, Limits, Resource
from octolog.testing import (
    ArmsTopic,
    ShardLog,
    amend,
    assign,
    attempt,
    call_intended,
    call_used,
    cancel,
    capability,
    failure,
    given,
    history,
    step,
    submit,
    success,
)
from octolog.testing.specification import START_MS

ROOT: Final = TaskId("task-1")


def limited(max_tokens: int = 5_000, **contract: Any) -> Any:
    return submit(budget=Limits(max_tokens=max_tokens), **contract)


ASSIGNED: Final = history(limited(), assign())


# Warning and exhaustion


def test_four_fifths_of_a_limit_warn_exactly_once() -> None:
    two = history(limited(), assign(), call_used(attempt(), 1, tokens=2_000, calls=1))
    assert not [fact for fact in two if isinstance(fact, f.BudgetWarned)]
    warned = (
        given(*two).when(call_used(attempt(), 2, tokens=2_000)).then_kinds(f.UsageRecorded, f.BudgetWarned)
    )
    assert warned[1] == f.BudgetWarned(START_MS, Resource.TOKENS, 4_000, 5_000)
    given(*two, *warned).when(call_used(attempt(), 3, tokens=500)).then_kinds(f.UsageRecorded)


def test_use_beyond_the_limit_ends_the_tree_with_what_was_completed_and_no_retry() -> None:
    before = history(
        limited(steps=(step("a"), step("b"), step("c"))),
        assign("task-1/a"),
        success(attempt("task-1/a"), tokens_used=1_000),
        assign("task-1/b"),
        assign("task-1/c"),
        call_used(attempt("task-1/b"), 1, tokens=1_000),
        call_used(attempt("task-1/b"), 2, tokens=2_000),
    )
    assert sum(isinstance(fact, f.BudgetWarned) for fact in before) == 1
    _, exhausted, first, second, failed = (
        given(*before)
        .when(call_used(attempt("task-1/b"), 3, tokens=1_500))
        .then_kinds(f.UsageRecorded, f.BudgetExhausted, f.AttemptEnded, f.AttemptEnded, f.TaskFailed)
    )
    assert exhausted == f.BudgetExhausted(START_MS, Resource.TOKENS, 5_500, 5_000)
    assert isinstance(first, f.AttemptEnded)
    assert isinstance(second, f.AttemptEnded)
    assert {first.outcome, second.outcome} == {f.Outcome.CANCELLED}
    assert isinstance(failed, f.TaskFailed)
    assert failed == f.TaskFailed(
        START_MS,
        ROOT,
        "BUDGET_EXCEEDED",
        Category.RESOURCE_EXHAUSTED,
        "tokens: 5500 used of 5000",
        None,
        (TaskId("task-1/a"),),
        Amounts(tokens=5_500),
    )


@pytest.mark.parametrize(
    ("limits", "used", "resource"),
    [
        (Limits(max_cost_micros=1_000), {"cost_micros": 1_001}, Resource.COST),
        (Limits(max_llm_calls=2), {"calls": 3}, Resource.CALLS),
        (Limits(max_llm_calls=0), {"calls": 1}, Resource.CALLS),
    ],
)
def test_every_metered_resource_can_be_spent(
    limits: Limits, used: dict[str, int], resource: Resource
) -> None:
    before = history(submit(budget=limits), assign())
    facts = given(*before).when(call_used(attempt(), 1, **used)).facts
    (exhausted,) = [fact for fact in facts if isinstance(fact, f.BudgetExhausted)]
    assert exhausted.resource is resource


def test_working_time_spent_leaves_none_for_the_next_attempt() -> None:
    before = history(
        submit(budget=Limits(max_time_ms=8_000)),
        assign(lease_ms=60_000),
        (TimerFired(TimerKind.LEASE, ROOT, attempt().attempt_id, START_MS), START_MS + 60_000),
        (TimerFired(TimerKind.RETRY, ROOT, ROOT, START_MS), START_MS + 90_000),
    )
    exhausted, failed = given(*before).when(assign()).then_kinds(f.BudgetExhausted, f.TaskFailed)
    assert exhausted == f.BudgetExhausted(START_MS, Resource.TIME, 8_000, 8_000)
    assert isinstance(failed, f.TaskFailed)
    assert failed.code == "BUDGET_EXCEEDED"


def test_a_failure_for_lack_of_budget_is_never_tried_again() -> None:
    spent = failure(attempt(), "tokens are spent", retryable=True, error_code="BUDGET_EXCEEDED")
    given(*ASSIGNED).when(spent).then_kinds(f.AttemptEnded, f.TaskFailed)


def test_without_a_limit_nothing_is_warned_of_or_spent() -> None:
    before = history(submit(), assign())
    given(*before).when(call_used(attempt(), 1, tokens=2**40)).then_kinds(f.UsageRecorded)


# Allowances


def allowance(facts: tuple[f.Fact, ...]) -> Limits:
    assert isinstance(facts[-1], f.AttemptAssigned)
    return facts[-1].allowance


def test_two_children_of_seven_hundred_are_never_both_granted_out_of_a_thousand() -> None:
    want = Limits(max_tokens=700)
    tree = limited(1_000, steps=(step("a", budget=want), step("b", budget=want)))
    one = history(tree, assign("task-1/a"))
    assert allowance(one) == Limits(max_tokens=700)
    given(*one).when(assign("task-1/b")).then_nothing()
    done = (*one, *given(*one).when(success(attempt("task-1/a"), tokens_used=650)).facts)
    assert allowance(given(*done).when(assign("task-1/b")).facts) == Limits(max_tokens=350)


def test_a_task_that_waits_for_budget_goes_as_soon_as_some_is_released() -> None:
    want = Limits(max_tokens=700)
    log = ShardLog(ArmsTopic(capability("arm-a")))
    log.send(limited(1_000, steps=(step("a", budget=want), step("b", budget=want))))
    (first,) = log.take_assignments()
    log.send(success(first, tokens_used=100))
    (second,) = log.take_assignments()
    assert (second.task_id, second.allowance) == ("task-1/b", Limits(max_tokens=700))


def test_a_task_without_a_wish_gets_an_equal_share_of_what_is_free() -> None:
    tree = limited(900, steps=(step("a"), step("b"), step("c")))
    facts = history(tree, assign("task-1/a"), assign("task-1/b"), assign("task-1/c"))
    shares = [fact.allowance.max_tokens for fact in facts if isinstance(fact, f.AttemptAssigned)]
    assert shares == [300, 300, 300]


def test_a_task_s_own_limit_holds_without_one_of_the_tree() -> None:
    tree = history(submit(steps=(step("a", budget=Limits(max_llm_calls=3)),)))
    assert allowance(given(*tree).when(assign("task-1/a")).facts) == Limits(max_llm_calls=3)


def test_the_time_allowed_bounds_the_run_of_an_attempt() -> None:
    tree = history(submit(budget=Limits(max_time_ms=4_000)))
    (assigned,) = given(*tree).when(assign(timeout_ms=30_000)).facts
    assert isinstance(assigned, f.AttemptAssigned)
    assert assigned.timeout_ms == 4_000


# Intents


def test_an_announced_call_counts_until_its_real_use_replaces_it() -> None:
    announced = history(limited(), assign(), call_intended(attempt(), 1, tokens=3_000, calls=1))
    facts = given(*announced).when(call_used(attempt(), 1, tokens=500, calls=1)).then_kinds(f.UsageRecorded)
    ended = given(*announced, *facts).when(success(attempt())).facts[0]
    assert isinstance(ended, f.AttemptEnded)
    assert (ended.settled.tokens, ended.settled.calls, ended.unknown) == (500, 1, Amounts())


def test_the_same_announcement_or_use_twice_counts_once() -> None:
    intended, used = call_intended(attempt(), 1, tokens=10), call_used(attempt(), 1, tokens=9)
    announced = history(limited(), assign(), intended)
    given(*announced).when(intended).then_nothing()
    settled = (*announced, *given(*announced).when(used).facts)
    given(*settled).when(used).then_nothing()
    given(*settled).when(intended).then_nothing()


def test_use_reported_by_an_arm_that_does_not_hold_the_attempt_is_not_charged() -> None:
    given(*ASSIGNED).when(call_used(attempt(arm="arm-b"), 1, tokens=9)).then_nothing()
    given(*ASSIGNED).when(call_intended(attempt(number=2), 1, tokens=9)).then_nothing()


def test_a_result_that_says_more_than_was_metered_is_charged_what_it_says() -> None:
    metered = history(limited(), assign(), call_used(attempt(), 1, tokens=100))
    ended = given(*metered).when(success(attempt(), tokens_used=140)).facts[0]
    assert isinstance(ended, f.AttemptEnded)
    assert ended.settled.tokens == 140


# Amendments


def test_an_amendment_replaces_the_limits_and_warns_anew() -> None:
    warned = history(limited(), assign(), call_used(attempt(), 1, tokens=4_000))
    amended = given(*warned).when(amend(Limits(max_tokens=10_000))).then_kinds(f.BudgetAmended)
    given(*warned, *amended).when(call_used(attempt(), 2, tokens=4_000)).then_kinds(
        f.UsageRecorded, f.BudgetWarned
    )


def test_the_same_amendment_twice_records_nothing() -> None:
    change = amend(Limits(max_tokens=10_000))
    amended = history(limited(), change)
    given(*amended).when(change).then_nothing()


def test_an_older_amendment_that_comes_again_is_refused_aloud_and_once() -> None:
    up, down = amend(Limits(max_tokens=10_000)), amend(Limits(max_tokens=6_000))
    amended = history(limited(), up, down)
    given(*amended).when(up).then_refused("REPEATED_AMENDMENT", "reason")
    meant = amend(Limits(max_tokens=10_000), reason="it was too little after all")
    given(*amended).when(meant).then_kinds(f.BudgetAmended)


def test_limits_cannot_fall_below_what_is_used_or_reserved() -> None:
    given(*ASSIGNED).when(amend(Limits(max_tokens=4_999))).then_refused("INVALID_BUDGET", "limits.max_tokens")
    given(*ASSIGNED).when(amend(Limits(max_tokens=5_000, max_llm_calls=0))).then_kinds(f.BudgetAmended)


def test_limits_cannot_fall_below_what_an_unlimited_attempt_used_so_far() -> None:
    running = history(submit(), assign(), call_used(attempt(), 1, tokens=800))
    given(*running).when(amend(Limits(max_tokens=700))).then_refused("INVALID_BUDGET", "limits.max_tokens")


def test_a_budget_can_be_amended_in_a_running_tree_alone() -> None:
    given().when(amend(NO_LIMITS)).then_refused("TASK_NOT_FOUND")
    given(*history(submit(), cancel())).when(amend(NO_LIMITS)).then_refused("TASK_ENDED")
    given(*ASSIGNED).when(amend(Limits(max_tokens=0))).then_refused("INVALID_BUDGET", "limits.max_tokens")


def test_more_budget_lets_go_what_waited_for_it() -> None:
    want = Limits(max_tokens=700)
    log = ShardLog(ArmsTopic(capability("arm-a")))
    log.send(limited(1_000, steps=(step("a", budget=want), step("b", budget=want))))
    log.take_assignments()
    log.send(amend(Limits(max_tokens=2_000)))
    assert [of.task_id for of in log.take_assignments()] == ["task-1/b"]
