"""What a fact changes. Total: no rule, no refusal and no exception, for any history; it already happened."""

from __future__ import annotations

from typing import Final, assert_never

from octolog.domain import facts as f
from octolog.domain.contract import AmendBudget, Step, TaskContract
from octolog.domain.evaluator import fold
from octolog.domain.evaluator.program import Loaded
from octolog.domain.ids import TaskId, step_task_id
from octolog.domain.orchestration import fold as course
from octolog.domain.orchestration.state import Flow
from octolog.domain.reports import ExecutionResult
from octolog.domain.task import accounts
from octolog.domain.task.ledger import ZERO, add, reserved_by, subtract, vector
from octolog.domain.task.state import (
    Attempt,
    Node,
    NodeStatus,
    Proposed,
    Spec,
    Tree,
    TreeStatus,
    fingerprint,
    join,
    make_ready,
    set_status,
)
from octolog.domain.values import NO_LIMITS

_OVER: Final = (NodeStatus.COMPLETED, NodeStatus.FAILED, NodeStatus.CANCELLED)

# Looked up once: reading a member from its class costs Python 3.11 as much as a call, and these are read per fact.
_BLOCKED, _READY, _ASSIGNED = NodeStatus.BLOCKED, NodeStatus.READY, NodeStatus.ASSIGNED
_RUNNING, _WAITING, _COMPLETED = NodeStatus.RUNNING, NodeStatus.WAITING, NodeStatus.COMPLETED
_ABSENT: Final = TreeStatus.ABSENT
_INTENDED: Final = f.UsagePhase.INTENDED
_WITH_OUTPUT: Final = (f.Outcome.SUCCESS, f.Outcome.PARTIAL)


def evolve(tree: Tree, fact: f.Fact) -> Tree:  # noqa: C901, PLR0915 -- one case per fact, that is the point
    """Fold one fact into the tree, in place, and return it."""
    match fact:  # the most frequent first: each case before it costs a test
        case f.UsageRecorded():
            _usage_recorded(tree, fact)
        case f.LeaseRenewed():
            _lease_renewed(tree, fact)
        case f.AttemptEnded():
            _attempt_ended(tree, fact)
        case f.AttemptAssigned():
            _attempt_assigned(tree, fact)
        case f.TaskCompleted():
            _task_completed(tree, fact)
        case f.TaskSubmitted():
            _task_submitted(tree, fact)
        case f.RetryScheduled():
            if node := tree.nodes.get(fact.task_id):
                set_status(tree, node, NodeStatus.BACKOFF)
                node.due_ms = fact.due_ms
        case f.RetryDue():
            if node := tree.nodes.get(fact.task_id):
                set_status(tree, node, NodeStatus.READY)
        case f.TaskPlanned():
            _task_planned(tree, fact)
        case f.OperatorStarted():
            fold.operator_started(tree, fact)
        case f.TaskFailed():
            node = tree.nodes.get(fact.task_id)
            if node is not None and node.op is not None and node.parent is not None:
                fold.failed(tree, node, fact)
            elif tree.flows and node is not None:
                course.task_failed(tree, node, fact)
                _task_over(tree, fact.task_id, NodeStatus.FAILED, TreeStatus.FAILED)
            else:
                _task_over(tree, fact.task_id, NodeStatus.FAILED, TreeStatus.FAILED)
        case f.TaskCancelled():
            _task_over(tree, fact.task_id, NodeStatus.CANCELLED, TreeStatus.CANCELLED)
        case f.RoutingDeferred():
            if node := tree.nodes.get(fact.task_id):
                node.deferred = True
        case f.BudgetWarned():
            tree.ledger.warned.append(fact.resource)
        case f.BudgetExhausted():
            tree.ledger.exhausted = fact.resource
        case f.BudgetAmended():
            tree.ledger.limits = fact.limits
            tree.ledger.warned.clear()
            tree.seen.add(extension_mark(fact.request_id) if fact.request_id else amendment_mark(fact))
        case f.RequestRejected():
            tree.seen.add(rejection_mark(fact))
        case f.ResultIgnored():
            tree.seen.add(result_mark(fact))
        case f.RecoveryStarted():
            fold.recovery_started(tree, fact)
        case f.ProgramAdopted():
            fold.program_adopted(tree, fact)
        case f.SubtaskRequested():
            fold.subtask_requested(tree, fact)
        case f.ApprovalRequested():
            course.approval_requested(tree, fact)
        case f.ApprovalDecided():
            course.approval_decided(tree, fact)
        case f.PlanRefused():
            course.plan_refused(tree, fact)
        case f.JudgingStarted():
            course.judging_started(tree, fact)
        case f.TaskJudged():
            course.task_judged(tree, fact)
        case f.RepairStarted():
            course.repair_started(tree, fact)
        case f.ReplanStarted():
            course.replan_started(tree, fact)
        case f.MemoriesProposed():
            tree.proposed[fact.task_id] = Proposed(fact.attempt_id, fact.arm_id, fact.memories)
        case f.MemoriesAccepted():
            tree.proposed.pop(fact.task_id, None)
        case _:
            assert_never(fact)
    return tree


