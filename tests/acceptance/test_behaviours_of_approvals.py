"""Tasks, steps, plans, verdicts and questions of arms that wait for a person, on the real decider."""

from __future__ import annotations

import json

import pytest

from octolog.domain import facts as f
from octolog.domain.assignment import FeedbackKind
from octolog.domain.contract import ApprovalRule, ApproveTask, DenyTask, OnTimeout, Orchestration
from octolog.domain.ids import TaskId
from octolog.domain.values import RetryPolicy
from octolog.testing import step, submit, success
from tests.acceptance.story import JUDGED, ROOT, Story, until


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
    story = until("escalated")
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
