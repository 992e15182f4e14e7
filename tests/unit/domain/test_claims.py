"""Claim checks: what may stand in a record for a large value, and what an arm is told of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from octolog.domain.bounds import MAX_JSON_BYTES
from octolog.domain.contract import Step, TaskContract
from octolog.domain.digest import contract_digest
from octolog.domain.errors import InvalidContract
from octolog.domain.ids import TaskId
from octolog.domain.operators import ATOMIC
from octolog.domain.rules import check_contract
from octolog.domain.values import BlobRef
from octolog.edge.large import check_submission

REF = BlobRef("a" * 64, 10_000_000, "application/json")
CONTRACT = TaskContract(TaskId("t"), "a goal")
LARGE = '{"text":"' + "x" * MAX_JSON_BYTES + '"}'


def test_a_context_may_be_a_claim_check() -> None:
    check_contract(replace(CONTRACT, context_blob=REF, steps=(Step("a", "g", context_blob=REF),)))


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"context_json": '{"a":1}', "context_blob": REF}, "context"),
        ({"context_blob": replace(REF, sha256="../../etc/passwd")}, "context_blob.sha256"),
        ({"context_blob": replace(REF, sha256="A" * 64)}, "context_blob.sha256"),
        ({"context_blob": replace(REF, size_bytes=-1)}, "context_blob.size_bytes"),
        ({"context_blob": replace(REF, size_bytes=2**41)}, "context_blob.size_bytes"),
        ({"context_blob": replace(REF, media_type="x" * 256)}, "context_blob.media_type"),
        ({"steps": (Step("a", "g", context_json='{"a":1}', context_blob=REF),)}, "steps[0].context"),
        ({"steps": (Step("a", "g", context_blob=replace(REF, sha256="")),)}, "steps[0].context_blob.sha256"),
    ],
)
def test_a_claim_check_that_is_none_is_refused_by_name(changed: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidContract) as told:
        check_contract(replace(CONTRACT, **changed))
    assert (told.value.code, told.value.field) == ("VALIDATION", field)


def test_a_contract_without_claim_checks_keeps_the_digest_it_had_before_there_were_any() -> None:
    assert contract_digest(CONTRACT) == contract_digest(replace(CONTRACT, context_blob=None))
    assert contract_digest(CONTRACT) != contract_digest(replace(CONTRACT, context_blob=REF))


def test_a_large_context_is_let_in_where_there_is_a_store_for_it() -> None:
    for large in (
        replace(CONTRACT, context_json=LARGE),
        replace(CONTRACT, steps=(Step("a", "g", context_json=LARGE),)),
    ):
        check_submission(large, 2 * MAX_JSON_BYTES)
        with pytest.raises(InvalidContract, match=f"at most {MAX_JSON_BYTES}"):
            check_submission(large)
        with pytest.raises(InvalidContract, match=r"TOO_LARGE: .*context: .*OCTOLOG_BLOB_MAX_BYTES"):
            check_submission(large, MAX_JSON_BYTES + 1)


def test_a_programs_context_stays_in_the_log() -> None:
    program = replace(CONTRACT, operators=(ATOMIC,))
    with pytest.raises(InvalidContract, match=f"context: .*at most {MAX_JSON_BYTES}"):
        check_submission(replace(program, context_json=LARGE), 2 * MAX_JSON_BYTES)
    with pytest.raises(InvalidContract, match="a program decides by its context"):
        check_contract(replace(program, context_blob=REF))
