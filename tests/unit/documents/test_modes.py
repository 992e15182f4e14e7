"""Context management in documents: words and truth values, what an operator has by default, what excludes what."""

from __future__ import annotations

from typing import Any, Final

import pytest

from octolog.domain.errors import InvalidContract
from octolog.domain.operators import Operator, Program
from octolog.domain.tasksystem import AccumulationFormat, FreshContext
from octolog.domain.templates.errors import DocumentRefused
from octolog.edge import parse_contract
from schemas.xml import judge, read_program, write_program

FULL, NOTES = AccumulationFormat.FULL_OUTPUT, AccumulationFormat.NOTES_ONLY
UNSAID, ENABLED, DISABLED = FreshContext.UNSAID, FreshContext.ENABLED, FreshContext.DISABLED
ATOMIC: Final = '<task type="atomic"%s><description/>%s<instructions>do</instructions></task>'
REDUCE: Final = (
    '<task type="reduce"><description/>%s<inner_task>%s</inner_task>'
    "<reduction_task>%s</reduction_task></task>"
)


def block(**settings: str) -> str:
    inner = "".join(f"<{name}>{text}</{name}>" for name, text in settings.items())
    return f"<context_management>{inner}</context_management>"


def atomic(settings: str, attributes: str = "") -> str:
    return ATOMIC % (attributes, settings)


def document(kind: str, settings: str) -> str:
    """A document whose root is of a kind and has these settings."""
    match kind:
        case "subtask":
            return atomic(settings, ' subtype="subtask"')
        case "sequential" | "map":
            return f'<task type="{kind}"><description/>{settings}<steps>{atomic("")}</steps></task>'
        case "reduce":
            return REDUCE % (settings, atomic(""), atomic(""))
        case _:
            return atomic(settings)


def mode(operator: Operator) -> tuple[bool, bool, AccumulationFormat, FreshContext]:
    return (
        operator.inherit_context,
        operator.accumulate_data,
        operator.accumulation_format,
        operator.fresh_context,
    )


def mode_in(xml: str) -> tuple[bool, bool, AccumulationFormat, FreshContext]:
    program = read_program(xml)
    assert read_program(write_program(program)) == program
    return mode(program[0])


def json_program(**settings: Any) -> Program:
    operator = {"type": "atomic", "goal": "g", "instructions": "do", **settings}
    return parse_contract({"goal": "g", "operators": [operator]}).contract.operators


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("atomic", (True, False, NOTES, DISABLED)),
        ("subtask", (False, False, NOTES, ENABLED)),
        ("sequential", (False, True, NOTES, DISABLED)),
        ("map", (True, False, NOTES, DISABLED)),
        ("reduce", (False, True, NOTES, ENABLED)),
    ],
)
def test_what_a_block_leaves_out_its_operator_has_by_default(kind: str, expected: object) -> None:
    assert mode_in(document(kind, block())) == expected


@pytest.mark.parametrize("kind", ["atomic", "subtask", "sequential", "map", "reduce"])
def test_without_a_block_a_task_takes_the_mode_around_it(kind: str) -> None:
    assert mode_in(document(kind, "")) == (False, False, FULL, UNSAID)


def test_the_tasks_of_a_reduce_inherit_by_default() -> None:
    inner, reduction = read_program(REDUCE % ("", atomic(block()), document("sequential", block())))[1:3]
    assert mode(inner) == (True, False, NOTES, DISABLED)
    assert mode(reduction) == (False, True, NOTES, DISABLED)
    nested = REDUCE % ("", REDUCE % (block(), atomic(""), atomic("")), atomic(""))
    assert mode(read_program(nested)[1]) == (False, True, NOTES, DISABLED)


