"""Programs of operators: recoveries, subtasks, budgets, cancellation, restarts, and what is illegal."""

from __future__ import annotations

import json

import pytest

from octolog.domain import facts as f
from octolog.domain.ids import TaskId
from octolog.domain.operators import (
    Operator,
    OperatorInput,
    RecoveryKind,
    Role,
    SubtaskRequest,
)
from octolog.domain.tasksystem import AtomicTaskSubtype, NamedText
from octolog.domain.values import Limits, RetryPolicy
from octolog.testing import ArmsTopic, ShardLog, cancel, capability, submit
from tests.unit.domain.evaluation import (
    EXHAUSTED,
    MAP,
    SEQUENTIAL,
    UNPARSABLE,
    Evaluation,
    five,
    inputs,
    root,
    step,
)


def test_exhaustion_is_decomposed_and_the_program_takes_the_tasks_place() -> None:
    run = Evaluation(root(SEQUENTIAL), step("s", instructions="big {{x}}", inputs=inputs(x="job")), step("t"))
    run.fail("s", EXHAUSTED, retryable=True)
    recovery = run.given["task-1/s/recovery-1"].recovery
    assert recovery is not None
    assert (recovery.kind, recovery.instructions, recovery.error) == (
        RecoveryKind.DECOMPOSITION,
        "big job",
        EXHAUSTED,
    )
    run.answer("s/recovery-1", operators=(root(SEQUENTIAL), step("a", instructions="{{x}}"), step("b")))
    assert run.given["task-1/s/decomposed-1/a"].instructions == "job"
    run.answer("s/decomposed-1/a")
    run.answer("s/decomposed-1/b", '"both"')
    assert run.waiting == ["t"]
    run.answer("t", '"end"')
    assert run.output() == '"end"'


def test_a_recovery_is_bounded_and_the_task_fails_with_its_last_error() -> None:
    run = Evaluation(root(SEQUENTIAL), step("s"))
    run.fail("s", EXHAUSTED)
    run.fail("s/recovery-1", UNPARSABLE)
    run.answer("s/recovery-2", operators=(root(MAP), step("a", 0, role=Role.REDUCTION)))
    assert run.failed("s").code == "VALIDATION_ERROR"
    error = run.failed("s").task_error
    assert error is not None
    assert error.path == "operators[0]"
    assert run.waiting == []


@pytest.mark.parametrize("flag", ["disable_reparsing", "is_manual_xml"])
def test_a_task_that_forbids_it_is_not_decomposed(flag: str) -> None:
    run = Evaluation(root(SEQUENTIAL, **{flag: True}), step("s"))
    run.fail("s", EXHAUSTED)
    assert run.failed().code == "RESOURCE_EXHAUSTION"
    assert not [x for x in run.log.facts if isinstance(x, f.RecoveryStarted)]


def test_an_output_of_another_type_is_tried_in_another_way() -> None:
    run = Evaluation(root(output_type="string[]"))
    run.answer("", '{"a":1}')
    recovery = run.given["task-1/recovery-1"].recovery
    assert recovery is not None
    assert recovery.kind is RecoveryKind.ALTERNATIVE
    assert recovery.error.violations == ("content: expected array of strings, actual object",)
    assert recovery.output == '{"a":1}'
    run.answer("recovery-1", '["a.txt"]')
    assert run.output() == '["a.txt"]'


def test_a_result_whose_notes_name_no_data_is_invalid() -> None:
    run = Evaluation(root(disable_reparsing=True))
    run.answer("", '{"content":"c","notes":{}}')
    assert run.failed().message == "notes.dataUsage: expected string, actual absent"


def test_retries_recoveries_and_continuations_are_counted_apart() -> None:
    run = Evaluation(root(), retry=RetryPolicy(max_attempts=2, base_ms=0))
    run.answer("", "", subtask=SubtaskRequest("look it up"), continuation_json='{"at":1}')
    run.answer("subtask-1", '{"content":"found","notes":{"dataUsage":"w"}}')
    goes_on = run.given["task-1"].continuation
    assert goes_on is not None
    assert (goes_on.content, goes_on.continuation_json) == ("found", '{"at":1}')
    run.fail("", retryable=True)
    run.log.pass_time(1)
    run._take()
    assert run.given["task-1"].number == 3
    assert run.given["task-1"].continuation == goes_on
    run.fail("", EXHAUSTED)
    assert run.waiting == ["recovery-1"]


