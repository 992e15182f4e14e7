from __future__ import annotations

import itertools
from typing import Any

import pytest

from octolog.domain import facts as f
from octolog.domain.contract import AmendBudget, ApproveTask, DenyTask
from octolog.domain.digest import contract_digest
from octolog.domain.ids import TaskId
from octolog.domain.values import NO_LIMITS, Category, Limits, RetryPolicy
from octolog.testing import assign, attempt, cancel, given, history, step, submit, success
from octolog.testing.specification import START_MS

SUBMITTED = history(submit())
COMPLETED = history(submit(), assign(), success(attempt()))


def test_a_goal_alone_is_enough_and_every_limit_is_recorded_as_absent() -> None:
    command = submit()
    expected = f.TaskSubmitted(START_MS, command.contract, contract_digest(command.contract), "tester")
    given().when(command).then(expected)
    assert command.contract.budget == NO_LIMITS
    assert command.contract.priority == 5


def test_the_same_contract_twice_records_nothing() -> None:
    given(*SUBMITTED).when(submit()).then_nothing()


def test_the_same_contract_after_its_task_ended_records_nothing() -> None:
    given(*COMPLETED).when(submit()).then_nothing()


def test_one_id_with_other_content_is_refused() -> None:
    given(*SUBMITTED).when(submit(goal="something else")).then_refused("DUPLICATE_TASK_ID", "task_id")


@pytest.mark.parametrize(
    ("contract", "code", "field"),
    [
        ({"goal": ""}, "VALIDATION", "goal"),
        ({"goal": " \n\t"}, "VALIDATION", "goal"),
        ({"goal": "x" * 10_001}, "VALIDATION", "goal"),
        ({"priority": 0}, "INVALID_PRIORITY", "priority"),
        ({"priority": 11}, "INVALID_PRIORITY", "priority"),
        ({"budget": Limits(max_tokens=0)}, "INVALID_BUDGET", "budget.max_tokens"),
        ({"budget": Limits(max_time_ms=-10)}, "INVALID_BUDGET", "budget.max_time_ms"),
        ({"budget": Limits(max_cost_micros=-1)}, "INVALID_BUDGET", "budget.max_cost_micros"),
        ({"budget": Limits(max_llm_calls=-1)}, "INVALID_BUDGET", "budget.max_llm_calls"),
        ({"budget": Limits(max_tokens=100_000_001)}, "INVALID_BUDGET", "budget.max_tokens"),
        ({"acceptance_criteria": ("c",) * 11}, "VALIDATION", "acceptance_criteria"),
        ({"required_capabilities": ("tag",) * 11}, "VALIDATION", "required_capabilities"),
        ({"required_capabilities": ("Not A Tag",)}, "VALIDATION", "required_capabilities"),
        ({"assigned_arm": "Not An Arm"}, "VALIDATION", "assigned_arm"),
        ({"max_cost_tier": 6}, "VALIDATION", "max_cost_tier"),
        ({"constraints_json": "[]"}, "VALIDATION", "constraints"),
        ({"context_json": '{"a": NaN}'}, "VALIDATION", "context"),
        ({"context_json": "{"}, "VALIDATION", "context"),
        ({"context_json": '{"a":' * 101 + "1" + "}" * 101}, "VALIDATION", "context"),
        ({"context_json": '{"a":"' + "x" * 262_144 + '"}'}, "VALIDATION", "context"),
        ({"timeout_ms": 0}, "VALIDATION", "timeout_ms"),
        ({"routing_policy": "random"}, "INVALID_POLICY", "routing_policy"),
        ({"security_policy": "none"}, "UNKNOWN_POLICY", "security_policy"),
        ({"retry": RetryPolicy(max_attempts=0)}, "INVALID_RETRY", "retry.max_attempts"),
        ({"retry": RetryPolicy(factor=float("nan"))}, "INVALID_RETRY", "retry.factor"),
        ({"retry": RetryPolicy(jitter_low=2.0)}, "INVALID_RETRY", "retry.jitter_low"),
    ],
)
def test_a_contract_out_of_bounds_is_refused_and_nothing_else_happens(
    contract: dict[str, Any], code: str, field: str
) -> None:
    refusal = given().when(submit(**contract)).then_refused(code, field)
    assert refusal.category is Category.VALIDATION
    assert "\n" not in refusal.message


