"""Results held against their acceptance criteria, and repaired."""

from __future__ import annotations

from collections.abc import Iterator

from octolog.domain import facts as f
from octolog.domain.ids import MAX_TASK_ID_LENGTH, TaskId, uuid5
from octolog.domain.orchestration import approval
from octolog.domain.orchestration.verdict import Verdict
from octolog.domain.task import ending
from octolog.domain.task.state import Node, NodeStatus, Tree
from octolog.domain.values import Category


def is_wanted(node: Node) -> bool:
    """Whether a task's result must be judged before it counts."""
    flow = node.flow
    if flow is None or flow.rule is None or flow.accepted:
        return False
    return flow.rule.judge and bool(node.spec.acceptance_criteria)


def started(tree: Tree, node: Node, at_ms: int) -> f.JudgingStarted:
    """The fact that a judge is asked."""
    number = 1 if node.flow is None else node.flow.judgings + 1
    result = ending.completed(tree, node, at_ms)
    joined = result.output if result.attempt_id is None else ""
    blob = result.output_blob if result.attempt_id is None else None
    return f.JudgingStarted(
        at_ms, node.task_id, _judge_id(tree, node, number), number, joined, blob, result.attempt_id
    )


def after(tree: Tree, owner: Node, judge: Node, verdict: Verdict, at_ms: int) -> Iterator[f.Fact]:
    """What follows from a verdict that does not let the result stand; nothing when it does."""
    flow = owner.flow
    if flow is None or flow.rule is None:
        return
    if verdict.accepted:
        if verdict.confidence < flow.rule.min_confidence:
            question = f"accepted with confidence {verdict.confidence:g} only: {verdict.feedback}"
            yield approval.requested(owner, f.ApprovalReason.LOW_CONFIDENCE, question, at_ms, judge.task_id)
        return
    repairable = repairs(tree, owner)
    if repairable and flow.repairs < flow.rule.max_repairs:
        number = flow.repairs + 1
        yield f.RepairStarted(at_ms, owner.task_id, number, repairable, verdict.failed, verdict.feedback)
        return
    told = "; ".join(verdict.failed) or verdict.feedback or "it gave no reason"
    message = f"the judge did not accept the result after {flow.repairs} repairs: {told}"
    if flow.rule.escalate:
        yield approval.requested(owner, f.ApprovalReason.NOT_ACCEPTED, message, at_ms, judge.task_id)
    else:
        yield from ending.fail(tree, owner, "NOT_ACCEPTED", Category.VALIDATION, message[:1_000], at_ms)


def repairs(tree: Tree, owner: Node) -> tuple[TaskId, ...]:
    """Tasks whose own outputs make the result, so that doing them again makes another."""
    if owner.op is not None or owner.task_id in tree.programs:
        return ()
    if not owner.planned:
        return (owner.task_id,)
    found: list[TaskId] = []
    for step in ending.last_steps(tree, owner):
        if step.status is NodeStatus.COMPLETED:
            found += repairs(tree, step)
    return tuple(found)


def _judge_id(tree: Tree, node: Node, number: int) -> TaskId:
    """No step can have it: a step's name begins with a letter or digit."""
    name = f"{node.task_id}/.judge-{number}"
    if len(name) > MAX_TASK_ID_LENGTH or name in tree.nodes:
        name = uuid5(f"{tree.root_id}#{node.task_id}#judge#{number}")
    return TaskId(name)