def rejection_mark(fact: f.RequestRejected) -> bytes:
    """Fingerprint of a refusal, so that the same request is refused once."""
    return fingerprint("rejected", fact.command, fact.task_id, fact.code, fact.message)


def result_mark(result: ExecutionResult | f.AttemptEnded | f.ResultIgnored) -> bytes:
    """Fingerprint of an arm's result for an attempt, so that the same arm's result counts, or is ignored, once."""
    return fingerprint("result", result.attempt_id, result.arm_id)


def amendment_mark(amendment: AmendBudget | f.BudgetAmended) -> bytes:
    """Fingerprint of a change of limits."""
    return fingerprint("amend", repr(amendment.limits), amendment.amended_by, amendment.reason)


def extension_mark(request_id: str) -> bytes:
    """Fingerprint of a request to add to limits."""
    return fingerprint("extend", request_id)


def _join(tree: Tree, node: Node) -> None:
    join(tree, node)
    if tree.nested_budgets:
        accounts.open_account(tree, node)
    parent = tree.nodes.get(node.parent) if node.parent is not None else None
    if parent is not None:
        parent.children.append(node.task_id)
        parent.open_children += 1


def _task_submitted(tree: Tree, fact: f.TaskSubmitted) -> None:
    contract = fact.contract
    if tree.status is _ABSENT:
        tree.status = TreeStatus.OPEN
        tree.ledger.limits = contract.budget
        tree.nested_budgets = contract.nested_budgets
        tree.security_policy = contract.security_policy or "default"
    tree.seen.add(fingerprint("submit", contract.task_id, fact.contract_digest))
    parent = tree.nodes.get(contract.parent_task_id) if contract.parent_task_id else None
    node = Node(
        task_id=contract.task_id,
        parent=None if parent is None else parent.task_id,
        spec=_contract_spec(contract, root=parent is None),
        depth=0 if parent is None else parent.depth + 1,
        status=_WAITING if contract.steps or contract.operators else _READY,
        planned=bool(contract.steps),
    )
    _join(tree, node)
    if contract.approval is not None or contract.orchestration is not None:
        node.flow = Flow(contract.orchestration, contract.approval)
        tree.flows += 1
        if contract.approval is not None:
            make_ready(tree, node)
    if contract.operators:
        tree.programs[contract.task_id] = Loaded(contract.operators, contract.context_json)
    _add_steps(tree, node, contract.steps)


def _task_planned(tree: Tree, fact: f.TaskPlanned) -> None:
    if node := tree.nodes.get(fact.task_id):
        node.planned = True
        set_status(tree, node, NodeStatus.WAITING)
        _add_steps(tree, node, fact.steps)


def _add_steps(tree: Tree, parent: Node, steps: tuple[Step, ...]) -> None:
    for step in steps:
        task_id = step_task_id(parent.task_id, step.step_id)
        needs = tuple(step_task_id(parent.task_id, name) for name in step.depends_on)
        known = [tree.nodes[need] for need in needs if need in tree.nodes]
        waiting_on = sum(need.status not in _OVER for need in known) + (parent.status is NodeStatus.HELD)
        _join(
            tree,
            Node(
                task_id=task_id,
                parent=parent.task_id,
                spec=_step_spec(parent.spec, step),
                depth=parent.depth + 1,
                status=_BLOCKED if waiting_on else _READY,
                depends_on=needs,
                waiting_on=waiting_on,
            ),
        )
        if step.approval is not None:
            node = tree.nodes[task_id]
            node.flow = Flow(gate=step.approval)
            tree.flows += 1
            if not waiting_on:
                make_ready(tree, node)
        for need in known:
            need.dependents.append(task_id)


def _attempt_assigned(tree: Tree, fact: f.AttemptAssigned) -> None:
    reserved = reserved_by(fact.allowance)
    if reserved is not ZERO:
        tree.ledger.reserved = add(tree.ledger.reserved, reserved)
    tree.attempts[fact.attempt_id] = Attempt(
        fact.attempt_id,
        fact.task_id,
        fact.number,
        fact.arm_id,
        reserved,
        fact.at_ms,  # when it was assigned
        None,  # when it began
        fact.at_ms,  # when its lease was renewed
        fact.lease_ms,
        fact.timeout_ms,
    )
    if tree.proposed:  # what an earlier result of the task proposed goes with that result
        tree.proposed.pop(fact.task_id, None)
    if node := tree.nodes.get(fact.task_id):
        set_status(tree, node, _ASSIGNED)
        node.attempts = fact.number
        node.current = fact.attempt_id
        node.deferred = False
        if tree.accounts:
            accounts.reserve(tree, node, reserved)


