from __future__ import annotations

from typing import Any, Final

import pytest

from octolog.domain import facts as f
from octolog.domain.assignment import AttemptAssignment, StepInput
from octolog.domain.ids import TaskId
from octolog.domain.values import Limits, RetryPolicy
from octolog.testing import (
    ArmsTopic,
    AttemptRef,
    ShardLog,
    assign,
    attempt,
    capability,
    given,
    history,
    step,
    submit,
    success,
)

ROOT: Final = TaskId("task-1")
ASSIGNED: Final = history(submit(), assign())


def test_a_plan_joins_the_tree_and_the_task_waits_for_it() -> None:
    plan = (step("a"), step("b", "a"))
    _, planned = (
        given(*ASSIGNED).when(success(attempt(), plan=plan)).then_kinds(f.AttemptEnded, f.TaskPlanned)
    )
    assert isinstance(planned, f.TaskPlanned)
    assert (planned.steps, planned.attempt_id) == (plan, attempt().attempt_id)


def test_the_same_plan_twice_records_nothing() -> None:
    result = success(attempt(), plan=(step("a"),))
    given(*history(submit(), assign(), result)).when(result).then_nothing()


@pytest.mark.parametrize(
    "plan",
    [
        (step("a", "a"),),
        (step("a", "z"),),
        (step("a", "b"), step("b")),
        (step("a"), step("a")),
        (step("a", goal=" "),),
        tuple(step(f"s{n}") for n in range(11)),
        (step("a", budget=Limits(max_tokens=-1)),),
    ],
)
def test_a_plan_that_is_none_makes_the_attempt_a_failure_that_may_be_repeated(plan: tuple[Any, ...]) -> None:
    ended, _ = (
        given(*ASSIGNED).when(success(attempt(), plan=plan)).then_kinds(f.AttemptEnded, f.RetryScheduled)
    )
    assert isinstance(ended, f.AttemptEnded)
    assert (ended.outcome, ended.error_code) == (f.Outcome.FAILURE, "INVALID_OUTPUT")
    assert ended.task_error is not None
    assert ended.error is not None


def test_a_plan_may_not_name_a_task_that_exists() -> None:
    before = history(submit(), submit("task-1/a", parent_task_id="task-1"), assign())
    given(*before).when(success(attempt(), plan=(step("a"),))).then_kinds(f.AttemptEnded, f.RetryScheduled)
    given(*before).when(success(attempt(), plan=(step("b"),))).then_kinds(f.AttemptEnded, f.TaskPlanned)


def test_a_planner_that_always_plans_comes_to_an_end() -> None:
    log = ShardLog(ArmsTopic(capability("arm-a")))
    log.send(submit(retry=RetryPolicy(max_attempts=1)))
    depth = 0
    while assignments := log.take_assignments():
        log.send(success(assignments[0], plan=(step("again"),)))
        depth += 1
    assert depth == 6
    last = log.facts[-1]
    assert isinstance(last, f.TaskFailed)
    assert last.code == "INVALID_OUTPUT"
    assert "TOO_DEEP" in last.message


# Order of steps


class Running:
    """A partition with one arm; what is in flight is told by task id."""

    def __init__(self, **contract: Any) -> None:
        self.log = ShardLog(ArmsTopic(capability("arm-a")))
        self.open: dict[str, AttemptAssignment] = {}
        self.log.send(submit(**contract))

    def in_flight(self) -> set[str]:
        self.open |= {of.task_id: of for of in self.log.take_assignments()}
        return set(self.open)

    def finish(self, task_id: str, output: str = '"done"', **fields: Any) -> set[str]:
        self.in_flight()
        self.log.send(success(self.open.pop(task_id), output, **fields))
        return self.in_flight()


DIAMOND: Final = (
    step("1"),
    step("2a", "1"),
    step("2b", "1"),
    step("2c", "1"),
    step("3", "2a", "2b", "2c"),
)


def test_independent_steps_run_at_once_and_a_join_waits_for_the_last() -> None:
    run = Running(steps=DIAMOND)
    assert run.in_flight() == {"task-1/1"}
    assert run.finish("task-1/1") == {"task-1/2a", "task-1/2b", "task-1/2c"}
    assert run.finish("task-1/2b") == {"task-1/2a", "task-1/2c"}
    assert run.finish("task-1/2a") == {"task-1/2c"}
    assert run.finish("task-1/2c") == {"task-1/3"}
    assert run.finish("task-1/3", '"all"') == set()
    last = run.log.facts[-1]
    assert isinstance(last, f.TaskCompleted)
    assert (last.task_id, last.output) == (ROOT, '"all"')


def test_a_planner_s_plan_runs_as_a_contract_s_plan_does() -> None:
    run = Running()
    assert run.finish("task-1", plan=DIAMOND) == {"task-1/1"}
    assert run.finish("task-1/1") == {"task-1/2a", "task-1/2b", "task-1/2c"}


def test_a_step_gets_the_outputs_it_depends_on_in_the_plan_s_order() -> None:
    run = Running(steps=(step("x"), step("y"), step("z", "y", "x")))
    run.finish("task-1/x", '"from x"')
    run.finish("task-1/y", '"from y"')
    assert run.open["task-1/z"].inputs == (StepInput("y", '"from y"'), StepInput("x", '"from x"'))


def test_a_plan_of_a_step_holds_up_what_depends_on_that_step() -> None:
    run = Running(steps=(step("plan"), step("after", "plan")))
    assert run.finish("task-1/plan", plan=(step("in"),)) == {"task-1/plan/in"}
    assert run.finish("task-1/plan/in", '"inner"') == {"task-1/after"}
    assert run.open["task-1/after"].inputs == (StepInput("plan", '"inner"'),)


def test_a_task_with_a_subtask_is_completed_when_both_are_done() -> None:
    before = history(submit(), submit("task-1/sub", parent_task_id="task-1"), assign(), assign("task-1/sub"))
    own = given(*before).when(success(attempt(), '"own"')).then_kinds(f.AttemptEnded)
    _, sub, root = (
        given(*before, *own)
        .when(success(attempt("task-1/sub"), '"sub"'))
        .then_kinds(f.AttemptEnded, f.TaskCompleted, f.TaskCompleted)
    )
    assert isinstance(sub, f.TaskCompleted)
    assert isinstance(root, f.TaskCompleted)
    assert (sub.task_id, sub.output) == ("task-1/sub", "")
    assert (root.task_id, root.output) == (ROOT, '"own"')


def test_a_step_takes_from_its_task_what_it_does_not_say() -> None:
    run = Running(
        priority=3, timeout_ms=7_000, constraints_json='{"a":1}', steps=(step("a"), step("b", priority=1))
    )
    run.in_flight()
    inherited, own = run.open["task-1/a"], run.open["task-1/b"]
    assert (inherited.priority, inherited.timeout_ms, inherited.constraints_json) == (3, 7_000, '{"a":1}')
    assert own.priority == 1


def test_a_result_for_another_step_does_not_move_this_one() -> None:
    before = history(submit(steps=(step("a"), step("b"))), assign("task-1/a"))
    other: AttemptRef = attempt("task-1/b")
    given(*before).when(success(other)).then_kinds(f.ResultIgnored)
