"""Which orchestrated tasks are ready, and what their attempts are told beside their contracts."""

from __future__ import annotations

from dataclasses import replace

from octolog.domain import facts as f
from octolog.domain.assignment import AttemptAssignment, Feedback, FeedbackKind, StepInput
from octolog.domain.ids import TaskId
from octolog.domain.orchestration.state import Flow
from octolog.domain.task.state import Node, NodeStatus, Tree


def made_ready(tree: Tree, fact: f.Fact) -> tuple[TaskId, ...]:
    """Tasks that a fact of orchestration may have made ready."""
    match fact:
        case f.JudgingStarted():
            return (fact.judge_task_id,)
        case f.RepairStarted():
            return fact.repaired
        case f.PlanRefused() | f.ReplanStarted():
            return (fact.task_id,)
        case f.ApprovalDecided():
            held = tree.nodes.get(fact.task_id)
            return () if held is None else (fact.task_id, *held.children)
        case _:
            return ()


def told(tree: Tree, node: Node, flow: Flow, assignment: AttemptAssignment) -> AttemptAssignment:
    """The assignment, with what an earlier attempt led to; a judge's, with the result."""
    if flow.judges is not None:
        owner = tree.nodes[flow.judges.task_id]
        judged = flow if owner.flow is None else owner.flow
        return replace(assignment, inputs=(StepInput("result", judged.result, judged.result_blob),))
    if flow.told is None:
        return assignment
    kind = flow.told.kind
    steps = [tree.nodes[child] for child in node.children] if kind is FeedbackKind.REPLAN else []
    done = [step for step in steps if step.status is NodeStatus.COMPLETED]
    feedback = Feedback(
        kind,
        flow.told.number,
        flow.told.message,
        flow.told.failed,
        node.output if kind is FeedbackKind.REPAIR else "",
        tuple(StepInput(step.spec.step_id or step.task_id, step.output, step.output_blob) for step in done),
        tuple(step.spec.step_id for step in steps),
    )
    return replace(assignment, feedback=feedback)
