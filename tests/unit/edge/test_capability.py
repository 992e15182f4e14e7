"""Arms as people describe them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from octolog.domain.arm import ArmCapability
from octolog.domain.errors import InvalidContract
from octolog.domain.ids import ArmId
from octolog.edge import parse_capability

ARM: dict[str, Any] = {
    "arm_id": "word-counter",
    "name": "Word counter",
    "description": "Counts words.",
    "capabilities": ["counting"],
    "cost_tier": 1,
}


def test_what_is_not_said_takes_seed_as_defaults() -> None:
    assert parse_capability(json.dumps(ARM)) == ArmCapability(
        ArmId("word-counter"), "Word counter", "Counts words.", ("counting",), 1
    )


def test_schemas_and_retry_rules_are_kept() -> None:
    arm = parse_capability(
        {
            **ARM,
            "input_schema": {"type": "object"},
            "retry_policy": {"max_attempts": 1},
            "endpoint": "http://x",
        }
    )
    assert (arm.input_schema_json, arm.retry_policy.max_attempts) == ('{"type":"object"}', 1)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"arm_id": "Word Counter"}, "arm_id"),
        ({"name": ""}, "name"),
        ({"description": "x" * 501}, "description"),
        ({"capabilities": []}, "capabilities"),
        ({"capabilities": ["Not A Tag"]}, "capabilities"),
        ({"capabilities": "counting"}, "capabilities"),
        ({"cost_tier": 0}, "cost_tier"),
        ({"cost_tier": 6}, "cost_tier"),
        ({"cost_tier": "1"}, "cost_tier"),
        ({"timeout_seconds": 301}, "timeout_seconds"),
        ({"endpoint": "ftp://x"}, "endpoint"),
        ({"success_rate": 1.5}, "success_rate"),
        ({"max_concurrent_tasks": 0}, "max_concurrent_tasks"),
        ({"cost_tier": None}, "cost_tier"),
    ],
)
def test_a_description_out_of_bounds_is_refused(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidContract) as caught:
        parse_capability(json.dumps({**ARM, **change}))
    assert (caught.value.code, caught.value.field) == ("INVALID_CAPABILITY", field)


def test_an_unknown_field_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InvalidContract, match=r"UNKNOWN_FIELD: capabilites: .*did you mean capabilities\?"):
        parse_capability(json.dumps({**ARM, "capabilites": []}))
