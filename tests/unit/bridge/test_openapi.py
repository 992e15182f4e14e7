"""The OpenAPI document of the protocol: valid, and what the bridge sends and takes is what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it has none
from openapi_spec_validator import validate

from arms.bridge.description import Description
from arms.bridge.protocol import BadAnswer, ErrorDetail, ExecuteResponse, read_response, request_of
from arms.bridge.settings import BridgeSettings
from octolog.domain.errors import InvalidContract
from octolog.domain.values import Limits
from tests.unit.arms.doubles import assignment
from tests.unit.bridge.services import error, example, serving, success

DOCUMENT: Final = json.loads(
    (Path(__file__).parents[3] / "docs" / "reference" / "http-arm.openapi.json").read_text()
)


def against(name: str) -> Any:
    return Draft202012Validator({**DOCUMENT, "$ref": f"#/components/schemas/{name}"})


def test_the_document_is_openapi() -> None:
    validate(DOCUMENT)


def test_a_request_of_the_bridge_is_one_of_the_document() -> None:
    for given in (
        assignment(),
        assignment(allowance=Limits(max_tokens=1), instructions="do", inputs={"a": [1]}),
    ):
        against("ExecuteRequest").validate(request_of(given, 1.5))


def test_the_examples_answers_are_those_of_the_document() -> None:
    against("Arm").validate(example.DESCRIPTION)
    with serving():
        request = request_of(assignment(context={"text": "a b"}), 1.0)
        handler = example.Handler.__new__(example.Handler)
        against("ExecuteResponse").validate(handler.execute(request))
    against("Error").validate(error("INVALID_INPUT", category="validation"))


def test_every_field_that_the_bridge_reads_is_told_of() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert set(ExecuteResponse.model_fields) == set(schemas["ExecuteResponse"]["properties"])
    assert set(ErrorDetail.model_fields) <= set(schemas["Error"]["properties"]["error"]["properties"])


@pytest.mark.parametrize(
    "broken",
    [{"status": "done"}, {"confidence": 2}, {"tokens_used": -1}, {"provenance": {"command_hash": "ab"}},
     {"error_code": "lower"}, {"execution_time_ms": 1.5}],
    ids=lambda broken: next(iter(broken)),
)  # fmt: skip
def test_what_the_document_forbids_the_bridge_refuses(broken: dict[str, Any]) -> None:
    answer = {**success({"attempt_id": "a"}), **broken}
    assert not against("ExecuteResponse").is_valid(answer)
    with pytest.raises(BadAnswer):
        read_response(answer, attempt_id="a", task_id="t")


@pytest.mark.parametrize(
    "broken",
    [
        {"cost_tier": 6},
        {"capabilities": []},
        {"arm_id": "Not An Id"},
        {"timeout_seconds": 301},
        {"samples": [{}]},
    ],
    ids=lambda broken: next(iter(broken)),
)
def test_a_description_that_the_document_forbids_is_refused(broken: dict[str, Any]) -> None:
    document = {**example.DESCRIPTION, **broken}
    assert not against("Arm").is_valid(document)
    with pytest.raises(InvalidContract, match="INVALID_CAPABILITY"):
        Description.of(document, BridgeSettings("http://127.0.0.1:1"))
