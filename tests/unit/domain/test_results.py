from __future__ import annotations

import json
from dataclasses import replace
from typing import Final

import pytest

from octolog.domain import facts as f
from octolog.domain.errors import InvalidContract
from octolog.domain.ids import TaskId, attempt_id
from octolog.domain.reports import ExecutionResult, ResultStatus
from octolog.domain.rules import check_report
from octolog.domain.values import NOTHING, Amounts, BlobRef, Category, RetryPolicy
from octolog.testing import (
    assign,
    attempt,
    cancel,
    failure,
    given,
    history,
    partial,
    step,
    submit,
    success,
)
from octolog.testing.specification import START_MS

ROOT: Final = TaskId("task-1")
ASSIGNED = history(submit(), assign())


def test_assigning_a_ready_task_opens_its_first_attempt() -> None:
    (assigned,) = given(*history(submit())).when(assign()).then_kinds(f.AttemptAssigned)
    assert isinstance(assigned, f.AttemptAssigned)
    assert assigned.attempt_id == attempt_id(assigned.task_id, assigned.task_id, 1) == attempt().attempt_id
    assert (assigned.number, assigned.lease_ms, assigned.timeout_ms) == (1, 10_000, 30_000)


@pytest.mark.parametrize(
    "before", [(), ASSIGNED, history(submit(), cancel()), history(submit(steps=(step("a"),)))]
)
def test_what_is_not_ready_is_not_assigned(before: tuple[f.Fact, ...]) -> None:
    given(*before).when(assign()).then_nothing()


def test_attempts_of_one_task_id_in_two_trees_have_two_ids() -> None:
    assert attempt("shared", root="one").attempt_id != attempt("shared", root="two").attempt_id


def test_a_success_settles_the_attempt_and_completes_the_task() -> None:
    result = success(attempt(), output='{"a":1}', tokens_used=70, execution_time_ms=40)
    ended, completed = (
        given(*ASSIGNED).when(result, at_ms=START_MS + 50).then_kinds(f.AttemptEnded, f.TaskCompleted)
    )
    assert isinstance(ended, f.AttemptEnded)
    assert ended.settled == Amounts(tokens=70, time_ms=50)
    assert (ended.outcome, ended.unknown, ended.provenance) == (f.Outcome.SUCCESS, NOTHING, result.provenance)
    assert completed == f.TaskCompleted(START_MS + 50, ROOT, attempt().attempt_id, '{"a":1}', None)


def test_a_large_output_completes_the_task_by_its_claim_check() -> None:
    blob = BlobRef("a" * 64, 10_000_000, "application/json")
    facts = given(*ASSIGNED).when(success(attempt(), output="", output_blob=blob)).facts
    assert isinstance(facts[-1], f.TaskCompleted)
    assert facts[-1].output_blob == blob


def test_the_same_result_twice_changes_nothing() -> None:
    done = history(submit(), assign(), success(attempt()))
    given(*done).when(success(attempt())).then_nothing()


def test_a_fault_that_will_not_pass_is_tried_once() -> None:
    result = failure(attempt(), "no such column", error_code="VALIDATION")
    _ended, failed = given(*ASSIGNED).when(result).then_kinds(f.AttemptEnded, f.TaskFailed)
    assert isinstance(failed, f.TaskFailed)
    assert (failed.code, failed.message, failed.failed_step) == ("VALIDATION", "no such column", None)


def test_a_fault_that_may_pass_is_tried_again_under_the_next_number() -> None:
    _, retry = (
        given(*ASSIGNED).when(failure(attempt(), retryable=True)).then_kinds(f.AttemptEnded, f.RetryScheduled)
    )
    assert isinstance(retry, f.RetryScheduled)
    assert retry.next_number == 2


def test_the_last_attempt_allowed_fails_the_task() -> None:
    before = history(submit(retry=RetryPolicy(max_attempts=1)), assign())
    given(*before).when(failure(attempt(), retryable=True)).then_kinds(f.AttemptEnded, f.TaskFailed)


def test_a_partial_result_is_kept_and_the_task_is_not_completed() -> None:
    ended, _failed = given(*ASSIGNED).when(partial(attempt())).then_kinds(f.AttemptEnded, f.TaskFailed)
    assert isinstance(ended, f.AttemptEnded)
    assert (ended.outcome, ended.output) == (f.Outcome.PARTIAL, '"half"')


def test_a_failed_step_fails_the_tree_cancels_what_runs_and_names_what_was_completed() -> None:
    before = history(
        submit(steps=(step("a"), step("b"), step("c"))),
        *(assign(f"task-1/{name}") for name in "abc"),
        success(attempt("task-1/a")),
    )
    _, cancelled, step_failed, tree_failed = (
        given(*before)
        .when(failure(attempt("task-1/b")))
        .then_kinds(f.AttemptEnded, f.AttemptEnded, f.TaskFailed, f.TaskFailed)
    )
    assert isinstance(cancelled, f.AttemptEnded)
    assert isinstance(step_failed, f.TaskFailed)
    assert isinstance(tree_failed, f.TaskFailed)
    assert (cancelled.task_id, cancelled.outcome) == ("task-1/c", f.Outcome.CANCELLED)
    assert (step_failed.task_id, tree_failed.failed_step) == ("task-1/b", "task-1/b")
    assert tree_failed.completed_steps == ("task-1/a",)


