from __future__ import annotations

from typing import Final

from octolog.domain import facts as f
from octolog.domain.ids import TaskId
from octolog.domain.values import Amounts
from octolog.testing import (
    ArmsTopic,
    ShardLog,
    assign,
    attempt,
    call_used,
    cancel,
    capability,
    given,
    heartbeat,
    history,
    started,
    step,
    submit,
    success,
)
from octolog.testing.specification import START_MS

ROOT: Final = TaskId("task-1")
RUNNING: Final = history(
    submit(steps=(step("a"), step("b"), step("c"))),
    *(assign(f"task-1/{name}") for name in "abc"),
    success(attempt("task-1/a"), tokens_used=40),
    call_used(attempt("task-1/b"), tokens=7, calls=1),
)


def test_a_cancel_ends_what_runs_and_then_the_tree() -> None:
    first, second, over = (
        given(*RUNNING).when(cancel()).then_kinds(f.AttemptEnded, f.AttemptEnded, f.TaskCancelled)
    )
    assert isinstance(first, f.AttemptEnded)
    assert isinstance(second, f.AttemptEnded)
    assert (first.task_id, second.task_id) == ("task-1/b", "task-1/c")
    assert {first.outcome, second.outcome} == {f.Outcome.CANCELLED}
    assert first.settled == Amounts(tokens=7, calls=1)
    assert over == f.TaskCancelled(
        START_MS, ROOT, "no longer wanted", "tester", (TaskId("task-1/a"),), Amounts(tokens=47, calls=1)
    )


def test_a_second_cancel_records_nothing() -> None:
    over = given(*RUNNING).when(cancel()).facts
    given(*RUNNING, *over).when(cancel()).then_nothing()
    given(*RUNNING, *over).when(cancel(reason="another one")).then_nothing()


def test_a_task_that_never_was_cannot_be_cancelled() -> None:
    given().when(cancel()).then_refused("TASK_NOT_FOUND", "root_task_id")


def test_a_task_that_is_over_cannot_be_cancelled() -> None:
    over = history(submit(), assign(), success(attempt()))
    given(*over).when(cancel()).then_refused("TASK_ENDED", "root_task_id")


def test_what_an_arm_reports_after_the_cancel_is_recorded_and_changes_nothing() -> None:
    late = attempt("task-1/b")
    over = (*RUNNING, *given(*RUNNING).when(cancel()).facts)
    ignored = given(*over).when(success(late)).then_kinds(f.ResultIgnored)
    after = given(*over, *ignored)
    after.when(success(late)).then_nothing()
    after.when(started(late)).then_nothing()
    after.when(heartbeat(late), at_ms=START_MS + 9_000).then_nothing()
    after.when(call_used(late, 2, tokens=1)).then_nothing()
    after.when(submit("task-1/x", parent_task_id="task-1")).then_refused("TASK_ENDED")


def test_arms_are_told_to_stop_and_their_places_are_free_again() -> None:
    log = ShardLog(ArmsTopic(capability("arm-a")), window=2)
    log.send(submit(steps=(step("a"), step("b"))))
    log.send(submit("task-2"))
    assert [of.task_id for of in log.take_assignments()] == ["task-1/a", "task-1/b"]
    log.send(cancel())
    assert [type(item).__name__ for item in log.told[:2]] == ["AttemptRevoked", "AttemptRevoked"]
    assert [of.task_id for of in log.take_assignments()] == ["task-2"]


def test_a_tree_that_is_over_leaves_memory_and_is_known_by_the_index_alone() -> None:
    log = ShardLog(ArmsTopic(capability("arm-a")))
    log.send(submit())
    (of,) = log.take_assignments()
    log.send(cancel())
    assert log.shard.trees == {}
    (ignored,) = log.send(success(of))
    assert isinstance(ignored, f.ResultIgnored)
    assert log.send(success(of)) == ()
    assert log.send(submit()) == ()
    log.verify()
