"""Names that a document leaves to the contract's context are warned of; those it binds are not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from octolog.domain.operators import Program
from octolog.domain.templates.names import unbound
from schemas.xml.reader import judge, read_program
from tests.simulation.programs import CONTEXTS, programs
from tests.simulation.terms import missing_name

STEP = '<task type="atomic" name="{}"><description>d</description><instructions>{}</instructions>{}</task>'


def sequence(*steps: str) -> str:
    return f'<task type="sequential"><description>d</description><steps>{"".join(steps)}</steps></task>'


def free(document: str) -> list[tuple[str, str]]:
    return [(operator.name, name) for operator, name in unbound(read_program(document))]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (sequence(STEP.format("one", "{{who}} {{who}}", ""), STEP.format("two", "{{one}}", "")), [("one", "who")]),
        (
            sequence(STEP.format("one", "{{two}}", ""), STEP.format("two", "{{two}}", "")),
            [("one", "two"), ("two", "two")],
        ),
        (sequence(STEP.format("a", "{{x}}", '<inputs><input name="x">{{x}}</input></inputs>')), [("a", "x")]),
    ],
)  # fmt: skip
def test_what_no_input_no_earlier_step_and_no_operator_binds_is_free(
    document: str, expected: list[tuple[str, str]]
) -> None:
    assert free(document) == expected


def test_a_map_and_a_reduce_bind_names_for_what_they_make() -> None:
    document = """<task type="reduce"><description>d</description><initial_value>{{start}}</initial_value>
      <inputs><input name="a">1</input></inputs>
      <inner_task><task type="atomic"><description>i</description>
        <instructions>{{current_input}} {{input_name}} {{a}} {{accumulator}}</instructions></task></inner_task>
      <reduction_task><task type="atomic"><description>r</description>
        <instructions>{{accumulator}} {{current_result}} {{original_input}} {{current_input}}</instructions></task>
      </reduction_task></task>"""
    assert [name for _, name in free(document)] == ["start", "accumulator", "current_input"]


def test_the_warning_names_the_place_and_decides_nothing() -> None:
    verdict = judge(sequence(STEP.format("one", "{{who}}", "")).encode(), None)
    assert verdict.valid
    assert verdict.warnings == (
        "'who' of 'one' is bound by nothing in the document: the task fails unless its contract's context has it",
    )


@settings(deadline=None)
@given(programs(CONTEXTS[0]))
def test_it_finds_what_the_interpreter_would_miss_without_any_context(program: Program) -> None:
    free_places = {program.index(operator) for operator, _ in unbound(program)}
    first = missing_name(program, 0, {})
    assert (first is not None) <= (0 in free_places)


def test_a_step_before_the_first_is_no_step() -> None:
    steps = [STEP.format(f"s{number}", f"{{{{s{number - 1}}}}}", "") for number in range(1, 2_000)]
    assert free(sequence(*steps)) == [("s1", "s0")]
