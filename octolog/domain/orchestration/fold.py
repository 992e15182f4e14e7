"""What facts change in tasks that are orchestrated. Total like `octolog.domain.task.evolve`, which calls it."""

from __future__ import annotations

from typing import Final

from octolog.domain import facts as f
from octolog.domain.assignment import FeedbackKind
from octolog.domain.ids import TaskId
from octolog.domain.orchestration.state import Flow, Hold, Judged, Told
from octolog.domain.task.state import Node, NodeStatus, Spec, Tree, flow_of, join, make_ready, set_status
from octolog.domain.values import BlobRef

_OVER: Final = (NodeStatus.COMPLETED, NodeStatus.FAILED, NodeStatus.CANCELLED)


def approval_requested(tree: Tree, fact: f.ApprovalRequested) -> None:
    """The task is held until somebody decides."""
    node = tree.nodes.get(fact.task_id)
    if node is None:
        return
    flow = flow_of(tree, node)
    flow.hold = Hold(fact.reason, fact.on_timeout, fact.due_ms, fact.about, fact.question)
    flow.approvals = fact.number
    set_status(tree, node, NodeStatus.HELD)
    if fact.task_id in tree.unasked:
        tree.unasked.remove(fact.task_id)


def approval_decided(tree: Tree, fact: f.ApprovalDecided) -> None:
    """The task is no longer held; what it does now depends on what was asked."""
    node = tree.nodes.get(fact.task_id)
    if node is None or node.flow is None or node.flow.hold is None:
        return
    flow, hold = node.flow, node.flow.hold
    flow.hold = None
    if not fact.approved:
        set_status(tree, node, NodeStatus.WAITING)
        return
    comment = f"{fact.decided_by}: {fact.comment}" if fact.comment else ""
    match hold.reason:
        case f.ApprovalReason.BEFORE_START:
            flow.gate = None
            flow.told = Told(FeedbackKind.APPROVED, fact.number, comment)
            _begin(tree, node)
        case f.ApprovalReason.QUESTION:
            _again(tree, node, Told(FeedbackKind.APPROVED, fact.number, comment))
        case f.ApprovalReason.PLAN_REFUSED:
            flow.refusals = 0
            _again(tree, node, Told(FeedbackKind.PLAN_REFUSED, flow.refusals + 1, hold.question))
        case _:  # the result may stand, or another fact says what follows
            flow.accepted = hold.reason is not f.ApprovalReason.STEP_FAILED
            set_status(tree, node, NodeStatus.WAITING)


def _begin(tree: Tree, node: Node) -> None:
    """A task that may begin: itself, or the steps that it brought."""
    if not node.planned and node.task_id not in tree.programs:
        make_ready(tree, node)
        return
    set_status(tree, node, NodeStatus.WAITING)
    for task_id in node.children:
        child = tree.nodes[task_id]
        child.waiting_on -= 1
        if child.waiting_on == 0 and child.status is NodeStatus.BLOCKED:
            make_ready(tree, child)


def plan_refused(tree: Tree, fact: f.PlanRefused) -> None:
    """The arm is asked again, and told what is wrong with its plan."""
    node = tree.nodes.get(fact.task_id)
    if node is not None:
        flow_of(tree, node).refusals = fact.number
        _again(tree, node, Told(FeedbackKind.PLAN_REFUSED, fact.number, fact.reason))


def judging_started(tree: Tree, fact: f.JudgingStarted) -> None:
    """The judge's task joins the tree, ready; the judged one waits for it."""
    node = tree.nodes.get(fact.task_id)
    if node is None:
        return
    flow = flow_of(tree, node)
    flow.judgings = fact.number
    flow.result, flow.result_blob = _result_of(tree, node, fact)
    set_status(tree, node, NodeStatus.WAITING)
    tags = ("criteria_validation",) if flow.rule is None else flow.rule.judge_capabilities
    spec = node.spec
    judge = Node(
        fact.judge_task_id,
        node.task_id,
        Spec(
            goal=spec.goal,
            constraints_json=spec.constraints_json,
            context_json='{"judge":"criteria"}',
            acceptance_criteria=spec.acceptance_criteria,
            required_capabilities=tags,
            max_cost_tier=spec.max_cost_tier,
            routing_policy=spec.routing_policy,
            priority=spec.priority,
            retry=spec.retry,
        ),
        node.depth + 1,
        NodeStatus.READY,
        flow=Flow(judges=Judged(node.task_id, fact.number)),
    )
    join(tree, judge)
    tree.flows += 1
    node.open_children += 1  # it is no step: the result is not made of what it says


