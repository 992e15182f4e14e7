"""Behaviours 1 to 8 and 15 to 20 of the fact sheet, on the real decider.

Approvals, new plans and budgets that grow are in `test_behaviours_of_*.py`; what needs a broker is in
`test_orchestration_on_kafka.py`; what arms judge and plan by is in `tests/unit/arms`.
"""

from __future__ import annotations

import json

import pytest

from octolog.domain import facts as f
from octolog.domain.assignment import FeedbackKind
from octolog.domain.contract import (
    ApproveTask,
    Orchestration,
    Step,
)
from octolog.domain.errors import InvalidContract
from octolog.domain.ids import TaskId
from octolog.domain.values import NO_LIMITS, Limits, RetryPolicy
from octolog.edge import parse_contract
from octolog.testing import (
    call_used,
    cancel,
    failure,
    started,
    step,
    submit,
    success,
)
from tests.acceptance.story import CRITERIA, JUDGED, MEETS_ALL, MISSES_ONE, ROOT, Story, until

# 1 to 8: contracts and budgets


def test_01_a_goal_alone_is_accepted_and_its_limits_are_recorded() -> None:
    story = Story()
    contract = parse_contract({"goal": "Say hello", "task_id": ROOT}).contract
    story.send(submit(ROOT, goal=contract.goal, budget=contract.budget))
    (fact,) = story.of(f.TaskSubmitted)
    assert fact.contract.budget == NO_LIMITS


def test_02_a_goal_of_spaces_is_refused_and_nothing_else_follows() -> None:
    story = Story()
    assert story.send(submit(goal="   ")) == ["RequestRejected"]
    (refusal,) = story.of(f.RequestRejected)
    assert (refusal.category, refusal.field) == ("VALIDATION", "goal")


def test_03_a_negative_time_is_an_invalid_budget() -> None:
    with pytest.raises(InvalidContract) as told:
        parse_contract({"goal": "g", "budget": {"max_time_seconds": -10}})
    assert (told.value.code, told.value.field, told.value.retryable) == (
        "INVALID_BUDGET", "budget.max_time_seconds", False,
    )  # fmt: skip
    assert "-10 is not between 0.001" in told.value.message


@pytest.mark.parametrize("priority", [0, 11])
def test_04_a_priority_out_of_bounds_is_refused(priority: int) -> None:
    assert Story().send(submit(priority=priority)) == ["RequestRejected"]


def test_04_a_backlog_goes_out_by_priority_then_age() -> None:
    story = Story(window=1)
    assert parse_contract({"goal": "g"}).contract.priority == 5
    story.send(submit("first", required_capabilities=("work",)))
    held = story.only()
    for name, priority in (("nine", 9), ("one", 1), ("five", 5), ("five-too", 5)):
        story.send(submit(name, priority=priority, required_capabilities=("work",)))
    order = []
    for _ in range(4):
        story.send(success(held))
        held = story.only()
        order.append(held.task_id)
    assert order == ["one", "five", "five-too", "nine"]


def test_05_a_warning_at_80_percent_then_exhaustion_with_what_was_done() -> None:
    story = Story()
    steps = (step("one"), step("two", "one"), step("three", "one"))
    story.send(submit(budget=Limits(max_tokens=5_000), steps=steps))
    story.send(success(story.only(), tokens_used=0))
    two, _three = story.told()
    usage = (2_000, 2_000, 1_500)
    kinds = [story.send(call_used(two, number, tokens=tokens)) for number, tokens in enumerate(usage, 1)]
    assert kinds[:2] == [["UsageRecorded"], ["UsageRecorded", "BudgetWarned"]]
    (warning,) = story.of(f.BudgetWarned)
    assert (warning.used, warning.limit) == (4_000, 5_000)
    (spent,) = story.of(f.BudgetExhausted)
    assert (spent.used, spent.limit) == (5_500, 5_000)
    failed = story.of(f.TaskFailed)[-1]
    assert (failed.code, failed.completed_steps, failed.used.tokens) == (
        "BUDGET_EXCEEDED",
        (f"{ROOT}/one",),
        5_500,
    )
    assert [x.outcome for x in story.of(f.AttemptEnded)][1:] == [f.Outcome.CANCELLED] * 2
    assert story.of(f.RetryScheduled) == []


def test_07_two_children_that_want_700_of_1000_never_run_at_once() -> None:
    story = Story()
    want = Limits(max_tokens=700)
    story.send(
        submit(budget=Limits(max_tokens=1_000), steps=(step("a", budget=want), step("b", budget=want)))
    )
    first = story.only()
    assert first.allowance.max_tokens == 700
    story.send(success(first, tokens_used=650))
    second = story.only()
    assert second.allowance.max_tokens == 350
    story.send(success(second, tokens_used=350))
    assert story.of(f.TaskCompleted)[-1].task_id == ROOT
    assert sum(x.settled.tokens for x in story.of(f.AttemptEnded)) == 1_000


