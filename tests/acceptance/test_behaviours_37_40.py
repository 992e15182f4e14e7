"""Sequences, context, reduce and map, behaviour by behaviour, on the production code in memory."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from octolog.domain import facts as f
from octolog.domain.assignment import AttemptAssignment
from octolog.domain.operators import (
    ATOMIC,
    ContextMode,
)
from octolog.domain.reports import ExecutionResult
from octolog.domain.tasksystem import FreshContext
from octolog.domain.values import TaskErrorType
from octolog.testing import failure, success
from schemas.xml.reader import judge
from tests.acceptance.evaluation import ROOT, Evaluation, given, said
from tests.acceptance.programs import CONTEXT, FIVE, SQUARES, THREE, calculate, echo, rejected

# ------------------------------------------------------------------------------------------- 37: sequences


@pytest.mark.parametrize("kept", ["full_output", "notes_only"])
def test_37_a_failing_step_ends_the_sequence_and_what_was_done_is_kept(kept: str) -> None:
    def answer(of: AttemptAssignment) -> ExecutionResult:
        if of.task_id.endswith("three"):
            return failure(of, "step three cannot be done")
        return success(of, said(of.instructions, from_step=of.instructions[:3]))

    run = Evaluation(FIVE.format(CONTEXT.format("false", "true", kept)), answer).run()
    assert run.ids() == [f"{ROOT}/{name}" for name in ("one", "two", "three")]
    failed = run.failure()
    assert failed.message == "step three cannot be done"
    details = json.loads(failed.details_json)
    assert (details["failed_step"], details["total_steps"]) == (2, 5)
    one, two = details["partial_results"]
    assert (one["step"], two["step"]) == ("one", "two")
    assert one["notes"] == {"dataUsage": "none", "from_step": "one"}
    contents = [partial.get("content") for partial in (one, two)]
    assert contents == (["one", "two one"] if kept == "full_output" else [None, None])


# --------------------------------------------------------------------------------------------- 38: context


def test_38_the_mode_says_what_an_attempt_knows_and_whether_memory_is_asked() -> None:
    own = '{"project":"tides"}'
    inherits = Evaluation(
        FIVE.format(CONTEXT.format("true", "false", "notes_only")), echo, context_json=own
    ).run()
    assert {(of.context_mode, of.context_json) for of in inherits.asked} == {(ContextMode.INHERIT, own)}
    keeps = Evaluation(
        FIVE.format(CONTEXT.format("false", "true", "notes_only")), echo, context_json=own
    ).run()
    third = keeps.of("three")
    assert third.context_mode is ContextMode.ACCUMULATE
    notes = {"dataUsage": "none"}
    assert json.loads(third.context_json) == {
        "history": [{"notes": notes, "step": "one"}, {"notes": notes, "step": "two"}]
    }
    fresh = Evaluation(
        FIVE.format(CONTEXT.format("false", "false", "notes_only")), echo, context_json=own
    ).run()
    assert {(of.context_mode, of.context_json) for of in fresh.asked} == {(ContextMode.FRESH, "{}")}


def test_38_a_word_is_the_truth_value_and_fresh_context_says_whether_memory_is_asked() -> None:
    words = CONTEXT.replace("</context_management>", "{}</context_management>")
    for inherit, accumulate, fresh, mode in (
        ("full", "false", "", ContextMode.INHERIT),
        ("none", "true", "disabled", ContextMode.HISTORY),
        ("none", "true", "enabled", ContextMode.ACCUMULATE),
        ("none", "false", "enabled", ContextMode.FRESH),
        ("none", "false", "disabled", ContextMode.MINIMAL),
    ):
        said = fresh and f"<fresh_context>{fresh}</fresh_context>"
        run = Evaluation(FIVE.format(words.format(inherit, accumulate, "notes_only", said)), echo).run()
        assert {of.context_mode for of in run.asked} == {mode}


def test_38_a_fresh_context_cannot_inherit() -> None:
    words = CONTEXT.replace(
        "</context_management>", "<fresh_context>enabled</fresh_context></context_management>"
    )
    (error,) = judge(FIVE.format(words.format("full", "false", "notes_only"))).errors
    assert (error.type, error.path) == (
        TaskErrorType.VALIDATION_ERROR,
        "/task/context_management/fresh_context",
    )
    fresh = replace(ATOMIC, instructions="x", inherit_context=True, fresh_context=FreshContext.ENABLED)
    assert rejected((fresh,)).code == "VALIDATION_ERROR"


def test_38_to_inherit_and_to_accumulate_exclude_each_other() -> None:
    verdict = judge(FIVE.format(CONTEXT.format("true", "true", "notes_only")))
    assert [error.type for error in verdict.errors] == [TaskErrorType.VALIDATION_ERROR]
    refused = rejected((replace(ATOMIC, instructions="x", inherit_context=True, accumulate_data=True),))
    assert refused.code == "VALIDATION_ERROR"
    assert refused.field


# ---------------------------------------------------------------------------------------------- 39: reduce


def test_39_a_reduce_goes_through_its_inputs_in_order() -> None:
    run = Evaluation(SQUARES, calculate).run()
    assert run.output() == said("50")
    assert run.ids() == [
        f"{ROOT}/{name}" for name in ("a", "a.reduction", "b", "b.reduction", "c", "c.reduction")
    ]
    assert [of.instructions for of in run.asked if "add" in of.instructions] == [
        "add 9 to 0",
        "add 16 to 9",
        "add 25 to 25",
    ]
    assert given(run.of("b.reduction")) == {
        "current_result": "16",
        "accumulator": "9",
        "original_input": "4",
        "input_name": "b",
    }


def test_39_a_failure_says_which_input_what_was_processed_and_the_accumulator() -> None:
    def answer(of: AttemptAssignment) -> ExecutionResult:
        return failure(of, "cannot") if of.task_id == f"{ROOT}/b" else calculate(of)

    run = Evaluation(SQUARES, answer).run()
    assert run.ids() == [f"{ROOT}/{name}" for name in ("a", "a.reduction", "b")]
    assert json.loads(run.failure().details_json) == {
        "failed_input": 1,
        "total_inputs": 3,
        "processed_inputs": [0],
        "accumulator": "9",
    }


def test_39_a_reduce_over_nothing_is_its_initial_value() -> None:
    nothing = SQUARES[: SQUARES.index("<inputs>")] + SQUARES[SQUARES.index("<inner_task>") :]
    run = Evaluation(nothing, calculate).run()
    assert (run.output(), run.asked) == ('"0"', [])


# ------------------------------------------------------------------------------------------------- 40: map


def test_40_a_map_starts_all_at_once_and_answers_in_the_order_of_its_inputs() -> None:
    run = Evaluation(THREE.format(""), calculate)
    assert [of.task_id for of in run.waiting] == [f"{ROOT}/{name}" for name in "abc"]
    run.step(2)
    run.step(1)
    run.step(0)
    assert [one["content"] for one in json.loads(run.output())] == [
        "9",
        "16",
        "25",
    ]


def one_fails(of: AttemptAssignment) -> ExecutionResult:
    return failure(of, "cannot") if of.task_id == f"{ROOT}/b" else calculate(of)


def test_40_a_map_that_collects_keeps_the_other_results() -> None:
    run = Evaluation(THREE.format(' on_failure="collect"'), one_fails)
    run.step(1)
    run.run()
    assert len(run.asked) == 3
    details = json.loads(run.failure().details_json)
    assert (details["failed"], details["total"]) == ([1], 3)
    assert [(one["step"], one["content"]) for one in details["partial_results"]] == [("a", "9"), ("c", "25")]


def test_40_a_map_that_fails_fast_stops_the_others() -> None:
    run = Evaluation(THREE.format(' on_failure="fail_fast"'), one_fails)
    run.step(1)
    assert run.log.shard.trees == {}
    details = json.loads(run.failure().details_json)
    assert details == {"failed": [1], "total": 3, "partial_results": []}
    run.step(0)
    assert isinstance(run.log.facts[-1], f.ResultIgnored)
