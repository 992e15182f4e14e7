"""Results, matching, subtasks and documents, behaviour by behaviour, on the production code in memory."""

from __future__ import annotations

from dataclasses import replace

import pytest

from octolog.domain import facts as f
from octolog.domain.assignment import AttemptAssignment
from octolog.domain.operators import (
    ATOMIC,
    Operator,
    OperatorInput,
    Program,
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
from octolog.domain.templates.matching import match_text, score
from octolog.domain.templates.records import TemplateRegistered
from octolog.domain.templates.spec import downcast, task_result_of, upcast
from octolog.domain.values import TaskError, TaskErrorType
from octolog.testing import step, success
from schemas.xml.builtin import BUILTINS, builtin
from schemas.xml.reader import judge, read_ast, read_program
from schemas.xml.writer import write_ast
from tests.acceptance.evaluation import ROOT, Evaluation, broken, said
from tests.acceptance.programs import CONTEXT, FIVE, ONE, SQUARES, THREE, TWO_HALVES, echo, rejected

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
