"""Behaviours 1 to 8, 15 to 20 of the fact sheet, and those of approvals and new plans, on the real decider.

Those that need a broker are in `test_orchestration_on_kafka.py`; what arms judge and plan by is in `tests/unit/arms`.
"""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from octolog.domain import facts as f
from octolog.domain.assignment import AttemptAssignment, FeedbackKind
from octolog.domain.contract import (
    ApprovalRule,
    ApproveTask,
    DenyTask,
    ExtendBudget,
    OnTimeout,
    Orchestration,
    Step,
)
from octolog.domain.errors import InvalidContract
from octolog.domain.ids import TaskId
from octolog.domain.task.ledger import ZERO
from octolog.domain.values import NO_LIMITS, Amounts, Limits, RetryPolicy
from octolog.edge import parse_contract
from octolog.testing import (
    ArmsTopic,
    ShardLog,
    call_intended,
    call_used,
    cancel,
    capability,
    failure,
    started,
    step,
    submit,
    success,
)

ROOT: Final = "task-1"
CRITERIA: Final = ("short", "true", "cited")
MISSES_ONE: Final = json.dumps({"valid": False, "passed": ["short", "true"], "failed": ["cited"]})
MEETS_ALL: Final = json.dumps({"valid": True, "passed": list(CRITERIA)})
JUDGED: Final[dict[str, Any]] = {"acceptance_criteria": CRITERIA, "required_capabilities": ("work",)}


class Story:
    """One partition with a worker, a planner and a judge."""

    def __init__(self, **settings: Any) -> None:
        arms = ArmsTopic(
            capability("worker", "work"),
            capability("planner", "task_planning"),
            capability("judge", "criteria_validation"),
        )
        self.log = ShardLog(arms, **settings)

    def send(self, *commands: Any) -> list[str]:
        """Send commands; the names of the facts that followed."""
        return [type(fact).__name__ for command in commands for fact in self.log.send(command)]

    def told(self) -> list[AttemptAssignment]:
        """What arms were asked since the last call."""
        return list(self.log.take_assignments())

    def only(self) -> AttemptAssignment:
        """The one thing that an arm was asked since the last call."""
        (one,) = self.told()
        return one

    def of(self, kind: type[Any]) -> list[Any]:
        """Facts of a kind."""
        return [fact for fact in self.log.facts if isinstance(fact, kind)]

    def nothing_is_reserved(self) -> bool:
        """Whether no open tree holds an allowance."""
        return all(entry.tree.ledger.reserved == ZERO for entry in self.log.shard.trees.values())


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


def _until(state: str) -> Story:
    """A story that stands in one of the states of an orchestrated task."""
    story = Story()
    rule = Orchestration(max_repairs=0, max_replans=1, escalate=True)
    if state == "approval":
        story.send(submit(approval=ApprovalRule(), budget=Limits(max_tokens=900)))
    elif state == "planning":
        story.send(
            submit(
                orchestration=rule, required_capabilities=("task_planning",), budget=Limits(max_tokens=900)
            )
        )
    elif state in {"steps", "replanning"}:
        story.send(
            submit(
                orchestration=rule, required_capabilities=("task_planning",), budget=Limits(max_tokens=900)
            )
        )
        story.send(success(story.only(), plan=(step("one"), step("two", "one"))))
        if state == "replanning":
            story.send(failure(story.only()))
    else:
        story.send(submit(orchestration=rule, budget=Limits(max_tokens=900), **JUDGED))
        story.send(success(story.only(), tokens_used=10))
        if state == "escalated":
            story.send(success(story.only(), MISSES_ONE))
    return story


@pytest.mark.parametrize("state", ["approval", "planning", "steps", "replanning", "judging", "escalated"])
def test_20_a_cancel_in_any_state_ends_the_task_and_a_late_result_changes_nothing(state: str) -> None:
    story = _until(state)
    open_attempts = story.told()
    kinds = story.send(cancel())
    assert kinds == ["AttemptEnded"] * len(open_attempts) + ["TaskCancelled"]
    assert story.nothing_is_reserved()
    assert story.log.shard.trees == {}
    for each in open_attempts:
        assert story.send(success(each)) == ["ResultIgnored"]
    assert story.send(ApproveTask(TaskId(ROOT), TaskId(ROOT), "ada")) == ["RequestRejected"]
    assert story.log.pass_time(10_000_000) == ()


