"""What a task of a program asks for: its operator's words, and the rest from the task around it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from octolog.domain.evaluator.program import Loaded
from octolog.domain.operators import ATOMIC, Operator, OperatorInput, Role, SubtaskRequest
from octolog.domain.tasksystem import AtomicTaskSubtype

if TYPE_CHECKING:
    from octolog.domain.task.state import Spec


def spec_of(loaded: Loaded, position: int, around: Spec) -> Spec:
    """What the task of an operator asks for; one object for all that a map or reduce makes of it.

    An operator that names neither an arm nor tags takes those of the task around it, as it does with the rest that
    it leaves out; its criteria and its budget are its own.
    """
    known: Spec | None = loaded.specs.get(position)
    if known is not None:
        return known
    operator = loaded.operators[position]
    routed = operator.assigned_arm is not None or operator.required_capabilities
    tier, priority, timeout = operator.max_cost_tier, operator.priority, operator.timeout_ms
    made = replace(
        around,
        goal=operator.goal or around.goal,
        step_id=operator.name,
        acceptance_criteria=operator.acceptance_criteria,
        assigned_arm=operator.assigned_arm if routed else around.assigned_arm,
        required_capabilities=operator.required_capabilities if routed else around.required_capabilities,
        max_cost_tier=around.max_cost_tier if tier is None else tier,
        want=operator.budget,
        priority=around.priority if priority is None else priority,
        timeout_ms=around.timeout_ms if timeout is None else timeout,
    )
    if position == 0 and not operator.acceptance_criteria:
        made.acceptance_criteria = around.acceptance_criteria
    if operator.role in (Role.INNER, Role.REDUCTION):  # a step is made once: keeping it would be memory lost
        loaded.specs[position] = made
    return made


def subtask_operator(request: SubtaskRequest) -> Operator:
    """A subtask as an operator."""
    return replace(
        ATOMIC,
        subtype=AtomicTaskSubtype.SUBTASK,
        goal=request.goal,
        instructions=request.instructions,
        system=request.system,
        model=request.model,
        inputs=tuple(OperatorInput(given.name, given.text) for given in request.inputs),
        output_type=request.output_type,
        assigned_arm=request.assigned_arm,
        required_capabilities=request.required_capabilities,
        max_cost_tier=request.max_cost_tier,
        acceptance_criteria=request.acceptance_criteria,
        budget=request.budget,
        max_turns=request.max_turns,
        max_context_fraction=request.max_context_fraction,
        timeout_ms=request.timeout_ms,
    )
