"""What is wrong with a success: a verdict that is none, a plan that nobody can do, a question too many."""

from __future__ import annotations

from octolog.domain.orchestration import approval, replanning
from octolog.domain.orchestration.verdict import verdict_of
from octolog.domain.registry import Registry
from octolog.domain.reports import ExecutionResult, ResultStatus
from octolog.domain.task.state import Node, NodeStatus, Tree


def asks_again(node: Node, result: ExecutionResult) -> bool:
    """Whether a plan that is none goes back to its arm with the reason, apart from retries."""
    return bool(result.plan) and node.flow is not None and node.flow.rule is not None


def fault_of(node: Node, result: ExecutionResult, registry: Registry | None) -> str | None:
    """Why an orchestrated task's success is none; None: it is one."""
    flow = node.flow
    if result.status is not ResultStatus.SUCCESS or flow is None:
        return None
    if flow.judges is not None:
        try:
            verdict_of(result)
        except ValueError as error:
            return str(error)
    if result.question and flow.approvals >= approval.MAX_APPROVALS:
        return f"TOO_MANY_QUESTIONS: a task asks at most {approval.MAX_APPROVALS} times"
    if result.plan and flow.rule is not None and registry is not None:
        return replanning.missing_arm(result.plan, registry)
    return None


def done_steps(tree: Tree, node: Node) -> tuple[str, ...]:
    """Names of completed steps, on which a new plan may depend."""
    steps = (tree.nodes[child] for child in node.children)
    return tuple(step.spec.step_id for step in steps if step.status is NodeStatus.COMPLETED)