# People


def test_a_task_behind_a_gate_begins_when_a_person_says_so() -> None:
    story = Story()
    rule = ApprovalRule("may nmap run?", 60_000)
    assert story.send(submit(approval=rule, required_capabilities=("work",))) == [
        "TaskSubmitted",
        "ApprovalRequested",
    ]
    assert story.told() == []
    (asked,) = story.of(f.ApprovalRequested)
    assert (asked.question, asked.reason) == ("may nmap run?", f.ApprovalReason.BEFORE_START)
    story.send(ApproveTask(TaskId(ROOT), TaskId(ROOT), "ada", "once"))
    begun = story.only()
    assert begun.feedback is not None
    assert (begun.feedback.kind, begun.feedback.message) == (FeedbackKind.APPROVED, "ada: once")


def test_a_step_behind_a_gate_is_asked_for_when_its_turn_comes() -> None:
    story = Story()
    story.send(submit(steps=(step("a"), step("b", "a", approval=ApprovalRule()), step("c"))))
    first, third = story.told()
    assert story.of(f.ApprovalRequested) == []
    assert "ApprovalRequested" in story.send(success(first))
    story.send(success(third))
    story.send(ApproveTask(TaskId(ROOT), TaskId(f"{ROOT}/b"), "ada"))
    story.send(success(story.only()))
    assert story.of(f.TaskCompleted)[-1].task_id == ROOT


def test_a_plan_behind_a_gate_begins_none_of_its_steps() -> None:
    story = Story()
    story.send(submit(approval=ApprovalRule(), steps=(step("a"), step("b", "a"))))
    assert story.told() == []
    story.send(ApproveTask(TaskId(ROOT), TaskId(ROOT), "ada"))
    assert story.only().task_id == f"{ROOT}/a"


def test_a_denial_ends_the_task_with_its_reason() -> None:
    story = Story()
    story.send(submit(approval=ApprovalRule()))
    assert story.send(DenyTask(TaskId(ROOT), TaskId(ROOT), "ada", "too dear")) == [
        "ApprovalDecided",
        "TaskFailed",
    ]
    failed = story.of(f.TaskFailed)[-1]
    assert (failed.code, failed.category) == ("DENIED", "AUTHORIZATION")
    assert failed.message.endswith("denied by ada: too dear")


@pytest.mark.parametrize(
    ("silence", "end"),
    [
        (OnTimeout.DENY, "DENIED"),
        (OnTimeout.FAIL, "APPROVAL_TIMEOUT"),
        (OnTimeout.UNKNOWN, "DENIED"),
        (OnTimeout.APPROVE, None),
    ],
)
def test_silence_is_answered_by_the_rule(silence: OnTimeout, end: str | None) -> None:
    story = Story()
    story.send(submit(approval=ApprovalRule("", 5_000, silence), required_capabilities=("work",)))
    assert story.log.pass_time(4_999) == ()
    story.log.pass_time(2)
    (decided,) = story.of(f.ApprovalDecided)
    assert (decided.timed_out, decided.decided_by) == (True, "")
    assert [x.code for x in story.of(f.TaskFailed)] == ([end] if end else [])
    assert len(story.told()) == (end is None)


def test_an_answer_meets_no_other_question() -> None:
    story = Story()
    story.send(submit(required_capabilities=("work",)))
    story.send(success(story.only(), question="may I write?"))
    story.send(ApproveTask(TaskId(ROOT), TaskId(ROOT), "ada", number=1))
    story.send(success(story.only(), question="may I delete?"))
    assert story.send(ApproveTask(TaskId(ROOT), TaskId(ROOT), "ada", number=1)) == ["RequestRejected"]
    assert story.told() == []
    story.send(ApproveTask(TaskId(ROOT), TaskId(ROOT), "ada", number=2))
    story.send(success(story.only(), '"gone"'))
    assert story.of(f.TaskCompleted)[-1].output == '"gone"'


