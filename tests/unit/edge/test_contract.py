"""Contracts as people hand them in: what is read, and what is refused in which words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octolog.domain import bounds
from octolog.domain.errors import InvalidContract
from octolog.domain.values import DEFAULT_RETRY, NO_LIMITS, Limits
from octolog.edge import MAX_DOCUMENT_BYTES, parse_contract
from octolog.edge.limits import MAX_COST_DOLLARS, MAX_TIME_SECONDS, MAX_TIMEOUT_SECONDS


def refused(document: str | bytes | dict[str, Any]) -> InvalidContract:
    with pytest.raises(InvalidContract) as caught:
        parse_contract(document if isinstance(document, str | bytes) else json.dumps(document))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    return caught.value


def test_a_goal_is_all_a_contract_needs() -> None:
    request = parse_contract('{"goal": "count the words"}')
    contract = request.contract
    assert (contract.goal, contract.budget, contract.retry) == ("count the words", NO_LIMITS, DEFAULT_RETRY)
    assert (contract.priority, contract.steps, request.root_task_id) == (5, (), None)
    assert request.minted


def test_seed_a_as_a_dump_of_its_class_is_read() -> None:
    request = parse_contract(
        {
            "task_id": "task-1",
            "goal": "g",
            "constraints": {},
            "context": {"a": [1, 2.5, None]},
            "acceptance_criteria": ["it runs"],
            "budget": {
                "max_tokens": 10_000,
                "max_time_seconds": 120,
                "max_cost_dollars": 0.1,
                "max_llm_calls": None,
            },
            "assigned_arm": None,
            "parent_task_id": None,
            "priority": 5,
            "security_policy": None,
        }
    )
    assert request.contract.budget == Limits(10_000, 120_000, 100_000, None)
    assert request.contract.context_json == '{"a":[1,2.5,null]}'
    assert not request.minted


@pytest.mark.parametrize(
    ("dollars", "micros"),
    [
        (0, 0),
        (0.000001, 1),
        (0.1 + 0.2, 300_000),
        (0.7 * 3, 2_100_000),
        (1_000_000, 10**12),
        (1.005, 1_005_000),
    ],
)
def test_money_is_counted_in_whole_micro_dollars(dollars: float, micros: int) -> None:
    assert parse_contract({"goal": "g", "budget": {"max_cost_dollars": dollars}}).contract.budget == Limits(
        max_cost_micros=micros
    )


@given(st.integers(0, 10**12))
def test_every_amount_of_micro_dollars_survives_the_way_through_json(micros: int) -> None:
    text = f'{{"goal": "g", "budget": {{"max_cost_usd": {micros // 10**6}.{micros % 10**6:06d}}}}}'
    assert parse_contract(text).contract.budget.max_cost_micros == micros


@pytest.mark.parametrize(
    ("word", "number"), [("critical", 1), ("high", 3), ("medium", 5), ("low", 8), (1, 1), (10, 10)]
)
def test_priorities_are_numbers_or_words(word: object, number: int) -> None:
    assert parse_contract({"goal": "g", "priority": word}).contract.priority == number


def test_constraints_and_context_may_be_text() -> None:
    contract = parse_contract({"goal": "g", "constraints": ["no network"], "context": "read only"}).contract
    assert contract.constraints_json == '{"text":["no network"]}'
    assert contract.context_json == '{"text":"read only"}'


def test_a_plan_is_read_step_by_step() -> None:
    steps = [
        {"step_id": "find", "goal": "find", "timeout_seconds": 1.5},
        {
            "step_id": "judge",
            "goal": "judge",
            "depends_on": ["find"],
            "budget": {"max_tokens": 7},
            "priority": "high",
        },
    ]
    first, second = parse_contract({"goal": "g", "steps": steps}).contract.steps
    assert (first.step_id, first.timeout_ms, first.priority) == ("find", 1_500, None)
    assert (second.depends_on, second.budget.max_tokens, second.priority) == (("find",), 7, 3)


@pytest.mark.parametrize(
    ("document", "code", "field", "told"),
    [
        ({"goal": ""}, "VALIDATION", "goal", "is empty"),
        ({"goal": " \n"}, "VALIDATION", "goal", "is empty"),
        ({"goal": "x" * 10_001}, "VALIDATION", "goal", "10001 characters; at most 10000"),
        ({"goal": 5}, "VALIDATION", "goal", "5 is a number; it must be a string"),
        ({"goal": None}, "VALIDATION", "goal", "is required"),
        ({}, "VALIDATION", "goal", "is required"),
        ({"gaol": "g"}, "UNKNOWN_FIELD", "gaol", "did you mean goal?"),
        ({"goal": "g", "zzz": 1}, "UNKNOWN_FIELD", "zzz", "known: "),
        (
            {"goal": "g", "budget": {"max_token": 1}},
            "UNKNOWN_FIELD",
            "budget.max_token",
            "did you mean max_tokens?",
        ),
        (
            {"goal": "g", "budget": {"max_tokens": -1}},
            "INVALID_BUDGET",
            "budget.max_tokens",
            "-1 is not between 1",
        ),
        ({"goal": "g", "budget": {"max_tokens": 1.5}}, "INVALID_BUDGET", "budget.max_tokens", "1.5"),
        (
            {"goal": "g", "budget": {"max_tokens": True}},
            "INVALID_BUDGET",
            "budget.max_tokens",
            "true is a boolean",
        ),
        (
            {"goal": "g", "budget": {"max_tokens": "5"}},
            "INVALID_BUDGET",
            "budget.max_tokens",
            '"5" is a string',
        ),
        ({"goal": "g", "budget": {"max_tokens": 10**30}}, "INVALID_BUDGET", "budget.max_tokens", "100000000"),
        (
            {"goal": "g", "budget": {"max_time_seconds": 0}},
            "INVALID_BUDGET",
            "budget.max_time_seconds",
            "0.001",
        ),
        (
            {"goal": "g", "budget": {"max_cost_dollars": -0.5}},
            "INVALID_BUDGET",
            "budget.max_cost_dollars",
            "-0.5",
        ),
        (
            {"goal": "g", "budget": {"max_cost_usd": 1e-9}},
            "INVALID_BUDGET",
            "budget.max_cost_usd",
            "millionth",
        ),
        (
            {"goal": "g", "budget": {"max_cost_usd": 1, "max_cost_dollars": 1}},
            "INVALID_BUDGET",
            "budget.max_cost_usd",
            "another name",
        ),
        ({"goal": "g", "budget": []}, "INVALID_BUDGET", "budget", "an array; it must be an object"),
        ({"goal": "g", "priority": 11}, "INVALID_PRIORITY", "priority", "11 is not between 1 and 10"),
        ({"goal": "g", "priority": 0}, "INVALID_PRIORITY", "priority", "0 is not between"),
        ({"goal": "g", "priority": "urgent"}, "INVALID_PRIORITY", "priority", "critical, high, medium, low"),
        ({"goal": "g", "task_id": "a b"}, "INVALID_TASK_ID", "task_id", "'a b'"),
        ({"goal": "g", "task_id": ""}, "INVALID_TASK_ID", "task_id", "''"),
        ({"goal": "g", "root_task_id": "é"}, "INVALID_TASK_ID", "root_task_id", "is no task id"),
        ({"goal": "g", "task_id": "a", "parent_task_id": "a"}, "CYCLE", "parent_task_id", "its own parent"),
        ({"goal": "g", "constraints": 5}, "VALIDATION", "constraints", "it must be an object"),
        ({"goal": "g", "constraints": ["a", 1]}, "VALIDATION", "constraints", "array of strings"),
        (
            {"goal": "g", "acceptance_criteria": ["x"] * 11},
            "VALIDATION",
            "acceptance_criteria",
            "11 criteria",
        ),
        ({"goal": "g", "security_policy": "No Such"}, "UNKNOWN_POLICY", "security_policy", "'No Such'"),
        ({"goal": "g", "routing_policy": "best"}, "INVALID_POLICY", "routing_policy", "cost_first, weighted"),
        (
            {"goal": "g", "retry": {"max_attempts": 0}},
            "INVALID_RETRY",
            "retry.max_attempts",
            "0 is not between",
        ),
        ({"goal": "g", "max_cost_tier": 6}, "VALIDATION", "max_cost_tier", "6 is not between 1 and 5"),
        ({"goal": "g", "timeout_seconds": 0}, "VALIDATION", "timeout_seconds", "0 is not between 0.001"),
        ({"goal": "g", "steps": [{"goal": "g"}]}, "INVALID_PLAN", "steps[0].step_id", "is required"),
        (
            {"goal": "g", "steps": [{"step_id": "a", "goal": "g", "depends_on": ["b"]}]},
            "INVALID_PLAN",
            "steps[0].depends_on",
            "no step of this plan",
        ),
        (
            {"goal": "g", "steps": [{"step_id": "a", "goal": "g", "budget": {"max_tokens": 0}}]},
            "INVALID_BUDGET",
            "steps[0].budget.max_tokens",
            "0 is not between",
        ),
    ],
)
def test_a_refusal_names_the_field_the_value_and_the_bound(
    document: dict[str, Any], code: str, field: str, told: str
) -> None:
    error = refused(document)
    assert (error.code, error.field) == (code, field)
    assert told in error.message


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("", "MALFORMED_JSON", "is no JSON"),
        ("{", "MALFORMED_JSON", "is no JSON"),
        ('{"goal": "g"} {}', "MALFORMED_JSON", "is no JSON"),
        ("[]", "MALFORMED_JSON", "must be a JSON object, not an array"),
        ("null", "MALFORMED_JSON", "not null"),
        (b'{"goal": "\xff"}', "MALFORMED_JSON", "no UTF-8"),
        ('{"goal": "g", "goal": "h"}', "DUPLICATE_KEY", "stands twice"),
        ('{"goal": "g", "context": {"a": 1, "a": 1}}', "DUPLICATE_KEY", "stands twice"),
        ('{"goal": "g", "budget": {"max_cost_dollars": NaN}}', "VALIDATION", "NaN is no JSON number"),
        ('{"goal": "g", "context": {"a": [-Infinity]}}', "VALIDATION", "Infinity is no JSON number"),
        ('{"goal": "g", "context": {"a": 1e999}}', "VALIDATION", "Infinity is no JSON number"),
        ('{"goal": "\\ud800"}', "VALIDATION", "half of a surrogate pair"),
        ('{"goal": "g", "context": ' + "[" * 100_000 + "]" * 100_000 + "}", "MALFORMED_JSON", "nests deeper"),
        ('{"goal": "g", "context": ' + '{"a":' * 150 + "1" + "}" * 151, "VALIDATION", "nests deeper"),
        ('{"goal": "g", "priority": ' + "9" * 5_000 + "}", "MALFORMED_JSON", "4300 digits"),
        ('{"goal": "' + "x" * 10_000_000 + '"}', "TOO_LARGE", f"at most {MAX_DOCUMENT_BYTES}"),
    ],
    ids=range(16),
)
def test_text_that_is_no_sound_json_is_refused(text: str | bytes, code: str, told: str) -> None:
    error = refused(text)
    assert error.code == code
    assert told in error.message


def test_where_a_bad_number_stands_is_told() -> None:
    assert refused('{"goal": "g", "context": {"a": [1, {"b": NaN}]}}').field == "context.a[1].b"


def test_a_mapping_that_is_no_json_is_refused() -> None:
    with pytest.raises(InvalidContract, match=r"MALFORMED_JSON.*object has no JSON form"):
        parse_contract({"goal": object()})


def test_the_edges_bounds_are_the_domains() -> None:
    domain = {name: (low, high) for name, low, high in bounds._BUDGET_BOUNDS}
    assert domain["max_time_ms"] == (1, int(MAX_TIME_SECONDS) * 1_000)
    assert domain["max_cost_micros"] == (0, int(MAX_COST_DOLLARS) * 1_000_000)
    longest = parse_contract({"goal": "g", "timeout_seconds": int(MAX_TIMEOUT_SECONDS)})
    assert longest.contract.timeout_ms == int(MAX_TIMEOUT_SECONDS) * 1_000


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(st.dictionaries(st.text(max_size=5), _json, max_size=5))
def test_any_json_context_comes_through_as_the_same_value(context: dict[str, Any]) -> None:
    read = parse_contract(json.dumps({"goal": "g", "context": context})).contract
    assert json.loads(read.context_json) == context
    again = parse_contract({"goal": "g", "context": json.loads(read.context_json)}).contract
    assert again.context_json == read.context_json


@given(_json)
def test_any_json_is_read_or_refused_and_never_breaks_the_parser(document: Any) -> None:
    told = ""
    try:
        parse_contract(json.dumps(document))
    except InvalidContract as error:
        told = str(error)
    assert "\n" not in told


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_one_line(document: bytes) -> None:
    with pytest.raises(InvalidContract):
        parse_contract(document)
