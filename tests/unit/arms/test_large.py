"""Values that are too large for a record, on their way into an arm and out of it."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from arms.arm import Answer, Arm, arm
from arms.handler import Handler
from arms.large import has_claims, resolved
from arms.outcome import LargeOutput, Outcomes
from arms.work import Work
from blobs import Blobs
from blobs.folder import FolderShelf
from octolog.domain.assignment import AttemptAssignment, Feedback, FeedbackKind, StepInput
from octolog.domain.bounds import MAX_JSON_BYTES
from octolog.domain.errors import (
    BlobChanged,
    BlobMissing,
    BlobTooLarge,
    InvalidContract,
    Refused,
    StoreUnavailable,
)
from octolog.domain.ids import ArmId
from octolog.domain.reports import ExecutionResult, ResultStatus
from octolog.domain.rules import check_report
from octolog.domain.values import BlobRef
from octolog.safety import PiiMode
from tests.unit.arms.doubles import RecordingMeter, assignment

LARGE = "word " * (MAX_JSON_BYTES // 5)
TEXT_ONLY = {"type": "object", "properties": {"text": {"type": "string"}}}
ALL: dict[str, Any] = {"goal": "a goal", "text": LARGE}


@arm("echo", capabilities=("tag",), input_schema=TEXT_ONLY, output_schema=TEXT_ONLY)
def echo(work: Work) -> Any:
    return work.context


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(FolderShelf(tmp_path), 4_000_000)


def ref_of(blobs: Blobs, value: Any) -> BlobRef:
    return blobs.put(json.dumps(value).encode())


def ended(
    value: Any, blobs: Blobs | None, pii: PiiMode = PiiMode.REDACT, made: Arm = echo
) -> ExecutionResult:
    given = assignment()
    handler, outcomes = Handler(given, RecordingMeter()), Outcomes(made, pii, blobs)
    try:
        result = outcomes.of(given, value, handler, took_ms=1, ended_ms=2)
    except LargeOutput:
        result = outcomes.of_large(given, value, handler, took_ms=1, ended_ms=2)
    check_report(replace(result, arm_id=ArmId(result.provenance.arm_id)))
    return result


def stored(blobs: Blobs) -> list[str]:
    return [found.name for found in blobs.shelf.stored()]


def test_an_output_that_fits_a_record_never_sees_the_store() -> None:
    outcomes = Outcomes(echo, blobs=Blobs(FolderShelf(Path("/nowhere/at/all"))))
    given = assignment()
    fits = {"text": "x" * (MAX_JSON_BYTES - len('{"text":""}'))}
    result = outcomes.of(given, fits, Handler(given, RecordingMeter()), took_ms=1, ended_ms=2)
    assert (result.status, len(result.output), result.output_blob) == ("SUCCESS", MAX_JSON_BYTES, None)


def test_an_output_one_byte_longer_goes_to_the_store_and_its_digest_into_the_record(blobs: Blobs) -> None:
    value = {"text": "x" * (MAX_JSON_BYTES - len('{"text":""}') + 1)}
    result = ended(value, blobs)
    assert result.output == ""
    assert result.output_blob is not None
    assert result.output_blob.sha256 == result.provenance.output_hash == stored(blobs)[0]
    assert json.loads(blobs.read(result.output_blob)) == value


def test_the_same_answer_again_is_the_same_blob(blobs: Blobs) -> None:
    assert ended({"text": LARGE, "n": 1}, blobs) == ended({"n": 1, "text": LARGE}, blobs)
    assert len(stored(blobs)) == 1


def test_personal_data_is_taken_out_before_the_blob_is_written(blobs: Blobs) -> None:
    result = ended({"text": f"{LARGE} write to alice@example.com"}, blobs)
    assert result.output_blob is not None
    kept = blobs.read(result.output_blob)
    assert b"alice@example.com" not in kept
    assert b"[REDACTED_EMAIL]" in kept
    assert result.output_blob.sha256 == sha256(kept).hexdigest()


def test_an_output_that_is_rejected_writes_no_blob(blobs: Blobs) -> None:
    result = ended({"text": f"{LARGE} write to alice@example.com"}, blobs, PiiMode.REJECT)
    assert (result.status, result.error_code) == (ResultStatus.FAILURE, "PII_FOUND")
    assert not stored(blobs)


def test_an_answer_that_is_none_writes_no_blob(blobs: Blobs) -> None:
    result = ended(Answer(ALL, confidence=2.0), blobs)
    assert (result.status, result.error_code) == (ResultStatus.FAILURE, "INVALID_OUTPUT")
    assert not stored(blobs)


def test_a_large_output_is_held_against_the_arms_schema(blobs: Blobs) -> None:
    result = ended({"text": [LARGE]}, blobs)
    assert (result.status, result.error_code, result.retryable) == (
        ResultStatus.FAILURE,
        "INVALID_OUTPUT",
        True,
    )
    assert "(output schema of echo 1)" in str(result.error)
    assert not stored(blobs)


def test_an_output_beyond_the_stores_bound_fails_with_the_bound(blobs: Blobs) -> None:
    result = ended({"text": "x" * 4_000_001}, blobs)
    assert (result.status, result.error_code, result.retryable) == (
        ResultStatus.FAILURE,
        "BLOB_TOO_LARGE",
        False,
    )
    assert "at most 4000000" in str(result.error)


def test_without_a_store_a_large_output_is_none() -> None:
    result = ended(ALL, None)
    assert (result.status, result.error_code) == (ResultStatus.FAILURE, "INVALID_OUTPUT")


def test_a_store_that_is_away_is_worth_another_attempt(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = ended(ALL, Blobs(FolderShelf(tmp_path / "file")))
    assert (result.error_code, result.retryable) == ("STORE_UNAVAILABLE", True)


# ------------------------------------------------------------------------------------------ on the way in


def given(blobs: Blobs) -> AttemptAssignment:
    done = Feedback(FeedbackKind.REPLAN, 1, "m", done=(StepInput("d", "", ref_of(blobs, {"of": "d"})),))
    inputs = (StepInput("a", '{"of":"a"}'), StepInput("b", "", ref_of(blobs, {"of": "b"})))
    return replace(assignment(), inputs=inputs, context_blob=ref_of(blobs, {"text": "long"}), feedback=done)


def test_an_arm_finds_large_values_where_small_ones_stand(blobs: Blobs) -> None:
    found = resolved(given(blobs), blobs, echo.capability)
    work = Work(found, Handler(found, RecordingMeter()))
    assert work.inputs == {"a": {"of": "a"}, "b": {"of": "b"}}
    assert work.context == {"text": "long"}
    assert found.feedback is not None
    assert found.feedback.done == (StepInput("d", '{"of": "d"}'),)
    assert not has_claims(found)


def test_only_an_assignment_with_claim_checks_has_any(blobs: Blobs) -> None:
    full = given(blobs)
    assert not has_claims(assignment(inputs={"a": 1}, context={"b": 2}))
    assert has_claims(replace(full, context_blob=None, feedback=None))
    assert has_claims(replace(full, inputs=(), feedback=None))
    assert has_claims(replace(full, inputs=(), context_blob=None))


def test_what_cannot_be_had_is_named(blobs: Blobs) -> None:
    full = given(blobs)
    assert full.context_blob is not None
    unknown = replace(full.context_blob, sha256="0" * 64)
    with pytest.raises(BlobMissing, match=f"blob {'0' * 64} is not in"):
        resolved(replace(full, context_blob=unknown), blobs, echo.capability)
    with pytest.raises(BlobChanged, match="has more than the 3 bytes"):
        resolved(replace(full, context_blob=replace(full.context_blob, size_bytes=3)), blobs, echo.capability)
    refs = tuple(StepInput(n, "", replace(unknown, size_bytes=2_500_000)) for n in "ab")
    with pytest.raises(BlobTooLarge, match="5000000 bytes together"):
        resolved(replace(assignment(), inputs=refs), blobs, echo.capability)


def test_only_json_is_given_to_an_arm(blobs: Blobs) -> None:
    picture = replace(assignment(), inputs=(StepInput("a", "", blobs.put(b"\x89PNG", "image/png")),))
    with pytest.raises(Refused, match="input a is a blob of image/png"):
        resolved(picture, blobs, echo.capability)
    broken = replace(assignment(), inputs=(StepInput("a", "", blobs.put(b'"\xff"')),))
    with pytest.raises(Refused, match="is no UTF-8 text: byte 1"):
        resolved(broken, blobs, echo.capability)


def test_a_large_context_is_held_against_the_arms_schema(blobs: Blobs) -> None:
    wrong = replace(assignment(), context_blob=ref_of(blobs, {"text": 5}))
    with pytest.raises(InvalidContract, match=r"INVALID_INPUT: context.*input schema of echo 1"):
        resolved(wrong, blobs, echo.capability)


def test_a_host_without_a_store_says_so(blobs: Blobs) -> None:
    work = Work(given(blobs), Handler(given(blobs), RecordingMeter()))
    with pytest.raises(StoreUnavailable, match=r"input b is blob .*this host reads no blob store"):
        _ = work.inputs
    with pytest.raises(StoreUnavailable, match=r"the context is blob .*this host reads no blob store"):
        _ = work.context
