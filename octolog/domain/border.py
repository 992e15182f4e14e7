"""What lies between a partition and its arms: JSON Schemas of what goes in and out, and counts of how it went."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeAlias

from octolog.domain.arm import ArmCallCounted, ArmCapability
from octolog.domain.breaker import Breaker, counts
from octolog.domain.evaluator.context import context_of
from octolog.domain.evaluator.text import InputTooLarge
from octolog.domain.facts import AttemptEnded
from octolog.domain.ids import ArmId, TaskId
from octolog.domain.registry import Registry
from octolog.domain.reports import ExecutionResult, ResultStatus
from octolog.domain.task.state import Node, Tree
from octolog.domain.values import TaskError, TaskErrorType

ANYTHING: Final = "{}"
"""The JSON Schema that every document fits."""

FaultIn: TypeAlias = Callable[[str, str], str | None]
"""Holds a JSON document (second) against a JSON Schema (first); says what is wrong, with the path."""


class Border:
    """Holds what passes against the arms' schemas, and counts ends of attempts for their circuit breakers.

    Args:
        fault_in: Knows JSON Schema; None: nothing is held against one.
        count: Takes what counts; None: nothing is counted.
    """

    def __init__(self, fault_in: FaultIn | None, count: Callable[[ArmCallCounted], None] | None) -> None:
        self._fault_in, self._count = fault_in, count
        self._answered: dict[ArmId, Breaker] = {}

    def refusal(self, tree: Tree, task_id: TaskId, arm: ArmCapability) -> str:
        """What the arm's input schema has against a task's context; empty: nothing.

        A context that lies in the blob store is held against it where it is fetched: at the arm.
        """
        if arm.input_schema_json == ANYTHING or self._fault_in is None:
            return ""
        node = tree.nodes.get(task_id)
        if node is None or node.spec.context_blob is not None:
            return ""
        fault = self._fault_in(arm.input_schema_json, _context(tree, node))
        return "" if fault is None else f"context{fault} (input schema of {arm.arm_id} {arm.version})"

    def judged(self, result: ExecutionResult, tree: Tree, registry: Registry) -> ExecutionResult:
        """The result; a current success whose output breaks the arm's output schema is an INVALID_OUTPUT."""
        known = registry.arms.get(result.arm_id)
        if known is None or known.capability.output_schema_json == ANYTHING or self._fault_in is None:
            return result
        if result.status is not ResultStatus.SUCCESS or not result.output:
            return result
        if result.subtask is not None or result.operators or result.attempt_id not in tree.attempts:
            return result  # no output yet, a program instead of one, or of no account
        arm = known.capability
        fault = self._fault_in(arm.output_schema_json, result.output)
        if fault is None:
            return result
        message = f"output{fault} (output schema of {arm.arm_id} {arm.version})"
        return replace(
            result,
            status=ResultStatus.FAILURE,
            error=message,
            error_code="INVALID_OUTPUT",
            retryable=True,
            task_error=TaskError(TaskErrorType.INVALID_OUTPUT, message, violations=(message,)),
        )

    def ended(self, root_id: TaskId, fact: AttemptEnded, registry: Registry, position: int) -> None:
        """Count a failure always, a success while its arm is known to have failed: once for what is known."""
        failed, known = counts(fact), registry.breakers.get(fact.arm_id)
        if failed is None or self._count is None:
            return
        if not failed:
            if known is None or self._answered.get(fact.arm_id) is known:
                return
            self._answered[fact.arm_id] = known
        self._count(
            ArmCallCounted(
                arm_id=fact.arm_id,
                root_task_id=root_id,
                attempt_id=fact.attempt_id,
                partition=0,
                position=position,
                failed=failed,
                error_code=fact.error_code or "",
                assigned_ms=fact.at_ms - fact.settled.time_ms,
                at_ms=fact.at_ms,
            )
        )


def _context(tree: Tree, node: Node) -> str:
    try:
        return node.spec.context_json if node.op is None else context_of(tree, node)
    except InputTooLarge:
        return "{}"  # the task fails of that before an attempt is made