@pytest.mark.parametrize("value", [1, 10])
def test_the_ends_of_the_priority_range_are_accepted(value: int) -> None:
    given().when(submit(priority=value)).then_kinds(f.TaskSubmitted)


def test_a_goal_of_ten_thousand_characters_is_accepted() -> None:
    given().when(submit(goal="x" * 10_000)).then_kinds(f.TaskSubmitted)


@pytest.mark.parametrize("task_id", ["", "-starts-with-a-hyphen", "has space", "x" * 256, "ünicode"])
def test_an_id_that_is_none_is_refused(task_id: str) -> None:
    given(root=task_id).when(submit(task_id)).then_refused("INVALID_TASK_ID")


def test_a_root_whose_tree_has_another_name_is_refused() -> None:
    given().when(submit("task-2", root="task-1")).then_refused("INVALID_TASK_ID", "root_task_id")


def test_a_name_of_who_asks_is_bounded() -> None:
    given().when(submit(by="x" * 256)).then_refused("VALIDATION", "submitted_by")


def test_the_same_refusal_is_recorded_once() -> None:
    bad = submit(priority=11)
    refused = given().when(bad).facts
    given(*refused).when(bad).then_nothing()


def test_a_task_may_be_submitted_properly_after_a_refusal() -> None:
    refused = given().when(submit(priority=11)).facts
    given(*refused).when(submit()).then_kinds(f.TaskSubmitted)


# Plans in contracts


@pytest.mark.parametrize(
    ("steps", "field"),
    [
        ((step("s1"), step("s2", "s5"), step("s3"), step("s4"), step("s5")), "steps[1].depends_on"),
        ((step("s1"), step("s2", "s9")), "steps[1].depends_on"),
        ((step("s1"), step("s2", "s2")), "steps[1].depends_on"),
        ((step("s1"), step("s1")), "steps[1].step_id"),
        ((step("s1"), step("s2", "s1", "s1")), "steps[1].depends_on"),
        ((step("no/slash"),), "steps[0].step_id"),
        ((step(""),), "steps[0].step_id"),
        (tuple(step(f"s{n}") for n in range(1_001)), "steps"),
    ],
)
def test_what_is_no_plan_is_refused(steps: tuple[Any, ...], field: str) -> None:
    given().when(submit(steps=steps)).then_refused("INVALID_PLAN", field)


@pytest.mark.parametrize(
    ("wrong", "code", "field"),
    [
        (step("s1", goal=" "), "VALIDATION", "steps[0].goal"),
        (step("s1", priority=11), "INVALID_PRIORITY", "steps[0].priority"),
        (step("s1", budget=Limits(max_tokens=0)), "INVALID_BUDGET", "steps[0].budget.max_tokens"),
        (step("s1", timeout_ms=-1), "VALIDATION", "steps[0].timeout_ms"),
        (step("s1", max_cost_tier=0), "VALIDATION", "steps[0].max_cost_tier"),
    ],
)
def test_a_step_out_of_bounds_is_refused(wrong: Any, code: str, field: str) -> None:
    given().when(submit(steps=(wrong,))).then_refused(code, field)


def test_steps_whose_task_ids_would_be_too_long_are_refused_and_not_lost_later() -> None:
    long = "x" * 250
    given(root=long).when(submit(long, steps=(step("a-step"),))).then_refused(
        "INVALID_PLAN", "steps[0].step_id"
    )
    given(root=long).when(submit(long, steps=(step("four"),))).then_kinds(f.TaskSubmitted)


# Subtasks


def subtask(task_id: str = "task-1/sub", parent: str = "task-1", **contract: Any) -> Any:
    return submit(task_id, root="task-1", parent_task_id=parent, **contract)