def test_an_arm_that_asks_for_ever_is_stopped() -> None:
    story = Story()
    story.send(submit(required_capabilities=("work",), retry=RetryPolicy(max_attempts=1)))
    for number in range(1, 11):
        story.send(success(story.only(), question=f"question {number}"))
        story.send(ApproveTask(TaskId(ROOT), TaskId(ROOT), "ada", number=number))
    assert story.send(success(story.only(), question="question 11")) == ["AttemptEnded", "TaskFailed"]


def test_nobody_waits_so_nothing_is_approved() -> None:
    story = Story()
    story.send(submit(required_capabilities=("work",)))
    assert story.send(ApproveTask(TaskId(ROOT), TaskId(ROOT), "ada")) == ["RequestRejected"]


def test_a_person_can_let_a_result_stand_that_the_judge_did_not_accept() -> None:
    story = _until("escalated")
    (asked,) = story.of(f.ApprovalRequested)
    assert asked.reason is f.ApprovalReason.NOT_ACCEPTED
    assert "cited" in asked.question
    assert story.send(ApproveTask(TaskId(ROOT), TaskId(ROOT), "ada")) == ["ApprovalDecided", "TaskCompleted"]


def test_a_verdict_of_little_confidence_goes_to_a_person() -> None:
    story = Story()
    story.send(submit(orchestration=Orchestration(min_confidence=0.9), **JUDGED))
    story.send(success(story.only()))
    sure = json.dumps({"valid": True, "confidence": 0.6})
    assert story.send(success(story.only(), sure))[-1] == "ApprovalRequested"
    assert story.of(f.ApprovalRequested)[-1].reason is f.ApprovalReason.LOW_CONFIDENCE


# Plans made again


def test_a_step_that_failed_for_good_leads_to_a_new_plan_with_what_is_done() -> None:
    story = Story()
    story.send(submit(orchestration=Orchestration(), required_capabilities=("task_planning",)))
    story.send(success(story.only(), plan=(step("bad"), step("after", "bad"), step("good"))))
    bad, good = story.told()
    assert story.send(failure(bad)) == ["AttemptEnded", "TaskFailed"]
    assert story.send(success(good, '"kept"'))[-2:] == ["ReplanStarted", "AttemptAssigned"]
    again = story.only()
    assert again.feedback is not None
    assert [(each.step_id, each.output) for each in again.feedback.done] == [("good", '"kept"')]
    assert again.feedback.taken == ("bad", "after", "good")
    story.send(success(again, plan=(step("other", "good"),)))
    other = story.only()
    assert [(each.step_id, each.output) for each in other.inputs] == [("good", '"kept"')]
    story.send(success(other, '"end"'))
    assert story.of(f.TaskCompleted)[-1].output == '"end"'


def test_new_plans_are_bounded() -> None:
    story = Story()
    story.send(submit(orchestration=Orchestration(max_replans=2), required_capabilities=("task_planning",)))
    for number in range(3):
        story.send(success(story.only(), plan=(step(f"s{number}"),)))
        story.send(failure(story.only(), "cannot be done"))
    assert len(story.of(f.ReplanStarted)) == 2
    failed = story.of(f.TaskFailed)[-1]
    assert (failed.task_id, failed.message) == (ROOT, "cannot be done")


def test_a_steps_step_that_failed_fails_its_step_and_the_plan_above_is_made_again() -> None:
    story = Story()
    story.send(submit(orchestration=Orchestration(), required_capabilities=("task_planning",)))
    story.send(success(story.only(), plan=(step("outer"),)))
    story.send(success(story.only(), plan=(step("x"), step("y"))))
    one, two = story.told()
    assert story.send(failure(one)) == [
        "AttemptEnded",
        "TaskFailed",
        "AttemptEnded",
        "TaskFailed",
        "ReplanStarted",
        "AttemptAssigned",
    ]
    assert story.send(success(two)) == ["ResultIgnored"]
    assert story.only().task_id == ROOT


# Budgets: additions, unknown outcomes


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