def _result_of(tree: Tree, node: Node, fact: f.JudgingStarted) -> tuple[str, BlobRef | None]:
    """What is judged: as the fact says it, or as the attempt that it names gave it."""
    if fact.attempt_id is None or fact.output or fact.output_blob is not None:
        return fact.output, fact.output_blob
    steps = [tree.nodes[child] for child in node.children] if node.planned else []
    made = next((step for step in steps if step.output_of == fact.attempt_id), node)
    return made.output, made.output_blob


def task_judged(tree: Tree, fact: f.TaskJudged) -> None:
    """The result may stand, or something else follows."""
    node = tree.nodes.get(fact.task_id)
    if node is not None:
        flow_of(tree, node).accepted = fact.accepted
    tree.nodes.pop(fact.judge_task_id, None)  # over, and nothing depends on it


def task_failed(tree: Tree, node: Node, fact: f.TaskFailed) -> None:
    """A judge is no longer waited for; of a step, its plan's task remembers why."""
    parent = tree.nodes.get(node.parent) if node.parent is not None else None
    if parent is None:
        return
    if node.flow is not None and node.flow.judges is not None:
        parent.open_children -= 1
        tree.nodes.pop(node.task_id)
    elif parent.flow is not None and parent.flow.rule is not None:
        parent.flow.failed = node.task_id
        parent.flow.fault = (fact.code, str(fact.category), fact.message)


def repair_started(tree: Tree, fact: f.RepairStarted) -> None:
    """What makes the result is done again, and everything between it and the judged task waits for it."""
    owner = tree.nodes.get(fact.task_id)
    if owner is None:
        return
    flow_of(tree, owner).repairs = fact.number
    told = Told(FeedbackKind.REPAIR, fact.number, fact.feedback, fact.failed)
    for task_id in fact.repaired:
        node = tree.nodes.get(task_id)
        if node is not None:
            _again(tree, node, told)
            if node is not owner:
                _reopen_above(tree, node, owner)


def _reopen_above(tree: Tree, node: Node, owner: Node) -> None:
    here = tree.nodes.get(node.parent) if node.parent is not None else None
    while here is not None:
        here.open_children += 1
        was_over = here.status in _OVER
        if here is owner or not was_over:
            return
        set_status(tree, here, NodeStatus.WAITING)
        if here.flow is not None:
            here.flow.accepted = False
        here = tree.nodes.get(here.parent) if here.parent is not None else None


def replan_started(tree: Tree, fact: f.ReplanStarted) -> None:
    """What cannot be done any more is dropped; the planner is asked again."""
    owner = tree.nodes.get(fact.task_id)
    if owner is None:
        return
    flow_of(tree, owner).replans = fact.number
    for task_id in owner.children:
        node = tree.nodes[task_id]
        if node.status is NodeStatus.FAILED or task_id in fact.dropped:
            set_status(tree, node, NodeStatus.CANCELLED)
    owner.open_children = sum(tree.nodes[child].status not in _OVER for child in owner.children)
    _again(tree, owner, Told(FeedbackKind.REPLAN, fact.number, f"{_name(owner, fact)}: {fact.reason}"))


def _name(owner: Node, fact: f.ReplanStarted) -> TaskId:
    return TaskId(fact.failed_task_id.removeprefix(f"{owner.task_id}/"))


def _again(tree: Tree, node: Node, told: Told) -> None:
    """Another attempt, that counts as no retry."""
    flow = flow_of(tree, node)
    flow.told, flow.attempts_before, flow.accepted = told, node.attempts, False
    set_status(tree, node, NodeStatus.READY)