def test_a_subtask_joins_a_running_tree() -> None:
    given(*SUBMITTED).when(subtask()).then_kinds(f.TaskSubmitted)


def test_the_same_subtask_twice_records_nothing() -> None:
    given(*history(submit(), subtask())).when(subtask()).then_nothing()


def test_a_subtask_of_an_unknown_parent_is_refused_as_not_found() -> None:
    refusal = (
        given(*SUBMITTED).when(subtask(parent="task-9")).then_refused("UNKNOWN_PARENT", "parent_task_id")
    )
    assert refusal.category is Category.NOT_FOUND


def test_a_task_that_is_its_own_parent_is_refused() -> None:
    given(*SUBMITTED).when(subtask("task-1/a", parent="task-1/a")).then_refused("CYCLE", "parent_task_id")


def test_two_tasks_that_are_each_others_parent_are_refused() -> None:
    """A parent must be there first, so of a longer cycle the first to come has no parent."""
    given(*SUBMITTED).when(subtask("task-1/a", parent="task-1/b")).then_refused("UNKNOWN_PARENT")
    before = history(submit(), subtask("task-1/b"), subtask("task-1/a", parent="task-1/b"))
    given(*before).when(subtask("task-1/b", parent="task-1/a")).then_refused("DUPLICATE_TASK_ID")


def test_a_subtask_of_no_tree_is_refused() -> None:
    given().when(subtask()).then_refused("TASK_NOT_FOUND", "root_task_id")


def test_a_subtask_of_a_tree_that_is_over_is_refused() -> None:
    given(*COMPLETED).when(subtask()).then_refused("TASK_ENDED", "root_task_id")


def test_a_subtask_of_a_completed_task_is_refused() -> None:
    of = attempt("task-1/one")
    before = history(submit(steps=(step("one"), step("two"))), assign("task-1/one"), success(of))
    given(*before).when(subtask("task-1/one/more", parent="task-1/one")).then_refused("PARENT_ENDED")


def test_a_subtask_may_not_take_the_name_of_a_step_nor_bring_a_step_that_exists() -> None:
    before = history(submit(steps=(step("one"),)), subtask("task-1/a/b"))
    given(*before).when(subtask("task-1/one")).then_refused("DUPLICATE_TASK_ID", "task_id")
    given(*before).when(subtask("task-1/a", steps=(step("b"),))).then_refused("DUPLICATE_TASK_ID", "task_id")


def deep(levels: int) -> tuple[f.Fact, ...]:
    names = ["task-1", *(f"task-1/{n}" for n in range(1, levels + 1))]
    nested = [subtask(name, parent=parent) for parent, name in itertools.pairwise(names)]
    return history(submit(), *nested)


def test_subtasks_nest_five_deep_and_no_deeper() -> None:
    given(*deep(4)).when(subtask("task-1/5", parent="task-1/4")).then_kinds(f.TaskSubmitted)
    given(*deep(5)).when(subtask("task-1/6", parent="task-1/5")).then_refused("TOO_DEEP", "parent_task_id")


def test_steps_of_a_subtask_count_as_a_level() -> None:
    given(*deep(4)).when(subtask("task-1/5", parent="task-1/4", steps=(step("s"),))).then_refused("TOO_DEEP")


# Other requests


def test_nobody_can_approve_what_waits_for_nobody() -> None:
    task = TaskId("task-1")
    given(*SUBMITTED).when(ApproveTask(task, task, "tester")).then_refused("NOTHING_TO_APPROVE")
    given(*SUBMITTED).when(DenyTask(task, task, "tester")).then_refused("NOTHING_TO_APPROVE")
    given().when(ApproveTask(task, task, "tester")).then_refused("TASK_NOT_FOUND")


def test_reasons_are_bounded() -> None:
    given(*SUBMITTED).when(cancel(reason="x" * 2_001)).then_refused("VALIDATION", "reason")
    wordy = AmendBudget(TaskId("task-1"), NO_LIMITS, "tester", "x" * 2_001)
    given(*SUBMITTED).when(wordy).then_refused("VALIDATION", "reason")