# Results that do not count


def test_a_late_result_is_recorded_once_and_changes_nothing() -> None:
    over = history(submit(), assign(), cancel())
    (ignored,) = given(*over).when(success(attempt(), tokens_used=9)).then_kinds(f.ResultIgnored)
    assert isinstance(ignored, f.ResultIgnored)
    assert (ignored.reason, ignored.tokens_used) == ("the task ended", 9)
    given(*over, ignored).when(success(attempt())).then_nothing()


def test_a_result_of_an_earlier_attempt_never_counts_for_the_current_one() -> None:
    second = history(
        submit(),
        assign(),
        failure(attempt(), retryable=True),
    )
    due = f.RetryDue(START_MS, attempt().task_id)
    again = given(*second, due).when(assign()).facts
    (ignored,) = given(*second, due, *again).when(success(attempt("task-1", 7))).then_kinds(f.ResultIgnored)
    assert isinstance(ignored, f.ResultIgnored)
    assert ignored.reason == "the attempt is not current"


def test_a_result_from_an_arm_that_does_not_hold_the_attempt_never_counts() -> None:
    wrong = success(attempt(arm="arm-b"))
    ignored = given(*ASSIGNED).when(wrong).then_kinds(f.ResultIgnored)
    given(*ASSIGNED, *ignored).when(wrong).then_nothing()


def test_a_strangers_result_does_not_hide_the_late_result_of_the_arm_itself() -> None:
    over = history(submit(), assign(), success(attempt(arm="arm-b")), cancel())
    given(*over).when(success(attempt())).then_kinds(f.ResultIgnored)


# Results that contradict themselves


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (replace(success(attempt()), status=ResultStatus.UNKNOWN), "status"),
        (replace(success(attempt()), error="but"), "error"),
        (replace(failure(attempt()), error=None), "error"),
        (replace(failure(attempt()), error=""), "error"),
        (success(attempt(), confidence=1.2), "confidence"),
        (success(attempt(), confidence=float("nan")), "confidence"),
        (success(attempt(), tokens_used=-1), "tokens_used"),
        (success(attempt(), tokens_used=2**41), "tokens_used"),
        (success(attempt(), output="x" * 262_145), "output"),
        (replace(success(attempt()), arm_id=attempt(arm="arm-b").arm_id), "provenance.arm_id"),
        (
            replace(
                success(attempt()), provenance=replace(success(attempt()).provenance, command_hash="A" * 64)
            ),
            "provenance.command_hash",
        ),
    ],
)
def test_a_result_that_contradicts_itself_is_refused(wrong: ExecutionResult, field: str) -> None:
    with pytest.raises(InvalidContract) as refused:
        check_report(wrong)
    assert (refused.value.code, refused.value.field) == ("INVALID_REPORT", field)


# What a planned task's output is


def joined(*outputs: str) -> str:
    """Output of a task with as many last steps, one per output."""
    names = [f"s{n}" for n in range(len(outputs))]
    facts = history(
        submit(steps=tuple(step(name) for name in names)),
        *(assign(f"task-1/{name}") for name in names),
        *(success(attempt(f"task-1/{name}"), text) for name, text in zip(names, outputs, strict=True)),
    )
    assert isinstance(facts[-1], f.TaskCompleted)
    assert facts[-1].task_id == "task-1"
    return facts[-1].output


def test_the_only_last_step_is_the_task_s_output() -> None:
    facts = history(
        submit(steps=(step("a"), step("b", "a"))),
        assign("task-1/a"),
        success(attempt("task-1/a"), '"first"'),
        assign("task-1/b"),
        success(attempt("task-1/b"), '"last"'),
    )
    last = attempt("task-1/b").attempt_id
    assert facts[-1] == f.TaskCompleted(START_MS, ROOT, last, '"last"', None)


def test_several_last_steps_are_joined_by_name() -> None:
    assert joined('{"x": 1}', "[1,2]", "", "plain words") == (
        '{"s0":{"x": 1},"s1":[1,2],"s2":null,"s3":"plain words"}'
    )


@pytest.mark.parametrize(
    "strange",
    [
        '"\\ud800"',
        "NaN",
        "[1e999]",
        "-Infinity",
        "9" * 5_000,
        "[" * 5_000,
        "[" * 2_000 + "]" * 2_000,
        "\x00",
        " ",
    ],
)
def test_whatever_an_arm_returned_the_joined_output_is_json_that_can_be_written(strange: str) -> None:
    text = joined(strange, '"ok"')
    text.encode()
    value = json.loads(text, parse_int=str, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert value["s1"] == "ok"


def test_outputs_too_large_to_join_are_cited_by_attempt() -> None:
    text = joined(*(json.dumps("x" * 200_000),) * 3)
    assert len(text) < 1_000
    assert json.loads(text)["s1"] == {"attempt_id": attempt("task-1/s1").attempt_id}


def test_a_failure_s_category_says_whether_time_ran_out() -> None:
    facts = given(*ASSIGNED).when(failure(attempt())).facts
    assert isinstance(facts[-1], f.TaskFailed)
    assert facts[-1].category is Category.INTERNAL
