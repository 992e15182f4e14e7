"""Contracts whose context is too large for a record: checked as handed in; then the context goes to the blob store."""

from __future__ import annotations

from dataclasses import replace

from octolog.domain.bounds import MAX_JSON_BYTES
from octolog.domain.contract import Step, TaskContract
from octolog.domain.errors import InvalidContract
from octolog.domain.rules import check_contract

__all__ = ["check_submission", "has_large", "is_large"]


def is_large(context_json: str) -> bool:
    """Whether a context belongs in the blob store."""
    return len(context_json) > MAX_JSON_BYTES


def has_large(contract: TaskContract) -> bool:
    """Whether any of its contexts belongs in the blob store."""
    return is_large(contract.context_json) or any(is_large(step.context_json) for step in contract.steps)


def check_submission(contract: TaskContract, max_context_bytes: int = MAX_JSON_BYTES) -> None:
    """Raise InvalidContract for the first bound a contract breaks; contexts may be longer than a record takes.

    Args:
        contract: As handed in.
        max_context_bytes: Longest context.
    """
    if max_context_bytes <= MAX_JSON_BYTES or contract.operators:  # a program decides by its context
        check_contract(contract)
        return
    if is_large(contract.context_json):
        contract = replace(
            contract, context_json=_set_aside("context", contract.context_json, max_context_bytes)
        )
    if any(is_large(step.context_json) for step in contract.steps):
        steps = (
            _light(f"steps[{n}].context", step, max_context_bytes) for n, step in enumerate(contract.steps)
        )
        contract = replace(contract, steps=tuple(steps))
    check_contract(contract)


def _light(field: str, step: Step, max_bytes: int) -> Step:
    if not is_large(step.context_json):
        return step
    return replace(step, context_json=_set_aside(field, step.context_json, max_bytes))


def _set_aside(field: str, text: str, max_bytes: int) -> str:
    size_bytes = len(text.encode())
    if size_bytes > max_bytes:
        raise InvalidContract(
            "TOO_LARGE", field, f"{size_bytes} bytes; at most {max_bytes} (OCTOLOG_BLOB_MAX_BYTES)"
        )
    return "{}"
