"""What is written is what was meant: programs, documents and trees through XML and back."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings

from octolog.domain.evaluator.legal import check_program
from octolog.domain.ids import TaskId
from octolog.domain.operators import ATOMIC, FailurePolicy, Operator, OperatorInput, Program, Role
from octolog.domain.tasksystem import ASTNode, NamedText, OperatorSpec, TaskType
from octolog.domain.templates.errors import DocumentRefused
from octolog.domain.templates.reading import program_of
from octolog.domain.templates.spec import operator_of, spec_of
from octolog.domain.templates.writing import ast_of
from schemas.xml import (
    BUILTINS,
    builtin,
    judge,
    read_ast,
    read_document,
    read_program,
    write_ast,
    write_document,
    write_program,
)
from tests.unit.documents.programs import programs

VALID: Final = sorted((Path(__file__).parents[2] / "data" / "xml" / "valid").glob("*.xml"))
by_file = pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=50)


@unhurried
@given(programs())
def test_45_a_program_through_xml_and_back_is_the_same_program(program: Program) -> None:
    xml = write_program(program)
    assert read_program(xml) == program
    assert write_program(read_program(xml)) == xml


@unhurried
@given(programs(depth=2, operators=6))
def test_45_a_tree_through_xml_and_back_is_the_same_tree(program: Program) -> None:
    tree = ast_of(program)
    assert program_of(tree) == program
    assert read_ast(write_ast(tree)) == tree


@by_file
def test_45_every_worked_document_is_the_same_after_writing_and_reading(path: Path) -> None:
    text = path.read_bytes()
    tree = read_ast(text)
    assert read_ast(write_ast(tree)) == tree
    document = read_document(text)
    assert read_document(write_document(document)) == document


@by_file
def test_the_layout_of_a_document_does_not_enter_its_digest(path: Path) -> None:
    document = read_document(path.read_bytes())
    windows = path.read_text(encoding="utf-8").replace("\n", "\r\n").encode()
    assert read_document(windows).digest == document.digest
    assert read_document(write_document(document)).digest == document.digest


def test_the_worked_documents_have_every_operator() -> None:
    kinds = {operator.type for path in VALID for operator in read_document(path.read_bytes()).program}
    assert kinds == {TaskType.ATOMIC, TaskType.SEQUENTIAL, TaskType.MAP, TaskType.REDUCE}


@pytest.mark.parametrize("name", BUILTINS)
def test_every_template_of_our_own_is_the_same_after_writing_and_reading(name: str) -> None:
    assert read_document(write_document(builtin(name))) == builtin(name)


def step(**settings: object) -> Program:
    root = Operator("", -1, Role.ROOT, TaskType.SEQUENTIAL)
    return root, Operator("a", 0, Role.STEP, TaskType.ATOMIC, ATOMIC.subtype, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "program",
    [
        (),
        (Operator("", -1, Role.ROOT, TaskType.SEQUENTIAL),),
        step(on_failure=FailurePolicy.COLLECT),
        step(instructions="\x01"),
        step(inputs=(OperatorInput("x", "text", "variable"),)),
        step(max_turns=0),
        step(metadata_json='{"b": 1, "a": 2}'),
        step(required_capabilities=("No Tag",)),
        (ATOMIC, Operator("a", 5, Role.STEP, TaskType.ATOMIC)),
        tuple(Operator("a", place - 1, Role.STEP, TaskType.SEQUENTIAL) for place in range(1, 40)),
    ],
    ids=["none", "no-step", "policy", "control", "sources", "turns", "metadata", "tag", "parent", "no-root"],
)
def test_what_a_document_cannot_say_is_refused_and_never_changed(program: Program) -> None:
    with pytest.raises(DocumentRefused, match="VALIDATION_ERROR"):
        write_program(program)


def test_a_program_nested_beyond_the_bound_is_refused_before_it_is_walked() -> None:
    root = Operator("", -1, Role.ROOT, TaskType.SEQUENTIAL)
    deep = (root, *(Operator("a", place, Role.STEP, TaskType.SEQUENTIAL) for place in range(10_000)))
    with pytest.raises(DocumentRefused, match="nests deeper than 32"):
        write_program(deep)


def test_metadata_stays_with_its_node_and_never_changes_the_program_around_it() -> None:
    plain, marked = step(), step(metadata_json='{"owner":"ops"}')
    node = ast_of(marked)
    assert [child.metadata_json for child in node.children if child.type == "steps"] == ["{}"]
    (again,) = [operator for operator in program_of(node) if operator.metadata_json != "{}"]
    assert (again.name, again.metadata_json) == ("a", '{"owner":"ops"}')
    assert ast_of(plain) != node


def test_a_node_without_an_operator_type_does_not_run() -> None:
    with pytest.raises(DocumentRefused, match="needs a type"):
        program_of(ASTNode("task", "", TaskType.UNKNOWN, (ASTNode("description", "d"),)))


def test_a_spec_says_type_subtype_inputs_and_whether_recovery_is_off() -> None:
    spec = OperatorSpec(TaskType.ATOMIC, ATOMIC.subtype, (NamedText("x", "1"),), disable_reparsing=True)
    assert spec_of(operator_of(spec)) == spec


def test_a_variable_in_a_spec_is_its_placeholder() -> None:
    operator = Operator("", -1, Role.ROOT, TaskType.ATOMIC, inputs=(OperatorInput("x", variable="report"),))
    assert spec_of(operator).inputs == (NamedText("x", "{{report}}"),)


def test_44_a_subtype_in_a_spec_that_is_not_atomic_is_refused() -> None:
    with pytest.raises(DocumentRefused) as refused:
        operator_of(OperatorSpec(TaskType.SEQUENTIAL, ATOMIC.subtype))
    assert refused.value.error.path == "/task/@subtype"


@unhurried
@given(programs())
def test_a_program_from_a_document_is_legal_for_the_task_processor(program: Program) -> None:
    check_program("operators", read_program(write_program(program)), TaskId("t"))


@pytest.mark.parametrize(
    ("inside", "path", "reason"),
    [
        (f"<description>{'x' * 10_001}</description>", "/task/description", "10001 characters"),
        (f"<description/><system>{'x' * 262_145}</system>", "/task/system", "262145 characters"),
        (
            '<description/><inputs><input name="_a"><task type="atomic"><description/></task></input></inputs>',
            "/task/inputs/input/task/@name",
            "no name of a step",
        ),
        (
            f'<description/><inputs><input name="a">{"x" * 262_145}</input></inputs>',
            "/task/inputs/input[1]",
            "262145 characters",
        ),
    ],
    ids=["goal", "system", "argument", "input"],
)
def test_what_the_task_processor_would_refuse_is_refused_with_its_place_in_the_document(
    inside: str, path: str, reason: str
) -> None:
    with pytest.raises(DocumentRefused) as refused:
        read_program(f'<task type="atomic">{inside}</task>')
    assert refused.value.error.path == path
    assert reason in refused.value.error.message


def test_all_that_the_task_processor_would_refuse_is_told_at_once() -> None:
    long = "x" * 262_145
    inside = f'<description/><system>{long}</system><inputs><input name="a">{long}</input></inputs>'
    step = f'<task type="atomic"><description>{"x" * 10_001}</description></task>'
    xml = f'<task type="map">{inside}<steps>{step}</steps></task>'
    assert [error.path for error in judge(xml).errors] == [
        "/task/system",
        "/task/inputs/input[1]",
        "/task/steps/task/description",
    ]
