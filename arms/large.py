"""Large values of an assignment: fetched from the blob store, checked, and put where small ones stand."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from octolog.domain.arm import ArmCapability
from octolog.domain.assignment import AttemptAssignment, StepInput
from octolog.domain.errors import BlobTooLarge, InvalidContract, Refused
from octolog.domain.values import BlobRef
from octolog.ports import BlobStore
from schemas.json_schema import fault_in

__all__ = ["has_claims", "resolved"]

_JSON: Final = "application/json"


def has_claims(given: AttemptAssignment) -> bool:
    """Whether any of its values lies in the blob store."""
    if given.context_blob is not None:
        return True
    for each in given.inputs:  # a loop, not a generator: it runs for every attempt, and most have no input
        if each.output_blob is not None:
            return True
    return given.feedback is not None and any(each.output_blob is not None for each in given.feedback.done)


def resolved(given: AttemptAssignment, blobs: BlobStore, arm: ArmCapability) -> AttemptAssignment:
    """The assignment as if it had never been too large for a record.

    Args:
        given: As it came from the log.
        blobs: Where its large values lie.
        arm: Whose schema of the context a large one must fit; the processor has held the others against it.

    Raises:
        InvalidContract: INVALID_INPUT: the context breaks the schema.
        BlobMissing, BlobChanged, StoreUnavailable: As `BlobStore.read`.
        BlobTooLarge: Its values are together longer than the store's bound for one.
        Refused: One is no JSON.
    """
    _bound(given, blobs.max_bytes)
    inputs = tuple(_input(each, blobs) for each in given.inputs)
    context = (
        given.context_json if given.context_blob is None else _text("context", given.context_blob, blobs)
    )
    if given.context_blob is not None:
        fault = fault_in(arm.input_schema_json, context)
        if fault is not None:
            raise InvalidContract(
                "INVALID_INPUT", f"context{fault}", f"input schema of {arm.arm_id} {arm.version}"
            )
    feedback = given.feedback
    if feedback is not None and feedback.done:
        feedback = replace(feedback, done=tuple(_input(each, blobs) for each in feedback.done))
    return replace(given, inputs=inputs, context_json=context, context_blob=None, feedback=feedback)


def _bound(given: AttemptAssignment, max_bytes: int) -> None:
    done = () if given.feedback is None else given.feedback.done
    refs = [given.context_blob, *(each.output_blob for each in (*given.inputs, *done))]
    total = sum(ref.size_bytes for ref in refs if ref is not None)
    if total > max_bytes:
        raise BlobTooLarge(
            f"inputs and context are {total} bytes together; at most {max_bytes} are read (OCTOLOG_BLOB_MAX_BYTES)"
        )


def _input(given: StepInput, blobs: BlobStore) -> StepInput:
    if given.output_blob is None:
        return given
    text = _text(f"input {given.step_id}", given.output_blob, blobs)
    return StepInput(given.step_id, text)


def _text(what: str, ref: BlobRef, blobs: BlobStore) -> str:
    if ref.media_type != _JSON:
        raise Refused(f"{what} is a blob of {ref.media_type[:80]}; an arm is given {_JSON} alone")
    try:
        return blobs.read(ref).decode()
    except UnicodeDecodeError as error:
        raise Refused(f"{what} (blob {ref.sha256}) is no UTF-8 text: byte {error.start}") from None