def test_07_children_share_their_parents_budget_whatever_the_tree_has_left() -> None:
    story = Story()
    parent = step("parent", budget=Limits(max_tokens=1_000))
    story.send(submit(budget=Limits(max_tokens=50_000), nested_budgets=True, steps=(parent,)))
    want = Limits(max_tokens=700)
    story.send(success(story.only(), "[]", plan=(step("a", budget=want), step("b", budget=want))))
    first = story.only()
    assert first.allowance.max_tokens == 700
    story.send(failure(first, retryable=True, tokens_used=500))
    second = story.only()
    assert (second.task_id, second.allowance.max_tokens) == (f"{ROOT}/parent/b", 500)
    story.log.pass_time(5_000)
    story.send(success(second, tokens_used=400))
    third = story.only()
    assert (third.task_id, third.allowance.max_tokens) == (f"{ROOT}/parent/a", 100)


def test_08_the_same_result_twice_changes_nothing_the_second_time() -> None:
    story = Story()
    story.send(submit(budget=Limits(max_tokens=100), steps=(step("one"), step("two", "one"))))
    result = success(story.only(), tokens_used=40)
    assert story.send(result) != []
    before = repr(story.log.shard.trees[TaskId(ROOT)].tree)
    assert story.send(result) == []
    assert repr(story.log.shard.trees[TaskId(ROOT)].tree) == before


# 15 to 20: planning and state


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ((step("s1"), step("s2", "s5"), step("s5")), "does not stand earlier"),
        ((step("s1"), step("s2", "s9")), "is no step of this plan"),
        ((step("s1", "s1"),), "does not stand earlier"),
        ((step("s1", required_capabilities=("flying",)),), "no arm has flying"),
        (
            (step("s1", required_capabilities=("work", "task_planning")),),
            "no one arm has task_planning, work",
        ),
        ((step("s1", assigned_arm="nobody"),), "wants arm nobody, which is not registered"),
    ],
)
def test_15_a_plan_that_cannot_be_followed_goes_back_with_the_reason_twice_and_no_more(
    steps: tuple[Step, ...], said: str
) -> None:
    story = Story()
    story.send(submit(orchestration=Orchestration(), required_capabilities=("task_planning",)))
    for number in (1, 2):
        assert story.send(success(story.only(), plan=steps))[:2] == ["AttemptEnded", "PlanRefused"]
        (again,) = story.told()
        assert again.feedback is not None
        assert (again.feedback.kind, again.feedback.number) == (FeedbackKind.PLAN_REFUSED, number)
        assert said in again.feedback.message
        story.log.told.append(again)
    assert story.send(success(story.only(), plan=steps)) == ["AttemptEnded", "TaskFailed"]
    assert story.of(f.TaskFailed)[-1].code == "INVALID_PLAN"
    assert story.of(f.RetryScheduled) == []


@pytest.mark.parametrize("steps", [(step("s1"), step("s2", "s9")), (step("s1", "s1"),)])
def test_15_a_contract_with_such_a_plan_is_refused(steps: tuple[Step, ...]) -> None:
    assert Story().send(submit(steps=steps)) == ["RequestRejected"]


def test_16_independent_steps_overlap_and_the_last_waits_for_all() -> None:
    story = Story()
    story.send(submit(orchestration=Orchestration(), required_capabilities=("task_planning",)))
    plan = (step("1"), *(step(name, "1") for name in ("2a", "2b", "2c")), step("3", "2a", "2b", "2c"))
    story.send(success(story.only(), plan=plan))
    story.send(success(story.only()))
    middle = story.told()
    assert [each.task_id[-2:] for each in middle] == ["2a", "2b", "2c"]
    for each in middle[:-1]:
        story.send(success(each))
    assert story.told() == []
    story.send(success(middle[-1]))
    assert story.only().task_id == f"{ROOT}/3"


def test_17_a_time_out_is_retried_within_the_policy_and_its_jitter() -> None:
    story = Story(lease_ms=600_000)
    retry = RetryPolicy(max_attempts=3, base_ms=1_000, factor=2.0, cap_ms=10_000)
    story.send(submit(retry=retry, timeout_ms=30_000, required_capabilities=("work",)))
    for _ in range(3):
        story.send(started(story.only()))
        story.log.pass_time(30_000)
        story.log.pass_time(20_000)
    ended = story.of(f.AttemptEnded)
    assert [(x.outcome, x.error_code, x.confidence, x.execution_time_ms) for x in ended] == [
        (f.Outcome.TIMED_OUT, "EXECUTION_TIMEOUT", 0.0, 30_000)
    ] * 3
    assert [x.number for x in story.of(f.AttemptAssigned)] == [1, 2, 3]
    for index, scheduled in enumerate(story.of(f.RetryScheduled)):
        assert 500 * 2**index <= scheduled.delay_ms <= 1_500 * 2**index
    assert story.of(f.TaskFailed)[-1].code == "EXECUTION_TIMEOUT"