@pytest.mark.parametrize(
    ("kind", "said", "expected"),
    [
        ("atomic", {"fresh_context": "enabled"}, (False, False, NOTES, ENABLED)),
        ("atomic", {"accumulate_data": "true"}, (False, True, NOTES, DISABLED)),
        ("atomic", {"inherit_context": "none"}, (False, False, NOTES, DISABLED)),
        ("sequential", {"inherit_context": "full"}, (True, False, NOTES, DISABLED)),
        ("sequential", {"accumulate_data": "false"}, (True, False, NOTES, DISABLED)),
        ("sequential", {"fresh_context": "enabled"}, (False, True, NOTES, ENABLED)),
        (
            "sequential",
            {"inherit_context": "true", "fresh_context": "disabled"},
            (True, False, NOTES, DISABLED),
        ),
        ("reduce", {"inherit_context": "full"}, (True, False, NOTES, DISABLED)),
        ("reduce", {"accumulation_format": "full_output"}, (False, True, FULL, ENABLED)),
        ("subtask", {"fresh_context": "disabled"}, (False, False, NOTES, DISABLED)),
    ],
)
def test_what_is_said_wins_over_the_default_that_excludes_it(
    kind: str, said: dict[str, str], expected: object
) -> None:
    assert mode_in(document(kind, block(**said))) == expected


@pytest.mark.parametrize("inherit", ["true", "false"])
@pytest.mark.parametrize("kind", ["atomic", "sequential", "map", "reduce"])
def test_a_block_of_truth_values_means_what_it_did(kind: str, inherit: str) -> None:
    said = block(inherit_context=inherit, accumulate_data="false")
    assert mode_in(document(kind, said)) == (inherit == "true", False, FULL, UNSAID)


def test_a_block_of_truth_values_says_both() -> None:
    with pytest.raises(DocumentRefused, match="needs accumulate_data"):
        read_program(atomic(block(inherit_context="true")))


@pytest.mark.parametrize(
    ("kind", "said", "place", "told"),
    [
        (
            "atomic",
            {"inherit_context": "full", "accumulate_data": "false", "fresh_context": "enabled"},
            "/fresh_context",
            "write inherit_context none",
        ),
        (
            "atomic",
            {"inherit_context": "true", "accumulate_data": "false", "fresh_context": "enabled"},
            "/fresh_context",
            "write inherit_context none",
        ),
        ("sequential", {"inherit_context": "full", "accumulate_data": "true"}, "", "exclude each other"),
        ("subtask", {"inherit_context": "full"}, "/inherit_context", "it inherits none"),
        ("atomic", {"inherit_context": "subset"}, "/inherit_context", "write full or none"),
        ("atomic", {"inherit_context": "some"}, "/inherit_context", "full"),
        ("atomic", {"fresh_context": "true"}, "/fresh_context", "enabled"),
    ],
)
def test_what_contradicts_itself_is_refused_where_it_is_said(
    kind: str, said: dict[str, str], place: str, told: str
) -> None:
    with pytest.raises(DocumentRefused, match=told) as refused:
        read_program(document(kind, block(**said)))
    assert refused.value.error.path == f"/task/context_management{place}"


def test_a_minimal_context_is_valid_with_a_warning() -> None:
    found = judge(document("map", block(inherit_context="none")))
    assert found.valid
    assert [warning for warning in found.warnings if "minimal context" in warning]
    for enough in (block(inherit_context="none", fresh_context="enabled"), block(), ""):
        assert judge(document("map", enough)).warnings == ()


@pytest.mark.parametrize(
    ("said", "in_a_document"),
    [
        ({"inherit_context": True}, {"inherit_context": "true", "accumulate_data": "false"}),
        ({"accumulate_data": True}, {"inherit_context": "false", "accumulate_data": "true"}),
        ({"fresh_context": "enabled"}, {"fresh_context": "enabled"}),
        (
            {"fresh_context": "disabled", "accumulate_data": True},
            {"accumulate_data": "true", "fresh_context": "disabled"},
        ),
        ({"inherit_context": "full"}, {"inherit_context": "full"}),
        (
            {"inherit_context": False, "fresh_context": "disabled"},
            {"inherit_context": "none", "fresh_context": "disabled"},
        ),
    ],
)
def test_json_says_the_same(said: dict[str, Any], in_a_document: dict[str, str]) -> None:
    assert mode(json_program(**said)[0]) == mode_in(document("atomic", block(**in_a_document)))


def test_json_that_contradicts_itself_is_refused_with_its_path() -> None:
    with pytest.raises(InvalidContract) as refused:
        json_program(inherit_context="full", fresh_context="enabled")
    assert (refused.value.code, refused.value.field) == ("VALIDATION_ERROR", "operators[0].fresh_context")
    with pytest.raises(InvalidContract, match="write full or none"):
        json_program(inherit_context="subset")
