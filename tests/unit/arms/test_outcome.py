"""From what an arm gave back, or raised, to its result; and the definition of arms."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml

from arms import topics
from arms.arm import Answer, Arm, Fail, Retry, arm
from arms.builtin import BUILTIN, GROUPS
from arms.handler import DeadlinePassed, Handler, LimitReached
from arms.outcome import Outcomes, canonical_json
from arms.work import Work
from octolog.domain.contract import Step
from octolog.domain.errors import BrokerUnavailable, BudgetRefused, InvalidContract, OctologError
from octolog.domain.operators import ATOMIC, SubtaskRequest
from octolog.domain.reports import ExecutionResult, ResultStatus
from octolog.domain.rules import check_capability, check_report
from octolog.domain.values import TaskError, TaskErrorType
from tests.unit.arms.doubles import RecordingMeter, assignment


@arm("arm", capabilities=("tag",), version="7")
def echo(work: Work) -> dict[str, str]:
    return {"goal": work.goal}


GIVEN = assignment(context={"b": 1}, inputs={"first": [1, 2]})


def result_of(value: Any, made: Arm = echo) -> ExecutionResult:
    handler = Handler(GIVEN, RecordingMeter())
    result = Outcomes(made).of(GIVEN, value, handler, took_ms=5, ended_ms=99)
    check_report(result)
    return result


def result_of_error(error: BaseException) -> ExecutionResult:
    handler = Handler(GIVEN, RecordingMeter())
    result = Outcomes(echo).of_error(GIVEN, error, handler, took_ms=5, ended_ms=99)
    check_report(result)
    return result


def test_an_output_is_canonical_json_and_its_hash_is_over_these_bytes() -> None:
    result = result_of({"b": [1, None], "a": "ü"})
    assert result.output == '{"a":"ü","b":[1,null]}'
    assert result.provenance.output_hash == sha256(result.output.encode()).hexdigest()
    assert (result.status, result.execution_time_ms, result.provenance.timestamp_ms) == (
        ResultStatus.SUCCESS,
        5,
        99,
    )


def test_the_command_hash_names_arm_version_and_command() -> None:
    plain, told = result_of({}), result_of(Answer({}, command="ls -l"))
    expected = sha256(canonical_json({"arm_id": "arm", "command": "ls -l", "version": "7"})).hexdigest()
    assert told.provenance.command_hash == expected
    assert plain.provenance.command_hash != expected
    assert 'return {"goal": work.goal}' in echo.command


def test_other_inputs_give_another_input_hash() -> None:
    other = assignment(context={"b": 1}, inputs={"first": [1, 3]})
    outcomes, handler = Outcomes(echo), Handler(GIVEN, RecordingMeter())
    hashes = {
        outcomes.of(a, 1, handler, took_ms=0, ended_ms=0).provenance.input_hash for a in (GIVEN, other, GIVEN)
    }
    assert len(hashes) == 2


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (object(), "INVALID_OUTPUT"),
        ({1: 2}, "INVALID_OUTPUT"),
        (Answer({}, confidence=1.2), "INVALID_OUTPUT"),
        (Answer({}, confidence=float("nan")), "INVALID_OUTPUT"),
        ("x" * 262_200, "INVALID_OUTPUT"),
        (Answer({}, plan=(Step("s", "g", depends_on=("later",)),)), "INVALID_PLAN"),
        (Answer({}, plan=tuple(Step(f"s{n}", "g") for n in range(11))), "INVALID_PLAN"),
    ],
    ids=["no-json", "no-text-key", "confidence", "nan", "too-long", "plan", "long-plan"],
)
def test_what_cannot_be_an_output_is_a_failure_that_says_so(value: Any, code: str) -> None:
    result = result_of(value)
    assert (result.status, result.error_code, result.retryable) == (
        ResultStatus.FAILURE,
        code,
        False,
    )
    assert result.error
    assert len(result.error.splitlines()) == 1
    assert result.output == ""


def test_an_output_of_exactly_256_kib_is_taken() -> None:
    assert result_of("x" * (256 * 1024 - 2)).status is ResultStatus.SUCCESS


def test_data_sources_are_bounded_and_the_rest_is_counted() -> None:
    sources = result_of(Answer({}, data_sources=tuple(map(str, range(250))))).provenance.data_sources
    assert (len(sources), sources[-1]) == (201, "and 50 more")


def test_names_that_are_no_unicode_are_written_with_escapes() -> None:
    sources = result_of(Answer({}, data_sources=("caf\udce9.md", "ü"))).provenance.data_sources
    assert sources == ("caf\\udce9.md", "ü")
    assert result_of_error(Fail("caf\udce9.md")).error == "caf\\udce9.md"


@pytest.mark.parametrize(
    ("error", "code", "retryable", "text"),
    [
        (Fail("no such page", "NOT_FOUND"), "NOT_FOUND", False, "no such page"),
        (Retry("busy"), "TRANSIENT", True, "busy"),
        (BudgetRefused("tokens"), "BUDGET_EXCEEDED", False, "tokens"),
        (DeadlinePassed("late"), "EXECUTION_TIMEOUT", True, "late"),
        (InvalidContract("INVALID_PLAN", "plan", "loop"), "INVALID_PLAN", False, "INVALID_PLAN: plan: loop"),
        (BrokerUnavailable("away"), "BROKER_UNAVAILABLE", True, "away"),
        (OctologError(), "OCTOLOG_ERROR", False, "OctologError: "),
        (ConnectionResetError("gone"), "EXTERNAL", True, "ConnectionResetError: gone"),
        (ValueError("two\nlines"), "ARM_ERROR", False, "ValueError: two lines"),
    ],
)
def test_an_error_keeps_its_code_and_says_whether_a_retry_can_help(
    error: Exception, code: str, retryable: bool, text: str
) -> None:
    result = result_of_error(error)
    assert (result.error_code, result.retryable, result.error) == (code, retryable, text)


def test_a_limit_reached_carries_the_task_systems_error() -> None:
    told = result_of_error(LimitReached("context", 5, 5)).task_error
    assert told is not None
    assert (told.type, told.resource, told.used, told.limit) == (
        TaskErrorType.RESOURCE_EXHAUSTION,
        "context",
        5,
        5,
    )


def test_a_program_and_a_subtask_come_with_the_result() -> None:
    program = (replace(ATOMIC, goal="again"),)
    assert result_of(Answer({}, operators=program)).operators == program
    request = SubtaskRequest("help")
    waiting = result_of(Answer({}, subtask=request, continuation={"b": 1, "a": 2}))
    assert (waiting.subtask, waiting.continuation_json) == (request, '{"a":2,"b":1}')
    assert result_of({}).continuation_json == "{}"


def test_what_is_to_be_found_again_has_its_bound() -> None:
    long = result_of(Answer({}, subtask=SubtaskRequest("help"), continuation={"a": "x" * 262_144}))
    assert (long.status, long.error_code) == (ResultStatus.FAILURE, "INVALID_OUTPUT")


def test_36_a_failure_keeps_what_there_is_of_an_answer_and_the_rules_it_broke() -> None:
    error = TaskError(TaskErrorType.INVALID_OUTPUT, "no sources", violations=("cite",))
    result = result_of_error(
        Fail("no sources", "INVALID_OUTPUT", task_error=error, output={"content": "half"})
    )
    assert (result.output, result.task_error) == ('{"content":"half"}', error)
    assert result.provenance.output_hash == sha256(result.output.encode()).hexdigest()
    assert result_of_error(Fail("x", output=object())).output == ""
    assert result_of_error(Fail("x", output="x" * 262_144)).output == ""


def test_what_cannot_be_an_output_is_told_as_the_rule_it_broke() -> None:
    told = result_of("x" * 262_200).task_error
    assert told is not None
    assert told.type is TaskErrorType.INVALID_OUTPUT
    assert told.violations == (told.message,)


def test_a_kept_answer_and_a_continuation_hold_no_personal_data() -> None:
    kept = result_of_error(Fail("x", output={"content": "mail alice@example.com"}))
    assert "alice" not in kept.output
    waiting = result_of(Answer({}, subtask=SubtaskRequest("help"), continuation={"a": "alice@example.com"}))
    assert "alice" not in waiting.continuation_json


def test_work_gives_context_and_inputs_parsed() -> None:
    work = Work(GIVEN, Handler(GIVEN, RecordingMeter()))
    assert (work.context, work.inputs, work.constraints) == ({"b": 1}, {"first": [1, 2]}, {})
    assert echo(work) == {"goal": "a goal"}


def test_an_arm_out_of_bounds_is_refused_where_it_is_defined() -> None:
    with pytest.raises(InvalidContract, match="arm_id"):
        arm("No Id", capabilities=("tag",))(lambda work: work.goal)
    with pytest.raises(InvalidContract, match="at least one tag"):
        arm("id", capabilities=())(lambda work: work.goal)


def test_the_built_in_arms_keep_the_bounds_and_are_named_after_themselves() -> None:
    for name, made in BUILTIN.items():
        check_capability(made.capability)
        assert (name, GROUPS[name]) == (made.arm_id, (made,))
        assert json.loads(made.capability.input_schema_json) is not None


def test_topics_are_those_that_deploy_makes() -> None:
    text = (Path(__file__).parents[3] / "deploy/topics.yaml").read_text()
    declared = yaml.safe_load(text)
    assert {topics.RESULTS, topics.RESOURCES, topics.ARMS} <= set(declared["topics"])
    assert declared["assignments"]["prefix"] == topics.ASSIGNMENTS_PREFIX