def test_18_an_error_that_is_not_retryable_has_one_attempt() -> None:
    story = Story()
    story.send(submit(required_capabilities=("work",)))
    assert story.send(failure(story.only(), retryable=False)) == ["AttemptEnded", "TaskFailed"]


def test_19_a_repair_carries_the_failed_criterion_and_after_two_the_task_fails() -> None:
    story = Story()
    story.send(submit(orchestration=Orchestration(), retry=RetryPolicy(max_attempts=1), **JUDGED))
    for number in (1, 2):
        story.send(success(story.only(), f'"draft {number}"'))
        judge = story.only()
        assert (judge.arm_id, judge.inputs[0].output) == ("judge", f'"draft {number}"')
        story.send(success(judge, MISSES_ONE))
        repair = story.only()
        story.log.told.append(repair)
        assert repair.feedback is not None
        assert (repair.feedback.kind, repair.feedback.number) == (FeedbackKind.REPAIR, number)
        assert (repair.feedback.failed_criteria, repair.feedback.output) == (("cited",), f'"draft {number}"')
    story.send(success(story.only(), '"draft 3"'))
    story.send(success(story.only(), MISSES_ONE))
    failed = story.of(f.TaskFailed)[-1]
    assert (failed.code, failed.category) == ("NOT_ACCEPTED", "VALIDATION")
    assert "cited" in failed.message
    assert [x.confidence for x in story.of(f.TaskJudged)] == [pytest.approx(0.667, abs=1e-3)] * 3
    assert story.of(f.RetryScheduled) == []


def test_19_a_repair_that_is_accepted_completes_the_task() -> None:
    story = Story()
    story.send(submit(orchestration=Orchestration(), **JUDGED))
    story.send(success(story.only(), '"draft"'))
    story.send(success(story.only(), MISSES_ONE))
    story.send(success(story.only(), '"final"'))
    story.send(success(story.only(), MEETS_ALL))
    done = story.of(f.TaskCompleted)[-1]
    assert (done.task_id, done.output) == (ROOT, '"final"')


def test_19_a_repair_keeps_retries_of_its_own() -> None:
    story = Story()
    retry = RetryPolicy(max_attempts=2, base_ms=1_000)
    story.send(submit(orchestration=Orchestration(), retry=retry, **JUDGED))
    story.send(failure(story.only(), retryable=True))
    story.log.pass_time(5_000)
    story.send(success(story.only()))
    story.send(success(story.only(), MISSES_ONE))
    assert "RetryScheduled" in story.send(failure(story.only(), retryable=True))


def test_19_of_a_plan_the_steps_that_make_the_result_are_repaired() -> None:
    story = Story()
    story.send(
        submit(
            orchestration=Orchestration(),
            acceptance_criteria=CRITERIA,
            steps=(step("a"), step("b", "a"), step("c")),
        )
    )
    first, other = story.told()
    story.send(success(first), success(other, '"from c"'))
    story.send(success(story.only(), '"from b"'))
    judge = story.only()
    assert json.loads(judge.inputs[0].output) == {"b": "from b", "c": "from c"}
    story.send(success(judge, MISSES_ONE))
    assert [each.task_id for each in story.told()] == [f"{ROOT}/b", f"{ROOT}/c"]


@pytest.mark.parametrize(
    "said",
    ["no json", "{}", '{"valid": "yes"}', '{"valid": true, "failed": 3}', '{"valid": true, "confidence": 2}'],
)
def test_19_what_is_no_verdict_accepts_nothing(said: str) -> None:
    story = Story()
    story.send(submit(orchestration=Orchestration(), retry=RetryPolicy(max_attempts=1), **JUDGED))
    story.send(success(story.only()))
    story.send(success(story.only(), said))
    assert story.of(f.TaskFailed)[-1].task_id == ROOT
    assert not [x for x in story.of(f.TaskCompleted) if x.task_id == ROOT]


def test_19_a_verdict_that_contradicts_itself_accepts_nothing() -> None:
    story = Story()
    story.send(submit(orchestration=Orchestration(max_repairs=0), **JUDGED))
    story.send(success(story.only()))
    issue = {"severity": "error", "message": "wrong"}
    story.send(success(story.only(), json.dumps({"valid": True, "issues": [issue]})))
    assert story.of(f.TaskFailed)[-1].code == "NOT_ACCEPTED"


@pytest.mark.parametrize("state", ["approval", "planning", "steps", "replanning", "judging", "escalated"])
def test_20_a_cancel_in_any_state_ends_the_task_and_a_late_result_changes_nothing(state: str) -> None:
    story = until(state)
    open_attempts = story.told()
    kinds = story.send(cancel())
    assert kinds == ["AttemptEnded"] * len(open_attempts) + ["TaskCancelled"]
    assert story.nothing_is_reserved()
    assert story.log.shard.trees == {}
    for each in open_attempts:
        assert story.send(success(each)) == ["ResultIgnored"]
    assert story.send(ApproveTask(TaskId(ROOT), TaskId(ROOT), "ada")) == ["RequestRejected"]
    assert story.log.pass_time(10_000_000) == ()