def _lease_renewed(tree: Tree, fact: f.LeaseRenewed) -> None:
    attempt = tree.attempts.get(fact.attempt_id)
    if attempt is None:
        return
    attempt.renewed_ms = fact.at_ms
    if fact.started:
        attempt.started_ms = fact.at_ms
        if node := tree.nodes.get(fact.task_id):
            set_status(tree, node, _RUNNING)


def _usage_recorded(tree: Tree, fact: f.UsageRecorded) -> None:
    attempt = tree.attempts.get(fact.attempt_id)
    if attempt is None:
        return
    used = vector(fact.amounts)
    announced = attempt.intents.pop(fact.call_number, None)
    if announced is not None:
        tree.ledger.running = subtract(tree.ledger.running, announced)
    if fact.phase is _INTENDED:
        attempt.intents[fact.call_number] = used
    else:
        attempt.used = add(attempt.used, used)
        attempt.calls_seen.append(fact.call_number)
    tree.ledger.running = add(tree.ledger.running, used)


def _attempt_ended(tree: Tree, fact: f.AttemptEnded) -> None:
    if fact.provenance is not None:
        tree.seen.add(result_mark(fact))
    attempt = tree.attempts.pop(fact.attempt_id, None)
    ledger = tree.ledger
    ledger.settled = add(ledger.settled, vector(fact.settled))
    if attempt is not None:
        if attempt.reserved != ZERO:
            ledger.reserved = subtract(ledger.reserved, attempt.reserved)
        ledger.running = subtract(ledger.running, attempt.used)
        for announced in attempt.intents.values():
            ledger.running = subtract(ledger.running, announced)
    node = tree.nodes.get(fact.task_id)
    if node is None:
        return
    if tree.accounts and attempt is not None:
        accounts.settle(tree, node, attempt.reserved, vector(fact.settled))
    node.current = None
    if fact.outcome in _WITH_OUTPUT:
        node.output, node.output_blob, node.output_of = fact.output, fact.output_blob, fact.attempt_id
    # Until the next fact says more: a success waits for its children, anything else for a retry or the end.
    set_status(tree, node, _WAITING)


def _task_completed(tree: Tree, fact: f.TaskCompleted) -> None:
    node = tree.nodes.get(fact.task_id)
    if node is None:
        return
    set_status(tree, node, _COMPLETED)
    if fact.output or fact.output_blob is not None:
        node.output, node.output_blob = fact.output, fact.output_blob
    if fact.attempt_id is not None:
        node.output_of = fact.attempt_id
    for task_id in node.dependents:
        dependent = tree.nodes[task_id]
        dependent.waiting_on -= 1
        if dependent.waiting_on == 0 and dependent.status is _BLOCKED:
            make_ready(tree, dependent)
    if node.parent is None:
        tree.status = TreeStatus.COMPLETED
    elif node.op is not None:
        fold.completed(tree, node)
    elif parent := tree.nodes.get(node.parent):
        parent.open_children -= 1


def _task_over(tree: Tree, task_id: TaskId, status: NodeStatus, closing: TreeStatus) -> None:
    if node := tree.nodes.get(task_id):
        set_status(tree, node, status)
    if task_id == tree.root_id:
        tree.status = closing


def _contract_spec(contract: TaskContract, *, root: bool) -> Spec:
    return Spec(
        contract.goal,
        "",
        contract.constraints_json,
        contract.context_json,
        contract.acceptance_criteria,
        contract.assigned_arm,
        contract.required_capabilities,
        contract.max_cost_tier,
        contract.routing_policy,
        # A root's budget is the ledger's; as a want it would be reserved whole by the first attempt.
        NO_LIMITS if root else contract.budget,
        contract.priority,
        contract.timeout_ms,
        contract.retry,
        contract.context_blob,
    )


def _step_spec(parent: Spec, step: Step) -> Spec:
    return Spec(
        step.goal,
        step.step_id,
        parent.constraints_json,
        step.context_json,
        step.acceptance_criteria,
        step.assigned_arm,
        step.required_capabilities,
        parent.max_cost_tier if step.max_cost_tier is None else step.max_cost_tier,
        parent.routing_policy,
        step.budget,
        parent.priority if step.priority is None else step.priority,
        parent.timeout_ms if step.timeout_ms is None else step.timeout_ms,
        parent.retry,
        step.context_blob,
    )
