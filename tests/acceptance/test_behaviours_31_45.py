"""What the task system must do, behaviour by behaviour, on the production code in memory."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from arms.handler import Handler, HandlerConfig, LimitReached
from octolog.domain import facts as f
from octolog.domain.assignment import AttemptAssignment
from octolog.domain.operators import (
    ATOMIC,
    ContextMode,
    Operator,
    OperatorInput,
    Program,
    RecoveryKind,
    Role,
    SubtaskRequest,
)
from octolog.domain.reports import ExecutionResult
from octolog.domain.tasksystem import (
    AtomicTaskSubtype,
    NamedText,
    RevisedTaskResult,
    TaskResult,
    TaskTemplate,
    TaskType,
)
from octolog.domain.templates.errors import DocumentRefused
from octolog.domain.templates.matching import match_text, score
from octolog.domain.templates.records import TemplateRegistered
from octolog.domain.templates.spec import downcast, task_result_of, upcast
from octolog.domain.values import NOTHING, Amounts, TaskError, TaskErrorType
from octolog.testing import ArmsTopic, ShardLog, capability, failure, step, submit, success
from schemas.xml.builtin import BUILTINS, builtin
from schemas.xml.models import known_models
from schemas.xml.reader import judge, read_ast, read_program
from schemas.xml.writer import write_ast
from tests.acceptance.evaluation import ROOT, Evaluation, broken, given, said
from tests.unit.arms.doubles import RecordingMeter, assignment

TEMPLATE = (
    """<task><instructions>Read {}</instructions><system>You read.</system><model>sonnet</model>{}</task>"""
)

FIVE = """<task type="sequential"><description>Five steps.</description>{}<steps>
  <task type="atomic" name="one"><description>1</description><instructions>one</instructions></task>
  <task type="atomic" name="two"><description>2</description><instructions>two {{{{one}}}}</instructions></task>
  <task type="atomic" name="three"><description>3</description><instructions>three</instructions></task>
  <task type="atomic" name="four"><description>4</description><instructions>four</instructions></task>
  <task type="atomic" name="five"><description>5</description><instructions>five</instructions></task>
</steps></task>"""

CONTEXT = """<context_management><inherit_context>{}</inherit_context><accumulate_data>{}</accumulate_data>
<accumulation_format>{}</accumulation_format></context_management>"""

SQUARES = """<task type="reduce"><description>Sum of squares.</description><initial_value>0</initial_value>
<inputs><input name="a">3</input><input name="b">4</input><input name="c">5</input></inputs>
<inner_task><task type="atomic"><description>Square.</description>
  <instructions>square {{current_input}}</instructions></task></inner_task>
