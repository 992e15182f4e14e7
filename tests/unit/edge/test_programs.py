"""Contracts that carry a program: as XML, as JSON, and from a template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from octolog.domain.errors import InvalidContract, NotFound
from octolog.domain.operators import FailurePolicy, OperatorInput
from octolog.domain.tasksystem import AtomicTaskSubtype, TaskType
from octolog.domain.templates.document import Document
from octolog.domain.values import Limits
from octolog.edge import parse_contract
from octolog.edge.xml import with_context, with_inputs
from schemas.xml import KNOWN_MODELS, read_document

XML: Final = Path(__file__).parents[2] / "data" / "xml" / "valid"
TREE: Final[dict[str, Any]] = {
    "operators": [
        {"type": "sequential", "goal": "both", "priority": 2},
        {"type": "atomic", "parent": 0, "role": "step", "name": "a", "inputs": [{"name": "x", "text": "1"}]},
        {"type": "atomic", "parent": 0, "role": "STEP", "name": "b", "budget": {"max_cost_dollars": 0.5}},
    ]
}


def template(label: str) -> Document:
    if label != "readability@1.0":
        raise NotFound(f"no template {label}")
    return read_document((XML / "readability.xml").read_bytes())


@pytest.mark.parametrize("path", sorted(XML.glob("*.xml")), ids=lambda path: path.stem)
def test_every_worked_document_is_a_contract(path: Path) -> None:
    request = parse_contract(path.read_bytes(), models=KNOWN_MODELS)
    contract = request.contract
    assert contract.operators == read_document(path.read_bytes()).program
    assert contract.goal.strip()
    assert request.minted
    assert not contract.steps


def test_a_document_is_told_from_json_by_its_first_character() -> None:
    text = (XML / "map.xml").read_text(encoding="utf-8")
    for document in (text, f"\ufeff\n{text}", text.encode("utf-8-sig")):
        assert parse_contract(document).contract.operators[0].type is TaskType.MAP


def test_a_template_document_is_an_atomic_program() -> None:
    (only,) = parse_contract((XML / "manual.xml").read_bytes()).contract.operators
    assert (only.type, only.subtype) == (TaskType.ATOMIC, AtomicTaskSubtype.SUBTASK)
    assert (only.is_manual_xml, only.disable_reparsing) == (True, True)


def test_what_the_root_says_of_itself_the_contract_says_of_the_tree() -> None:
    xml = (
        '<task type="atomic" arm="coder" capabilities="code test" max_cost_tier="3" priority="1" '
        'timeout_seconds="1.5"><description>Write it</description><acceptance_criteria><criterion>runs</criterion>'
        '</acceptance_criteria><budget max_tokens="10"/></task>'
    )
    contract = parse_contract(xml).contract
    assert (contract.goal, contract.assigned_arm, contract.max_cost_tier) == ("Write it", "coder", 3)
    assert (contract.priority, contract.timeout_ms, contract.budget) == (1, 1_500, Limits(max_tokens=10))
    assert (contract.required_capabilities, contract.acceptance_criteria) == (("code", "test"), ("runs",))


def test_a_json_contract_may_hold_a_document_and_its_own_settings_come_first() -> None:
    xml = '<task type="atomic" priority="1"><description>from xml</description></task>'
    contract = parse_contract({"xml": xml, "task_id": "t-1", "priority": "low", "context": {"a": 1}}).contract
    assert (contract.task_id, contract.priority, contract.goal) == ("t-1", 8, "from xml")
    assert contract.context_json == '{"a":1}'
    assert parse_contract({"xml": xml, "goal": "mine"}).contract.goal == "mine"


def test_operators_are_read_in_the_names_of_the_page() -> None:
    contract = parse_contract(json.dumps(TREE)).contract
    root, first, second = contract.operators
    assert (root.type, contract.goal, contract.priority) == (TaskType.SEQUENTIAL, "both", 2)
    assert (first.inputs, first.subtype) == ((OperatorInput("x", "1"),), AtomicTaskSubtype.STANDARD)
    assert second.budget == Limits(max_cost_micros=500_000)


def test_a_map_collects_unless_it_says_otherwise() -> None:
    def policy(**more: str) -> FailurePolicy:
        step = {"type": "atomic", "parent": 0, "role": "step", "name": "a"}
        return parse_contract({"operators": [{"type": "map", **more}, step]}).contract.operators[0].on_failure

    assert policy() is FailurePolicy.COLLECT
    assert policy(on_failure="fail_fast") is FailurePolicy.FAIL_FAST


def test_a_template_is_looked_up_and_its_inputs_are_bound() -> None:
    contract = parse_contract(
        {"template": "readability@1.0", "inputs": {"code": "x = {{y}}"}}, templates=template
    ).contract
    (only,) = contract.operators
    assert only.inputs == (OperatorInput("code", variable="code"),)
    assert json.loads(contract.context_json) == {"code": "x = {{y}}"}, "braces in a value stay what they are"
    assert contract.goal == "Review how readable a piece of code is"


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({}, "VALIDATION: goal: is required"),
        ({"goal": "", **TREE}, "VALIDATION: goal: is empty"),
        ({"template": "nobody"}, "no template nobody"),
        ({"template": "readability@1.0", "inputs": {"text": "x"}}, "'text'|\"text\" is no input"),
        ({"goal": "g", "inputs": {"a": "b"}}, "only a template or a program has inputs"),
        ({**TREE, "template": "readability@1.0"}, "operators or template, not both"),
        ({**TREE, "xml": "<task/>"}, "operators or xml, not both"),
        ({**TREE, "goal": "g", "steps": [{"step_id": "s", "goal": "g"}]}, "steps or operators, not both"),
        ({"operators": [{"type": "loop"}]}, "operators[0].type"),
        (
            {"operators": [{"type": "atomic", "nme": "x"}]},
            "is no field of a operator|is no field of an operator",
        ),
        ({"operators": [{"type": "atomic", "model": "nobody"}]}, "VALIDATION_ERROR: operators[0].model"),
        ({"operators": [{"type": "sequential"}]}, "operators"),
        ({"xml": "<task"}, "XML_PARSE_ERROR: 1:"),
        ({"xml": '<task type="x"><description/></task>'}, "VALIDATION_ERROR: /task/@type"),
    ],
)
def test_a_program_that_is_none_is_refused_in_one_line(document: dict[str, Any], told: str) -> None:
    with pytest.raises((InvalidContract, NotFound)) as refused:
        parse_contract(document, templates=template, models=KNOWN_MODELS)
    assert any(word in str(refused.value) for word in told.split("|")), str(refused.value)
    assert "\n" not in str(refused.value)


def test_without_a_log_no_template_can_be_named() -> None:
    with pytest.raises(InvalidContract, match="looked up in a log"):
        parse_contract({"template": "x"})


def test_context_given_twice_with_two_values_is_refused() -> None:
    contract = parse_contract({"goal": "g", "context": {"a": 1}}).contract
    assert with_context(contract, {"a": 1, "b": 2}).context_json == '{"a":1,"b":2}'
    with pytest.raises(InvalidContract, match="given twice"):
        with_context(contract, {"a": 2})


def test_an_input_that_is_the_result_of_a_task_takes_no_value() -> None:
    xml = (
        '<task type="atomic"><description>d</description><inputs><input name="a">'
        '<task type="atomic"><description>e</description></task></input></inputs></task>'
    )
    with pytest.raises(InvalidContract, match="result of a task"):
        with_inputs(parse_contract(xml).contract, {"a": "1"})
