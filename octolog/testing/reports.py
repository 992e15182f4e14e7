"""What arms report, as an arm would send it, with every field that does not matter filled in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

from octolog.domain.ids import ArmId, AttemptId, TaskId, attempt_id
from octolog.domain.reports import (
    AttemptHeartbeat,
    AttemptStarted,
    ExecutionResult,
    ModelCallIntended,
    ResourceUsed,
    ResultStatus,
)
from octolog.domain.values import Amounts, Provenance
from octolog.testing.requests import ROOT

_INSTANCE: Final = "instance-1"
_MODEL: Final = "model-1"
_COMMAND_HASH: Final = "c0" * 32


class Attempted(Protocol):
    """Names an attempt: an `AttemptAssignment` as the arm got it, or an `AttemptRef`."""

    @property
    def root_task_id(self) -> TaskId:
        """The tree."""
        ...

    @property
    def task_id(self) -> TaskId:
        """The task."""
        ...

    @property
    def attempt_id(self) -> AttemptId:
        """The attempt."""
        ...

    @property
    def arm_id(self) -> ArmId:
        """The arm that reports."""
        ...


@dataclass(frozen=True, slots=True)
class AttemptRef:
    """An attempt by name, for tests that have no assignment at hand.

    Attributes:
        root_task_id: The tree.
        task_id: The task.
        attempt_id: The attempt.
        arm_id: The arm that reports.
    """

    root_task_id: TaskId
    task_id: TaskId
    attempt_id: AttemptId
    arm_id: ArmId


def attempt(
    task_id: str = ROOT, number: int = 1, *, arm: str = "arm-a", root: str | None = None
) -> AttemptRef:
    """Attempt `number` at a task; `root` is the part of the id before its first `/` unless given."""
    tree, task = TaskId(root or task_id.split("/", 1)[0]), TaskId(task_id)
    return AttemptRef(tree, task, attempt_id(tree, task, number), ArmId(arm))


def success(of: Attempted, output: str = '"done"', **fields: Any) -> ExecutionResult:
    """The attempt reached its goal; `fields` are those of `ExecutionResult`."""
    return _result(of, ResultStatus.SUCCESS, output=output, **{"confidence": 1.0, **fields})


def failure(
    of: Attempted, error: str = "it broke", *, retryable: bool = False, **fields: Any
) -> ExecutionResult:
    """The attempt failed; not to be tried again unless `retryable`."""
    fields.setdefault("error_code", "EXTERNAL_SERVICE_ERROR" if retryable else "VALIDATION")
    return _result(of, ResultStatus.FAILURE, error=error, retryable=retryable, **fields)


def partial(
    of: Attempted, output: str = '"half"', error: str = "half done", **fields: Any
) -> ExecutionResult:
    """The attempt reached a part of its goal."""
    return _result(of, ResultStatus.PARTIAL, output=output, error=error, **fields)


def started(of: Attempted) -> AttemptStarted:
    """Work on the attempt began."""
    return AttemptStarted(of.root_task_id, of.task_id, of.attempt_id, of.arm_id, _INSTANCE)


def heartbeat(of: Attempted, note: str = "") -> AttemptHeartbeat:
    """The arm still holds the attempt."""
    return AttemptHeartbeat(of.root_task_id, of.task_id, of.attempt_id, of.arm_id, _INSTANCE, note)


def call_intended(of: Attempted, number: int = 1, **at_most: int) -> ModelCallIntended:
    """Model call `number` is about to be made; `at_most` are fields of `Amounts`."""
    at = Amounts(**at_most)
    return ModelCallIntended(of.root_task_id, of.task_id, of.attempt_id, of.arm_id, number, _MODEL, at)


def call_used(of: Attempted, number: int = 1, **used: int) -> ResourceUsed:
    """What model call `number` really used; `used` are fields of `Amounts`."""
    amounts = Amounts(**used)
    return ResourceUsed(of.root_task_id, of.task_id, of.attempt_id, of.arm_id, number, _MODEL, amounts)


def _result(of: Attempted, status: ResultStatus, **fields: Any) -> ExecutionResult:
    values: dict[str, Any] = {
        "output": "",
        "confidence": 0.0,
        "execution_time_ms": 0,
        "tokens_used": 0,
        "provenance": Provenance(of.arm_id, 0, _COMMAND_HASH),
    }
    return ExecutionResult(
        of.root_task_id, of.task_id, of.attempt_id, of.arm_id, status, **{**values, **fields}
    )