def test_a_chain_of_subtasks_is_halted_at_its_sixth() -> None:
    run, task = Evaluation(root()), ""
    for depth in range(6):
        run.answer(task, "", subtask=SubtaskRequest(f"level {depth}", inputs=(NamedText("n", str(depth)),)))
        task = f"{task}/subtask-1".strip("/")
    halted = run.failed().task_error
    assert halted is not None
    assert halted.reason == "subtask_failure"
    reasons = [x.task_error.reason for x in run.log.facts if isinstance(x, f.TaskFailed) and x.task_error]
    assert reasons[0] == "execution_halted"
    assert len([x for x in run.log.facts if isinstance(x, f.SubtaskRequested)]) == 5


def test_the_same_request_in_a_chain_is_halted_as_a_cycle() -> None:
    run = Evaluation(root())
    run.answer("", "", subtask=SubtaskRequest("again"))
    run.answer("subtask-1", "", subtask=SubtaskRequest("again"))
    assert "cycle" in run.failed("subtask-1").message


def test_a_plain_task_may_ask_for_a_subtask_too() -> None:
    run = Evaluation()
    run.answer("", "", subtask=SubtaskRequest("look it up", instructions="find"))
    assert run.given["task-1/subtask-1"].instructions == "find"
    run.answer("subtask-1", '"found"')
    run.answer("", '"all"')
    assert run.output() == '"all"'


def test_what_is_done_leaves_the_tree() -> None:
    run = Evaluation(*five())
    for number in range(4):
        run.answer(f"s{number}", json.dumps("x" * 1_000))
        tree = run.log.shard.trees[TaskId("task-1")].tree
        assert list(tree.nodes) == ["task-1", f"task-1/s{number + 1}"]
        op = tree.nodes[TaskId("task-1")].op
        assert op is not None
        assert op.bound == {}


def test_a_wide_map_shares_the_budget_and_one_sequence_has_it_all() -> None:
    wide = Evaluation(root(MAP), *(step(f"s{n}") for n in range(10)), budget=Limits(max_tokens=1_000))
    assert {a.allowance.max_tokens for a in wide.open.values()} == {100}
    alone = Evaluation(*five(), budget=Limits(max_tokens=1_000))
    assert [a.allowance.max_tokens for a in alone.open.values()] == [1_000]


def test_a_cancelled_program_names_what_was_completed() -> None:
    run = Evaluation(*five())
    run.answer("s0")
    run.log.send(cancel())
    assert isinstance(run.end, f.TaskCancelled)
    assert run.end.completed_steps == ("task-1/s0",)


def test_a_restart_at_any_fact_goes_on_alike() -> None:
    run = Evaluation(root(SEQUENTIAL), step("m", type=MAP), step("a", 1), step("b", 1), step("z"))
    for task in ("m/b", "m/a", "z"):
        run.answer(task)
    for count in range(1, len(run.log.log)):
        again = run.log.restored(count)
        expected = run.log.replayed()
        assert again.log == expected.log[:count]
    assert run.log.replayed().log == run.log.log


@pytest.mark.parametrize(
    ("program", "path"),
    [
        ((root(SEQUENTIAL),), "operators[0]"),
        ((root(), step("a")), "operators[0]"),
        (
            (root(SEQUENTIAL, inherit_context=True, accumulate_data=True), step("a")),
            "operators[0].accumulate_data",
        ),
        ((root(SEQUENTIAL), step("a"), step("a")), "operators[2].name"),
        ((root(SEQUENTIAL), step("recovery-1")), "operators[1].name"),
        ((root(inputs=(OperatorInput("x"), OperatorInput("x"))),), "operators[0].inputs[1].name"),
        ((root(SEQUENTIAL, subtype=AtomicTaskSubtype.SUBTASK), step("a")), "operators[0].subtype"),
        ((root(SEQUENTIAL), step("a", 1)), "operators[1].parent"),
        ((root(output_type="picture"),), "operators[0].output_type"),
        ((root(), step("x", role=Role.ARGUMENT)), "operators[1].name"),
    ],
)
def test_an_illegal_program_is_refused_with_its_path(program: tuple[Operator, ...], path: str) -> None:
    log = ShardLog(ArmsTopic(capability("arm-a")))
    [refusal] = log.send(submit(operators=program))
    assert isinstance(refusal, f.RequestRejected)
    assert (refusal.code, refusal.field) == ("VALIDATION_ERROR", path)
