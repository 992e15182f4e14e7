"""Plans that are refused, and plans that are made again because a step failed for good."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Final

from octolog.domain import facts as f
from octolog.domain.contract import Orchestration, Step
from octolog.domain.evaluator.state import Fault
from octolog.domain.ids import AttemptId, TaskId
from octolog.domain.orchestration import approval
from octolog.domain.registry import Registry
from octolog.domain.task import ending
from octolog.domain.task.state import Attempt, Node, NodeStatus, Tree
from octolog.domain.values import Category

MAX_REFUSALS: Final = 2
"""How often a refused plan goes back to whoever made it."""

MAX_TOLD_CHARS: Final = 1_000
_ACTIVE: Final = (
    NodeStatus.READY,
    NodeStatus.ASSIGNED,
    NodeStatus.RUNNING,
    NodeStatus.BACKOFF,
    NodeStatus.WAITING,
    NodeStatus.HELD,
)


def missing_arm(steps: tuple[Step, ...], registry: Registry) -> str | None:
    """The first step that no registered arm could ever take, healthy or not, in words; None: there is none."""
    arms = [state.capability for state in registry.arms.values() if not state.retired]
    for step in steps:
        if step.assigned_arm is not None and all(arm.arm_id != step.assigned_arm for arm in arms):
            return f"step {step.step_id!r} wants arm {step.assigned_arm}, which is not registered"
        fit = [arm for arm in arms if step.assigned_arm in (None, arm.arm_id)]
        tags = set(step.required_capabilities)
        cap = step.max_cost_tier
        if any(tags <= set(arm.capabilities) and (cap is None or arm.cost_tier <= cap) for arm in fit):
            continue
        have = {tag for arm in fit for tag in arm.capabilities}
        lacking = sorted(tags - have)
        what = f"no arm has {', '.join(lacking)}" if lacking else f"no one arm has {', '.join(sorted(tags))}"
        return f"step {step.step_id!r}: {what}{'' if cap is None else f' at cost tier {cap} or less'}"
    return None


def refused(node: Node, attempt: AttemptId, reason: str, at_ms: int) -> f.Fact | None:
    """The refusal of a plan that goes back to its arm, or to a person; None: it was refused often enough."""
    flow = node.flow
    if flow is None or flow.rule is None:
        return None
    if flow.refusals < MAX_REFUSALS:
        return f.PlanRefused(at_ms, node.task_id, attempt, flow.refusals + 1, reason[:MAX_TOLD_CHARS])
    if flow.rule.escalate and flow.approvals < approval.MAX_APPROVALS:
        return approval.requested(node, f.ApprovalReason.PLAN_REFUSED, reason, at_ms)
    return None


def absorbed(tree: Tree, node: Node, fault: Fault, at_ms: int) -> Generator[f.Fact, None, bool]:
    """Fail a step of a plan that can be made again; False: there is no such plan, and nothing was done."""
    owner, path = _plan_of(tree, node)
    if owner is None:
        return False
    for step in path:
        if step is not node:
            for attempt in _attempts_below(tree, step):
                reason = f"{node.task_id} failed"
                yield ending.stopped(attempt, f.Outcome.CANCELLED, "CANCELLED", reason, at_ms)
            yield from ending.check_budget(tree, at_ms)
            if tree.closed:
                return True
        category = Category(fault.category)
        below = None if step is node else node.task_id
        message = fault.message[:MAX_TOLD_CHARS]
        yield f.TaskFailed(at_ms, step.task_id, fault.code, category, message, below, (), ending.used(tree))
    return True


def if_stalled(tree: Tree, task_id: TaskId | None, at_ms: int) -> Iterator[f.Fact]:
    """Once nothing of a plan can go on any more: ask for a new one, or a person, or fail."""
    here = None if task_id is None else tree.nodes.get(task_id)
    while here is not None and not tree.closed:
        rule = None if here.flow is None else here.flow.rule
        if rule is not None and _is_stalled(tree, here):
            yield from _again(tree, here, rule, at_ms)
            return
        here = tree.nodes.get(here.parent) if here.parent is not None else None


def replanned(tree: Tree, owner: Node, at_ms: int) -> f.ReplanStarted:
    """The fact that the planner is asked again."""
    flow = owner.flow
    assert flow is not None and flow.failed is not None  # noqa: S101, PT018 -- a step failed
    dropped = [child for child in owner.children if tree.nodes[child].status is NodeStatus.BLOCKED]
    return f.ReplanStarted(at_ms, owner.task_id, flow.replans + 1, flow.failed, flow.fault[2], tuple(dropped))


def _again(tree: Tree, owner: Node, rule: Orchestration, at_ms: int) -> Iterator[f.Fact]:
    flow = owner.flow
    if flow is None or flow.failed is None:
        return
    code, category, message = flow.fault
    if flow.replans < rule.max_replans:
        yield replanned(tree, owner, at_ms)
    elif rule.escalate and flow.approvals < approval.MAX_APPROVALS:
        question = f"{flow.failed} failed after {flow.replans} new plans: {message}"
        yield approval.requested(owner, f.ApprovalReason.STEP_FAILED, question, at_ms, flow.failed)
    else:
        yield from ending.fail(tree, owner, code, Category(category), message, at_ms)


def _is_stalled(tree: Tree, owner: Node) -> bool:
    if owner.status is not NodeStatus.WAITING or not owner.planned:
        return False
    found = [tree.nodes[child].status for child in owner.children]
    return NodeStatus.FAILED in found and not any(status in _ACTIVE for status in found)


def _plan_of(tree: Tree, node: Node) -> tuple[Node | None, list[Node]]:
    """The task whose plan a failed one belongs to, if it can be made again; and what fails with it."""
    path, here = [node], node
    while here.parent is not None:
        parent = tree.nodes.get(here.parent)
        if parent is None or here.op is not None or (here.flow is not None and here.flow.judges is not None):
            return None, []
        flow = parent.flow
        if flow is not None and flow.rule is not None and parent.planned and parent.attempts:
            left = flow.replans < flow.rule.max_replans
            if left or (flow.rule.escalate and flow.approvals < approval.MAX_APPROVALS):
                return parent, path
        path.append(parent)
        here = parent
    return None, []


def _attempts_below(tree: Tree, top: Node) -> list[Attempt]:
    found: list[Attempt] = []
    for attempt in tree.attempts.values():
        here: Node | None = tree.nodes.get(attempt.task_id)
        while here is not None and here is not top:
            here = tree.nodes.get(here.parent) if here.parent is not None else None
        if here is top:
            found.append(attempt)
    return found
