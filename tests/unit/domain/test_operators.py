"""Programs of operators: what starts, what each attempt is given, and how they end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from octolog.domain import facts as f
from octolog.domain.operators import (
    ContextMode,
    FailurePolicy,
    Role,
)
from octolog.domain.tasksystem import AccumulationFormat, AtomicTaskSubtype, FreshContext
from tests.unit.domain.evaluation import MAP, REDUCE, SEQUENTIAL, Evaluation, five, inputs, root, step


def test_a_sequence_runs_one_step_at_a_time_and_gives_the_last_output() -> None:
    run = Evaluation(*five())
    for number in range(5):
        assert run.waiting == [f"s{number}"]
        run.answer(f"s{number}", f'"{number}"')
    assert run.output() == '"4"'


def test_a_failing_step_ends_the_sequence_with_its_place_and_what_was_done() -> None:
    run = Evaluation(*five())
    run.answer("s0", '{"content":"zero","notes":{"dataUsage":"none"}}')
    run.answer("s1", '"one"')
    run.fail("s2", error="no way")
    failed = run.failed()
    assert json.loads(failed.details_json) == {
        "failed_step": 2,
        "total_steps": 5,
        "partial_results": [
            {"content": "zero", "notes": {"dataUsage": "none"}, "step": "s0"},
            {"content": "one", "notes": {}, "step": "s1"},
        ],
    }
    assert failed.failed_step == "task-1/s2"
    assert failed.completed_steps == ("task-1/s0", "task-1/s1")
    assert run.started() == ["task-1", "task-1/s0", "task-1/s1", "task-1/s2"]
    assert not run.log.shard.trees


def test_notes_only_keeps_the_notes_of_partial_results_without_content() -> None:
    run = Evaluation(*five(accumulation_format=AccumulationFormat.NOTES_ONLY))
    run.answer("s0", '{"content":"zero","notes":{"dataUsage":"none"}}')
    run.fail("s1", error="no way")
    assert json.loads(run.failed().details_json)["partial_results"] == [
        {"notes": {"dataUsage": "none"}, "step": "s0"}
    ]


def test_a_reduce_goes_in_document_order_and_names_the_input_that_failed() -> None:
    program = (
        root(REDUCE, initial_value="0", inputs=inputs(a="3", b="4", c="5")),
        step("square", role=Role.INNER, instructions="square {{current_input}}"),
        step("sum", role=Role.REDUCTION, instructions="{{accumulator}} + {{current_result}}"),
    )
    run = Evaluation(*program)
    total = 0
    for name, value in (("a", 3), ("b", 4), ("c", 5)):
        assert run.given[f"task-1/{name}"].instructions == f"square {value}"
        run.answer(name, str(value * value))
        assert run.given[f"task-1/{name}.reduction"].instructions == f"{total} + {value * value}"
        total += value * value
        run.answer(f"{name}.reduction", str(total))
    assert run.output() == "50"

    run = Evaluation(*program)
    run.answer("a", "9")
    run.answer("a.reduction", "9")
    run.fail("b", error="no")
    details = json.loads(run.failed().details_json)
    assert details == {"failed_input": 1, "total_inputs": 3, "processed_inputs": [0], "accumulator": "9"}


def test_a_reduce_over_nothing_is_its_initial_value_and_asks_no_arm() -> None:
    run = Evaluation(
        root(REDUCE, initial_value="0"), step("i", role=Role.INNER), step("r", role=Role.REDUCTION)
    )
    assert run.output() == '"0"'
    assert run.given == {}


def test_a_map_starts_all_at_once_and_lists_results_in_the_order_of_inputs() -> None:
    run = Evaluation(
        root(MAP, inputs=inputs(x="1", y="2", z="3")),
        step("i", role=Role.INNER, instructions="{{input_name}}"),
    )
    assert run.waiting == ["x", "y", "z"]
    assert [a.instructions for a in run.given.values()] == ["x", "y", "z"]
    for name in ("z", "x", "y"):
        run.answer(name, f'{{"is" : "{name}"}}')
    assert run.output() == '[{"is":"x"},{"is":"y"},{"is":"z"}]'


def test_a_map_that_collects_runs_to_its_end_and_keeps_the_other_results() -> None:
    names = ("a", "b", "c")
    run = Evaluation(root(MAP, on_failure=FailurePolicy.COLLECT), *(step(name) for name in names))
    run.fail("b", error="no")
    assert run.waiting == ["a", "c"]
    run.answer("c", '"C"')
    run.answer("a", '"A"')
    details = json.loads(run.failed().details_json)
    assert (details["failed"], details["total"]) == ([1], 3)
    assert [part["content"] for part in details["partial_results"]] == ["A", "C"]


def test_a_map_that_fails_fast_stops_the_others() -> None:
    run = Evaluation(root(SEQUENTIAL), step("m", type=MAP), *(step(n, 1) for n in "abc"))
    run.answer("m/a", '"A"')
    run.fail("m/b", error="no")
    assert [x.outcome for x in run.log.facts if isinstance(x, f.AttemptEnded)][-1] is f.Outcome.CANCELLED
    assert [x.task_id for x in run.log.facts if isinstance(x, f.TaskFailed)] == [
        "task-1/m/b", "task-1/m", "task-1"
    ]  # fmt: skip


def test_arguments_are_evaluated_side_by_side_and_fill_the_inputs() -> None:
    run = Evaluation(
        root(instructions="{{x}} and {{y}}", inputs=inputs(x="", y="", z="plain")),
        step("x", role=Role.ARGUMENT),
        step("y", role=Role.ARGUMENT),
    )
    assert run.waiting == ["x.argument", "y.argument"]
    run.answer("y.argument", '"Y"')
    run.answer("x.argument", '{"content":"X{{y}}"}')
    assert run.given["task-1"].instructions == "X{{y}} and Y"
    assert [(i.step_id, i.output) for i in run.given["task-1"].inputs][-1] == ("z", '"plain"')


def test_a_name_that_is_bound_nowhere_fails_before_any_arm_is_asked() -> None:
    run = Evaluation(root(SEQUENTIAL), step("s", instructions="{{ nobody }}"))
    assert run.given == {}
    assert run.failed("s").message == "Missing required input: nobody"


def test_names_are_looked_up_outward_and_filled_once() -> None:
    run = Evaluation(
        root(SEQUENTIAL, inputs=inputs(who="{{name}}")),
        step("first"),
        step("second", instructions="{{who}} {{first}} {{n}}"),
        context_json='{"n":{"b":1,"a":[2.50]},"name":"Ada"}',
    )
    run.answer("first", '{"content":"{{who}}"}')
    assert run.given["task-1/second"].instructions == 'Ada {{who}} {"a":[2.50],"b":1}'


def test_a_text_that_grows_without_end_is_refused_in_time() -> None:
    nested = [root(SEQUENTIAL, inputs=inputs(x="0123456789" * 100))]
    nested += [step("s", depth, type=SEQUENTIAL, inputs=inputs(x="{{x}}" * 10)) for depth in range(8)]
    run = Evaluation(*nested, step("s", 8, instructions="{{x}}"))
    assert run.failed().code == "INPUT_TOO_LARGE"
    assert run.given == {}


@pytest.mark.parametrize(
    ("flags", "mode", "context"),
    [
        ({"inherit_context": True}, ContextMode.INHERIT, {"a": "b"}),
        ({}, ContextMode.FRESH, {}),
        (
            {"accumulate_data": True},
            ContextMode.ACCUMULATE,
            {"history": [{"content": "one", "notes": {}, "step": "s0"}]},
        ),
        (
            {"accumulate_data": True, "fresh_context": FreshContext.DISABLED},
            ContextMode.HISTORY,
            {"history": [{"content": "one", "notes": {}, "step": "s0"}]},
        ),
        ({"inherit_context": True, "fresh_context": FreshContext.DISABLED}, ContextMode.INHERIT, {"a": "b"}),
        ({"fresh_context": FreshContext.ENABLED}, ContextMode.FRESH, {}),
        ({"fresh_context": FreshContext.DISABLED}, ContextMode.MINIMAL, {}),
    ],
)
def test_each_mode_gives_its_context(
    flags: dict[str, Any], mode: ContextMode, context: dict[str, Any]
) -> None:
    run = Evaluation(*five(**flags), context_json='{"a":"b"}')
    run.answer("s0", '"one"')
    given = run.given["task-1/s1"]
    assert (given.context_mode, json.loads(given.context_json)) == (mode, context)


@pytest.mark.parametrize(
    ("fresh", "mode"),
    [(FreshContext.ENABLED, ContextMode.FRESH), (FreshContext.DISABLED, ContextMode.MINIMAL)],
)
@pytest.mark.parametrize("around", [{"inherit_context": True}, {"accumulate_data": True}])
def test_a_fresh_context_inherits_nothing_whatever_stands_around_it(
    around: dict[str, Any], fresh: FreshContext, mode: ContextMode
) -> None:
    program = (
        root(SEQUENTIAL, **around),
        step("s0", instructions="one"),
        step("s1", type=SEQUENTIAL, fresh_context=fresh),
        step("inner", 2, instructions="two"),
        step("below", 2, instructions="three", inherit_context=True),
    )
    run = Evaluation(*program, context_json='{"a":"b"}')
    run.answer("s0", '"one"')
    run.answer("s1/inner", '"two"')
    inner, below = run.given["task-1/s1/inner"], run.given["task-1/s1/below"]
    assert (inner.context_mode, inner.context_json) == (mode, "{}")
    assert (below.context_mode, below.context_json) == (ContextMode.INHERIT, "{}"), "nothing comes through"


def test_a_subtask_may_do_without_memory_and_never_inherits() -> None:
    subtask = AtomicTaskSubtype.SUBTASK
    for fresh, mode in (
        (FreshContext.UNSAID, ContextMode.FRESH),
        (FreshContext.ENABLED, ContextMode.FRESH),
        (FreshContext.DISABLED, ContextMode.MINIMAL),
    ):
        program = (
            root(SEQUENTIAL, inherit_context=True),
            step("s0", subtype=subtask, fresh_context=fresh, accumulate_data=True),
        )
        given = Evaluation(*program, context_json='{"a":"b"}').given["task-1/s0"]
        assert (given.context_mode, given.context_json) == (mode, "{}")


@pytest.mark.parametrize(
    ("letters", "chars", "kept"), [("012", 40_000, 1), ('0""', 20_000, 1), ("\\\\\\", 20_000, 1)]
)
def test_a_history_is_bounded_with_names_and_escapes_and_says_that_it_was_cut(
    letters: str, chars: int, kept: int
) -> None:
    run = Evaluation(*five(accumulate_data=True))
    for number, letter in enumerate(letters):
        run.answer(f"s{number}", json.dumps(letter * chars))
    text = run.given["task-1/s3"].context_json
    given = json.loads(text)
    assert given["truncated"] is True
    assert [len(entry["content"]) for entry in given["history"]][kept:] == [chars]
    entries = text.removeprefix('{"history":[').removesuffix('],"truncated":true}')
    assert 65_536 - 2 <= len(entries) + 1 <= 65_536, "an escape has no room for half of it"
