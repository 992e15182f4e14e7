"""Large values on their way in and out: contexts become claim checks, claim checks become results."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from octolog.client.decisions import Outcome
from octolog.domain.contract import Step, SubmitTask, TaskContract
from octolog.domain.errors import BlobChanged, BlobMissing, BlobTooLarge
from octolog.edge.large import is_large
from octolog.ports import BlobStore

__all__ = ["checked_in", "claimed"]

_TOGETHER_BYTES: Final = 800_000
"""Contexts of one contract that stay in its record: it must stay below `MAX_RECORD_BYTES`, goals and all."""

_SMALL_BYTES: Final = 4_096
"""What is smaller gains nothing in a blob of its own."""


def claimed(command: SubmitTask, store: Callable[[], BlobStore]) -> SubmitTask:
    """The command with every context that is too large for a record in the blob store; screened before, unlike after.

    Contexts that are too large together go there too, the largest first. A program keeps its context: its decisions
    depend on it, so it must be in the log.

    Raises:
        BlobTooLarge: A context is longer than the store takes.
        StoreUnavailable: The store does not answer.
    """
    contract = command.contract
    if contract.operators:
        return command
    if is_large(contract.context_json):
        blob = store().put(contract.context_json.encode())
        contract = replace(contract, context_json="{}", context_blob=blob)
    if any(is_large(step.context_json) for step in contract.steps):
        contract = replace(contract, steps=tuple(_claimed(step, store) for step in contract.steps))
    contract = _together(contract, store)
    return command if contract is command.contract else replace(command, contract=contract)


def checked_in(outcome: Outcome, store: BlobStore) -> Outcome:
    """The outcome with its large output.

    Raises:
        BlobMissing, BlobChanged, BlobTooLarge, StoreUnavailable: The task completed, and its output cannot be had.
    """
    ref = outcome.result_blob
    if ref is None:
        return outcome
    try:
        data = store.read(ref)
    except (BlobMissing, BlobChanged, BlobTooLarge) as error:
        raise type(error)(
            f"task {outcome.task_id} completed, and its output cannot be read: {error}"
        ) from None
    return replace(outcome, result=json.loads(data))


def _together(contract: TaskContract, store: Callable[[], BlobStore]) -> TaskContract:
    """The contract with as many steps' contexts in the store as it takes for the others to fit in one record."""
    sizes = [len(step.context_json.encode()) for step in contract.steps]
    left = len(contract.context_json.encode()) + sum(sizes)
    if left <= _TOGETHER_BYTES:
        return contract
    steps = list(contract.steps)
    for index in sorted(range(len(steps)), key=lambda n: (-sizes[n], n)):
        if left <= _TOGETHER_BYTES or sizes[index] < _SMALL_BYTES:
            break
        steps[index] = _put(steps[index], store)
        left -= sizes[index]
    return replace(contract, steps=tuple(steps))


def _claimed(step: Step, store: Callable[[], BlobStore]) -> Step:
    return _put(step, store) if is_large(step.context_json) else step


def _put(step: Step, store: Callable[[], BlobStore]) -> Step:
    return replace(step, context_json="{}", context_blob=store().put(step.context_json.encode()))
