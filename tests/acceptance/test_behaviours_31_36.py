"""Templates, the handler and recovery, behaviour by behaviour, on the production code in memory."""

from __future__ import annotations

import asyncio

import pytest

from arms.handler import Handler, HandlerConfig, LimitReached
from octolog.domain import facts as f
from octolog.domain.assignment import AttemptAssignment
from octolog.domain.operators import (
    RecoveryKind,
)
from octolog.domain.reports import ExecutionResult
from octolog.domain.templates.errors import DocumentRefused
from octolog.domain.values import NOTHING, Amounts, TaskError, TaskErrorType
from octolog.testing import success
from schemas.xml.models import known_models
from schemas.xml.reader import judge, read_program
from tests.acceptance.evaluation import ROOT, Evaluation, broken, said
from tests.acceptance.programs import ONE, TEMPLATE, TWO_HALVES, echo
from tests.unit.arms.doubles import RecordingMeter, assignment

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
