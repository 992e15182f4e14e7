"""Programs of operators: what starts, what each attempt is given, and how they end."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from octolog.domain import facts as f
from octolog.domain.assignment import AttemptAssignment
from octolog.domain.ids import TaskId
from octolog.domain.operators import (
    ATOMIC,
    ContextMode,
    FailurePolicy,
    Operator,
    OperatorInput,
    RecoveryKind,
    Role,
    SubtaskRequest,
)
from octolog.domain.tasksystem import AccumulationFormat, AtomicTaskSubtype, NamedText, TaskType
from octolog.domain.values import Limits, RetryPolicy, TaskError, TaskErrorType
from octolog.testing import ArmsTopic, ShardLog, cancel, capability, failure, submit, success

SEQUENTIAL, MAP, REDUCE = TaskType.SEQUENTIAL, TaskType.MAP, TaskType.REDUCE
EXHAUSTED = TaskError(TaskErrorType.RESOURCE_EXHAUSTION, "turns: 3 of 3", resource="turns", used=3, limit=3)
UNPARSABLE = TaskError(TaskErrorType.XML_PARSE_ERROR, "unclosed tag", location="3:7")


def root(kind: TaskType = TaskType.ATOMIC, **fields: Any) -> Operator:
    return _operator(type=kind, **fields)


def step(name: str, parent: int = 0, role: Role = Role.STEP, **fields: Any) -> Operator:
    return _operator(name=name, parent=parent, role=role, **fields)


def _operator(**fields: Any) -> Operator:
    compound = fields.get("type", TaskType.ATOMIC) is not TaskType.ATOMIC
    return replace(ATOMIC, **({"subtype": AtomicTaskSubtype.NONE if compound else ATOMIC.subtype} | fields))


def inputs(**texts: str) -> tuple[OperatorInput, ...]:
    return tuple(OperatorInput(name, text) for name, text in texts.items())


class Evaluation:
    """A program in a partition in memory, whose arm the test is."""

    def __init__(self, *program: Operator, **contract: Any) -> None:
        self.log = ShardLog(ArmsTopic(capability("arm-a")))
        self.log.send(submit(operators=program, **contract))
        self.open: dict[str, AttemptAssignment] = {}
        self.given: dict[str, AttemptAssignment] = {}
        self._take()

    def answer(self, task: str, output: str = '"done"', **fields: Any) -> None:
        self.log.send(success(self.open.pop(_id(task)), output, **fields))
        self._take()

    def fail(self, task: str, task_error: TaskError | None = None, **fields: Any) -> None:
        if task_error is not None:
            fields = {"error_code": str(task_error.type), "task_error": task_error} | fields
        self.log.send(failure(self.open.pop(_id(task)), **fields))
        self._take()

    @property
    def waiting(self) -> list[str]:
        return [task_id.removeprefix("task-1").removeprefix("/") for task_id in self.open]

    @property
    def end(self) -> f.Fact:
        return self.log.facts[-1]

    def output(self) -> str:
        end = self.end
        assert isinstance(end, f.TaskCompleted), end
        assert end.task_id == "task-1"
        return end.output

    def failed(self, task: str = "") -> f.TaskFailed:
        return next(x for x in self.log.facts if isinstance(x, f.TaskFailed) and x.task_id == _id(task))

    def started(self) -> list[str]:
        return [x.task_id for x in self.log.facts if isinstance(x, f.OperatorStarted)]

    def _take(self) -> None:
        for assignment in self.log.take_assignments():
            self.open[assignment.task_id] = self.given[assignment.task_id] = assignment
        self.log.verify()


def _id(task: str) -> str:
    return f"task-1/{task}" if task else "task-1"


def five(**fields: Any) -> tuple[Operator, ...]:
    return (root(SEQUENTIAL, **fields), *(step(f"s{n}") for n in range(5)))


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
    ],
)
def test_each_mode_gives_its_context(
    flags: dict[str, bool], mode: ContextMode, context: dict[str, Any]
) -> None:
    run = Evaluation(*five(**flags), context_json='{"a":"b"}')
    run.answer("s0", '"one"')
    given = run.given["task-1/s1"]
    assert (given.context_mode, json.loads(given.context_json)) == (mode, context)


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