<reduction_task><task type="atomic"><description>Add.</description>
  <instructions>add {{current_result}} to {{accumulator}}</instructions></task></reduction_task></task>"""

THREE = """<task type="map"{}><description>Three at once.</description>
<inputs><input name="a">3</input><input name="b">4</input><input name="c">5</input></inputs>
<inner_task><task type="atomic"><description>Square.</description>
  <instructions>square {{{{current_input}}}}</instructions></task></inner_task></task>"""

ONE = """<task type="atomic"{}><description>One task.</description><instructions>{}</instructions>{}</task>"""

TWO_HALVES = """<task type="sequential"><description>Halves.</description><steps>
  <task type="atomic" name="first"><description>1</description><instructions>first half</instructions></task>
  <task type="atomic" name="second"><description>2</description>
    <instructions>second half after {{first}}</instructions></task></steps></task>"""


def echo(of: AttemptAssignment) -> ExecutionResult:
    return success(of, said(of.instructions))


def calculate(of: AttemptAssignment) -> ExecutionResult:
    """Squares and sums what the instructions say."""
    words = of.instructions.split()
    number = int(words[1]) ** 2 if words[0] == "square" else int(words[1]) + int(words[3])
    return success(of, said(str(number)))


def rejected(program: Program) -> f.RequestRejected:
    log = ShardLog(ArmsTopic(capability("arm-a")))
    [fact] = log.send(submit(ROOT, operators=program))
    assert isinstance(fact, f.RequestRejected), fact
    return fact


# ---------------------------------------------------------------------------- 31, 32: templates and inputs


def test_31_what_is_wrong_with_a_template_is_told_by_kind_path_and_place() -> None:
    one = judge(TEMPLATE.format("it", "<manual_xml>1</manual_xml>"))
    assert (one.xml.xml_valid, one.xml.schema_valid) == (True, False)
    assert one.errors[0].type is TaskErrorType.VALIDATION_ERROR
    twice = judge(TEMPLATE.format("it", '<inputs><input name="a"/><input name="a"/></inputs>'))
    assert twice.errors[0].type is TaskErrorType.VALIDATION_ERROR
    assert twice.errors[0].path is not None
    assert "input" in twice.errors[0].path
    unknown = judge(TEMPLATE.format("it", "").replace("sonnet", "no-such-model"), known_models())
    assert [(error.type, error.invalid_model) for error in unknown.errors] == [
        (TaskErrorType.VALIDATION_ERROR, True)
    ]
    verdict = unknown.template
    assert (verdict.model_valid, verdict.template_valid, verdict.inputs_valid) == (False, True, True)
    unclosed = judge("<task><instructions>it</task>")
    assert [error.type for error in unclosed.errors] == [TaskErrorType.XML_PARSE_ERROR]
    assert unclosed.errors[0].location is not None
    assert unclosed.errors[0].location.startswith("1:")


def test_32_an_input_without_text_is_a_warning_and_an_unbound_name_fails_before_any_arm() -> None:
    verdict = judge(TEMPLATE.format("{{paper}}", '<inputs><input name="paper"/></inputs>'))
    assert verdict.valid
    assert len(verdict.warnings) == 1
    run = Evaluation(ONE.format("", "Read {{paper}}", ""), echo).run()
    assert run.failure().message == "Missing required input: paper"
    assert run.asked == []


# ------------------------------------------------------------------------------------- 33, 34: the handler


class Session:
    """A handler and what it reports."""

    def __init__(self, config: HandlerConfig) -> None:
        self.meter = RecordingMeter()
        self.handler = Handler(assignment(), self.meter, config=config)

    def turn(self) -> None:
        async def call() -> None:
            async with self.handler.model_call("sonnet", NOTHING) as made:
                made.settle(Amounts(calls=1))

        asyncio.run(call())


def test_33_the_turn_after_the_last_is_refused_before_the_call() -> None:
    session = Session(HandlerConfig(max_turns=3))
    warnings: list[int] = []
    for _ in range(3):
        session.turn()
        warnings.append(len(session.meter.warnings))
    assert warnings == [0, 0, 1]
    records = len(session.meter.records)
    with pytest.raises(LimitReached) as refused:
        session.turn()
    assert (refused.value.resource, refused.value.used, refused.value.limit) == ("turns", 3, 3)
    assert len(session.meter.records) == records
    ten = Session(HandlerConfig(max_turns=10))
    for turn in range(1, 11):
        ten.turn()
        assert len(ten.meter.warnings) == (turn >= 8), turn


def test_34_context_may_fill_its_limit_exactly_and_not_one_token_more() -> None:
    session = Session(HandlerConfig(max_context_fraction=0.8))
    session.handler.add_context(100_000, "sonnet")
    assert session.meter.warnings == []
    session.handler.add_context(44_000, "sonnet")
    assert len(session.meter.warnings) == 1
    with pytest.raises(LimitReached) as refused:
        session.handler.add_context(1, "sonnet")
    error = refused.value.task_error
    assert error.type is TaskErrorType.RESOURCE_EXHAUSTION
    assert (error.resource, error.used, error.limit) == ("context", 144_000, 144_000)
    used = session.handler.used
    assert (used.context_tokens, used.peak_context_tokens) == (144_000, 144_000)


# ------------------------------------------------------------------------------------------ 35, 36: recovery


def exhausted_once(of: AttemptAssignment) -> ExecutionResult:
    """Too much for one attempt, and split in two by whoever is asked to."""
    if of.task_id == ROOT:
        kind = TaskErrorType.RESOURCE_EXHAUSTION
        return broken(of, TaskError(kind, "too large", resource="turns", used=3, limit=3))
    if of.recovery is not None:
        return success(of, said("split"), operators=read_program(TWO_HALVES))
    return echo(of)


def test_35_exhaustion_leads_to_one_decomposition_whose_program_is_evaluated() -> None:
    run = Evaluation(ONE.format("", "a large task", ""), exhausted_once).run()
    assert run.ids() == [
        ROOT,
        f"{ROOT}/recovery-1",
        f"{ROOT}/decomposed-1/first",
        f"{ROOT}/decomposed-1/second",
    ]
    recovery = run.of("recovery-1").recovery
    assert recovery is not None
    assert (recovery.kind, recovery.number) == (RecoveryKind.DECOMPOSITION, 1)
    assert (recovery.error.resource, recovery.error.used, recovery.error.limit) == ("turns", 3, 3)
    assert recovery.instructions == "a large task"
    assert run.output() == said("second half after first half")
    assert len(run.facts(f.RecoveryStarted)) == len(run.facts(f.ProgramAdopted)) == 1


def test_35_without_reparsing_exhaustion_fails_at_once() -> None:
    flag = "<disable_reparsing>true</disable_reparsing>"
    run = Evaluation(ONE.format("", "a large task", flag), exhausted_once).run()
    assert run.ids() == [ROOT]
    assert run.failure().code == "RESOURCE_EXHAUSTION"
    assert run.facts(f.RecoveryStarted) == []


def test_35_malformed_decompositions_are_counted_and_the_second_is_the_last() -> None:
    def answer(of: AttemptAssignment) -> ExecutionResult:
        if of.recovery is None:
            return exhausted_once(of)
        try:
            read_program("<task type='sequential'><steps>")
        except DocumentRefused as refused:
            return broken(of, refused.error)
        raise AssertionError("malformed XML was read")

    run = Evaluation(ONE.format("", "a large task", ""), answer).run()
    assert run.ids() == [ROOT, f"{ROOT}/recovery-1", f"{ROOT}/recovery-2"]
    assert run.failure().code == "XML_PARSE_ERROR"


def test_36_an_invalid_output_leads_to_another_approach_that_knows_what_was_wrong() -> None:
    wrong = said("half an answer", why="guessed")

    def answer(of: AttemptAssignment) -> ExecutionResult:
        if of.recovery is not None:
            return success(of, said("a better answer"))
        error = TaskError(TaskErrorType.INVALID_OUTPUT, "not cited", violations=("no sources",))
        return broken(of, error, wrong)

    run = Evaluation(ONE.format("", "cite it", ""), answer).run()
    assert run.ids() == [ROOT, f"{ROOT}/recovery-1"]
    recovery = run.of("recovery-1").recovery
    assert recovery is not None
    assert recovery.kind is RecoveryKind.ALTERNATIVE
    assert recovery.error.violations == ("no sources",)
    assert recovery.output == wrong
    assert run.facts(f.ProgramAdopted) == []
    assert run.output() == said("a better answer")


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


# ----------------------------------------------------------------------------------------- 41, 42: results


def test_41_a_task_result_without_data_usage_is_invalid_and_the_two_string_form_is_read() -> None:
    broken_result = task_result_of({"content": "x", "notes": {"other": 1}})
    assert isinstance(broken_result, TaskError)
    assert broken_result.type is TaskErrorType.INVALID_OUTPUT
    assert any("dataUsage" in violation for violation in broken_result.violations)
    revised = RevisedTaskResult("x", "read two files")
    assert task_result_of({"content": "x", "notes": "read two files"}) == upcast(revised)
    assert upcast(revised).data_usage == "read two files"
    assert upcast(downcast(TaskResult("x", "read two files"))) == TaskResult("x", "read two files")


@pytest.mark.parametrize(
    ("declared", "content", "fits"),
    [
        ("string[]", '["a.txt"]', True),
        ("json", '["a.txt"]', True),
        ("array", '[1,{"a":null}]', True),
        ("object", "[1]", False),
        ("object", "null", False),
        ("string[]", "[1]", False),
        ("number", "1.50", True),
        ("number", '"1.50"', False),
        ("boolean", "true", True),
        ("json", "just words", False),
    ],
)
def test_42_a_declared_type_is_checked_and_the_content_stays_as_it_is(
    declared: str, content: str, fits: bool
) -> None:
    flags = f'<disable_reparsing>true</disable_reparsing><output_format type="{declared}"/>'
    run = Evaluation(ONE.format("", "list them", flags), lambda of: success(of, said(content))).run()
    if fits:
        assert run.output() == said(content)
    else:
        failed = run.failure()
        assert (failed.code, failed.task_error is not None) == ("INVALID_OUTPUT", True)


def test_42_the_violation_names_the_type_expected_and_the_actual_one() -> None:
    flags = '<disable_reparsing>true</disable_reparsing><output_format type="string[]"/>'
    run = Evaluation(ONE.format("", "list them", flags), lambda of: success(of, said('{"a":1}'))).run()
    error = run.failure().task_error
    assert error is not None
    [violation] = error.violations
    assert "array of strings" in violation
    assert "object" in violation


def test_42_without_a_declared_type_anything_is_a_text() -> None:
    run = Evaluation(ONE.format("", "say", ""), lambda of: success(of, '"{ no json"')).run()
    assert run.output() == '"{ no json"'


# ------------------------------------------------------------------------------------------ 43: matching


def template(name: str, description: str, task_type: TaskType = TaskType.ATOMIC) -> TemplateRegistered:
    body = TaskTemplate(description, "", "sonnet") if task_type is TaskType.ATOMIC else None
    return TemplateRegistered(name, "1", description, task_type, body, "0" * 64, "<task/>", "tester")


def test_43_at_most_five_atomic_templates_match_best_first_and_always_the_same() -> None:
    wanted = "Generate a report from my data"
    said_by = [
        "Process data and generate report",
        "Generate a report",
        "Generate a report from data",
        "A report from my data",
        "Data report",
        "Find files",
        "Generate my report",
        "Report from data",
    ]
    known = [template(f"t{number}", text) for number, text in enumerate(said_by)]
    known.append(template("all-at-once", wanted, TaskType.SEQUENTIAL))
    found = match_text(wanted, known)
    assert 0 < len(found) <= 5
    assert [match.score for match in found] == sorted((match.score for match in found), reverse=True)
    assert all(0.0 <= match.score <= 1.0 for match in found)
    assert {match.name for match in found} <= {one.name for one in known if one.task_type is TaskType.ATOMIC}
    assert found == match_text(wanted, reversed(known))
    assert {match.name for match in found}.isdisjoint(BUILTINS)
    assert all(builtin(name).template is not None for name in BUILTINS)
    assert score("Find files related to this query", "Find relevant files for query") == 0.375


# ------------------------------------------------------------------------------------------ 44: subtasks


def test_44_a_subtype_stands_on_atomic_tasks_alone() -> None:
    verdict = judge(FIVE.format("").replace('type="sequential"', 'type="sequential" subtype="subtask"'))
    assert [error.type for error in verdict.errors] == [TaskErrorType.VALIDATION_ERROR]
    sequence = replace(ATOMIC, type=TaskType.SEQUENTIAL, subtype=AtomicTaskSubtype.SUBTASK)
    step = Operator("a", 0, Role.STEP, TaskType.ATOMIC)
    assert rejected((sequence, step)).code == "VALIDATION_ERROR"


def asking(goals: list[str]) -> Evaluation:
    """Every task asks for one subtask more, as long as there are goals."""

    def answer(of: AttemptAssignment) -> ExecutionResult:
        depth = of.task_id.count("/subtask-")
        if depth == len(goals) or of.continuation is not None:
            return echo(of)
        request = SubtaskRequest(goals[depth], "go {{n}}", (NamedText("n", goals[depth]),))
        return success(of, said("later"), subtask=request, continuation_json='{"at":1}')

    return Evaluation(ONE.format("", "start", ""), answer).run()


def test_44_a_parent_goes_on_with_what_its_subtask_gave() -> None:
    run = asking(["one"])
    assert run.ids() == [ROOT, f"{ROOT}/subtask-1", ROOT]
    child, again = run.asked[1:]
    assert (child.instructions, child.context_json) == ("go one", "{}")
    assert again.continuation is not None
    assert (again.continuation.content, again.continuation.continuation_json) == ("go one", '{"at":1}')
    assert run.output() == said("start")


def test_44_the_sixth_subtask_of_a_chain_is_halted() -> None:
    assert asking(["1", "2", "3", "4", "5"]).output() == said("start")
    run = asking(["1", "2", "3", "4", "5", "6"])
    assert len(run.facts(f.SubtaskRequested)) == 5
    halted, root = run.failure("/".join(["subtask-1"] * 5)), run.failure()
    assert halted.task_error is not None
    assert root.task_error is not None
    assert (halted.task_error.reason, root.task_error.reason) == ("execution_halted", "subtask_failure")
    assert (root.code, root.message) == (halted.code, halted.message)


def test_44_the_same_request_within_a_chain_is_halted_as_a_cycle() -> None:
    run = asking(["1", "2", "1"])
    assert len(run.facts(f.SubtaskRequested)) == 2
    error = run.failure("subtask-1/subtask-1").task_error
    assert error is not None
    assert error.reason == "execution_halted"


def far_down() -> Program:
    """A task whose id has 250 characters."""
    names = ["n" * 61] * 3 + ["n" * 60]
    sequences = (Operator(name, at, Role.STEP, TaskType.SEQUENTIAL) for at, name in enumerate(names[:3]))
    root = Operator("", -1, Role.ROOT, TaskType.SEQUENTIAL)
    return (root, *sequences, Operator(names[3], 3, Role.STEP, TaskType.ATOMIC, instructions="x"))


def test_44_a_subtask_whose_id_would_be_too_long_is_halted() -> None:
    asks = SubtaskRequest("more", "go")
    run = Evaluation(far_down(), lambda of: success(of, said("later"), subtask=asks)).run()
    assert [len(of.task_id) for of in run.asked] == [250]
    assert run.failure().code == "TASK_FAILURE"


def test_44_a_planned_step_never_takes_the_id_of_what_a_program_makes() -> None:
    program = (
        replace(ATOMIC, inputs=(OperatorInput("x"),), instructions="top {{x}}", disable_reparsing=True),
        Operator("x", 0, Role.ARGUMENT, TaskType.ATOMIC, instructions="argument"),
    )

    def answer(of: AttemptAssignment) -> ExecutionResult:
        return success(of, said("planned"), plan=(step("x.argument"),)) if of.task_id == ROOT else echo(of)

    run = Evaluation(program, answer).run()
    assert run.ids() == [f"{ROOT}/x.argument", ROOT]
    assert run.failure().code == "INVALID_OUTPUT"


def test_35_a_recovery_whose_id_would_be_too_long_is_not_made() -> None:
    error = TaskError(TaskErrorType.RESOURCE_EXHAUSTION, "too large")
    run = Evaluation(far_down(), lambda of: broken(of, error)).run()
    assert [len(of.task_id) for of in run.asked] == [250]
    assert run.failure().code == "RESOURCE_EXHAUSTION"


# ------------------------------------------------------------------------------------------ 45: round trip


@pytest.mark.parametrize(
    "document",
    [
        FIVE.format(CONTEXT.format("false", "true", "notes_only")),
        SQUARES,
        THREE.format(' on_failure="fail_fast"'),
        ONE.format(' subtype="subtask"', "x", ""),
        TWO_HALVES,
    ],
)
def test_45_a_document_read_written_and_read_again_is_the_same(document: str) -> None:
    tree = read_ast(document)
    assert read_ast(write_ast(tree)) == tree
    assert read_program(write_ast(tree)) == read_program(document)
