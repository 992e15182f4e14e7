"""What an arm is told of an attempt that was assigned to it."""

from __future__ import annotations

from octolog.domain import facts as f
from octolog.domain.assignment import AttemptAssignment, StepInput
from octolog.domain.evaluator import given
from octolog.domain.task.state import Tree


def assignment(tree: Tree, fact: f.AttemptAssigned) -> AttemptAssignment:
    """The attempt that a fact assigns, with all its arm needs to know."""
    node = tree.nodes[fact.task_id]
    if node.op is not None or node.spawn is not None:
        return given.assignment(tree, node, fact)
    spec = node.spec
    inputs = tuple(
        StepInput(need.spec.step_id or need.task_id, need.output, need.output_blob)
        for need in (tree.nodes[task_id] for task_id in node.depends_on)
    )
    return AttemptAssignment(
        root_task_id=tree.root_id,
        task_id=node.task_id,
        attempt_id=fact.attempt_id,
        number=fact.number,
        arm_id=fact.arm_id,
        goal=spec.goal,
        constraints_json=spec.constraints_json,
        context_json=spec.context_json,
        acceptance_criteria=spec.acceptance_criteria,
        inputs=inputs,
        allowance=fact.allowance,
        priority=spec.priority,
        assigned_ms=fact.at_ms,
        lease_ms=fact.lease_ms,
        timeout_ms=fact.timeout_ms,
        security_policy=tree.security_policy,
    )
