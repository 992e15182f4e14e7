"""Attempts: assigned, alive, metered, ended, tried again.

One module because every way an attempt can end leads to the same few decisions.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import Final

from octolog.domain import facts as f
from octolog.domain.errors import InvalidContract
from octolog.domain.evaluator import agenda, recovery
from octolog.domain.evaluator.given import is_too_large
from octolog.domain.evaluator.moves import Complete, Fail
from octolog.domain.evaluator.places import decomposed_id
from octolog.domain.evaluator.state import Fault
from octolog.domain.evaluator.text import is_reserved
from octolog.domain.ids import AttemptId, TaskId, attempt_id, step_task_id
from octolog.domain.orchestration import approval, course, faults, replanning
from octolog.domain.registry import Registry
from octolog.domain.reports import (
    AttemptHeartbeat,
    AttemptStarted,
    ExecutionResult,
    ModelCallIntended,
    ResourceUsed,
    ResultStatus,
)
from octolog.domain.retry import delay_ms
from octolog.domain.routing import OR_FAIL
from octolog.domain.rules import MAX_DEPTH, MAX_INPUT_CHARS, MAX_PLANNED_STEPS, check_plan
from octolog.domain.task import accounts, ending, remembering
from octolog.domain.task.commands import AssignAttempt, DeferRouting
from octolog.domain.task.evolve import result_mark
from octolog.domain.task.ledger import ZERO, add, amounts
from octolog.domain.task.state import Attempt, Node, NodeStatus, Tree
from octolog.domain.upkeep import TimerFired, TimerKind
from octolog.domain.values import Amounts, Category, Limits, Resource, TaskError, TaskErrorType

_OUTCOMES = {
    ResultStatus.SUCCESS: f.Outcome.SUCCESS,
    ResultStatus.FAILURE: f.Outcome.FAILURE,
    ResultStatus.PARTIAL: f.Outcome.PARTIAL,
}
# Looked up once: reading a member from its class costs Python 3.11 as much as a call, and these are read per fact.
_READY: Final = NodeStatus.READY
_INTENDED, _ACTUAL = f.UsagePhase.INTENDED, f.UsagePhase.ACTUAL
_SUCCESS: Final = f.Outcome.SUCCESS

_RENEWAL_SHARE = 4
"""A heartbeat becomes a fact only when this share of the lease has passed since the last: log less, know enough."""

_MAX_NOTE_CHARS = 500

REFUSED_PLAN: Final = "INVALID_PLAN"
"""The code of an attempt whose plan is refused, by the tree or by its own arm; the arm is told and asked again."""


def on_assign(tree: Tree, command: AssignAttempt, at_ms: int) -> Iterable[f.Fact]:
    """Reserve an allowance and assign; nothing when the task is not ready or must wait for budget."""
    node = tree.nodes.get(command.task_id)
    if node is None or tree.closed or node.status is not _READY:
        return ()
    if command.refusal:
        fault = Fault("INVALID_INPUT", Category.VALIDATION, command.refusal)
        return _unassignable(tree, node, fault, at_ms)
    if node.depends_on:
        held = sum(len(tree.nodes[need].output) for need in node.depends_on)
        if held > MAX_INPUT_CHARS:
            message = f"the outputs it depends on are {held} characters; at most {MAX_INPUT_CHARS}"
            return ending.fail(tree, node, "INPUT_TOO_LARGE", Category.VALIDATION, message, at_ms)
    if node.op is not None and is_too_large(tree, node):
        return agenda.run(tree, Fail(node.task_id, agenda.too_large(MAX_INPUT_CHARS)), at_ms)
    # Of a program nobody knows how many steps will come: who works now is taken to want as much again.
    lanes = tree.unassigned + len(tree.attempts) if tree.programs else 0
    allowance = tree.ledger.grant(node.spec.want, tree.unassigned, lanes)
    if tree.accounts and allowance is not None:
        allowance = accounts.granted(tree, node, allowance)
        late = accounts.out_of_time(tree, node)
        if late is not None:
            message = f"{late.task_id} has no time left in its budget"
            category = Category.RESOURCE_EXHAUSTED
            return ending.fail(tree, node, "BUDGET_EXCEEDED", category, message, at_ms)
    if allowance is None:
        return ()
    if allowance.max_time_ms == 0:
        return _out_of_time(tree, at_ms)
    return (_assigned(tree, node, command, allowance, at_ms),)


def _out_of_time(tree: Tree, at_ms: int) -> Iterator[f.Fact]:
    """The tree's time is spent; without any nothing can be assigned."""
    limit = tree.ledger.limits.max_time_ms or 0
    yield f.BudgetExhausted(at_ms, Resource.TIME, tree.ledger.used[1], limit)
    yield from ending.exhaust(tree, f"time: {tree.ledger.used[1]} ms used of {limit}", at_ms)


def _assigned(
    tree: Tree, node: Node, command: AssignAttempt, allowance: Limits, at_ms: int
) -> f.AttemptAssigned:
    number, spec = node.attempts + 1, node.spec
    wanted = min(command.timeout_ms, spec.timeout_ms or command.timeout_ms)
    return f.AttemptAssigned(
        at_ms,
        node.task_id,
        attempt_id(tree.root_id, node.task_id, number),
        number,
        command.arm_id,
        allowance,
        command.lease_ms,
        min(wanted, allowance.max_time_ms or wanted),
        spec.routing_policy,
        command.candidates,
    )


def on_defer(tree: Tree, command: DeferRouting, at_ms: int) -> Iterator[f.Fact]:
    """A task that no arm can take waits, and says so once; by a policy that does not wait, it fails."""
    node = tree.nodes.get(command.task_id)
    if node is None or tree.closed:
        return
    if node.spec.routing_policy.endswith(OR_FAIL):
        fault = Fault("ARM_UNAVAILABLE", Category.EXTERNAL, command.reason)
        yield from _unassignable(tree, node, fault, at_ms)
    elif not node.deferred:
        yield f.RoutingDeferred(at_ms, node.task_id, command.reason)


def _unassignable(tree: Tree, node: Node, fault: Fault, at_ms: int) -> Iterator[f.Fact]:
    """No attempt can be made at a task: no retry, no other structure would change that."""
    if tree.programs:
        yield from agenda.run(tree, Fail(node.task_id, fault), at_ms)
    else:
        yield from ending.fail_with(tree, node, fault, at_ms)


def on_sign_of_life(tree: Tree, command: AttemptStarted | AttemptHeartbeat, at_ms: int) -> Iterable[f.Fact]:
    """Renew the lease of a current attempt; signs from other attempts mean nothing."""
    attempt = tree.attempts.get(command.attempt_id)
    if attempt is None or attempt.arm_id != command.arm_id:
        return ()
    if isinstance(command, AttemptStarted):
        if attempt.started_ms is None:
            return (_renewed(attempt, command, at_ms, started=True),)
    elif at_ms - attempt.renewed_ms >= max(1, attempt.lease_ms // _RENEWAL_SHARE):
        return (_renewed(attempt, command, at_ms, started=False),)
    return ()


def on_usage(tree: Tree, command: ModelCallIntended | ResourceUsed, at_ms: int) -> Iterable[f.Fact]:
    """Enter a use into the ledger; warn, and end the tree where it is overdrawn."""
    attempt = tree.attempts.get(command.attempt_id)
    if attempt is None or attempt.arm_id != command.arm_id:
        return ()
    number = command.call_number
    if isinstance(command, ModelCallIntended):
        if number in attempt.intents or number in attempt.calls_seen:
            return ()
        return (_metered(attempt, command, _INTENDED, command.at_most, "", at_ms),)
    if number in attempt.calls_seen:
        return ()
    return _used(tree, _metered(attempt, command, _ACTUAL, command.used, command.price_version, at_ms), at_ms)


def _metered(
    attempt: Attempt,
    command: ModelCallIntended | ResourceUsed,
    phase: f.UsagePhase,
    used: Amounts,
    price_version: str,
    at_ms: int,
) -> f.UsageRecorded:
    # Time is measured from assignment to end, not added up from reports: the ledger would count it twice.
    metered = Amounts(used.tokens, 0, used.cost_micros, used.calls)
    return f.UsageRecorded(
        at_ms,
        attempt.task_id,
        attempt.attempt_id,
        command.call_number,
        phase,
        command.model,
        metered,
        price_version,
    )


def _used(tree: Tree, fact: f.UsageRecorded, at_ms: int) -> Iterator[f.Fact]:
    yield fact
    yield from ending.check_budget(tree, at_ms)


def on_result(
    tree: Tree, result: ExecutionResult, at_ms: int, registry: Registry | None = None
) -> Iterator[f.Fact]:
    """Settle a current attempt and decide what becomes of its task; a late result is a fact that changes nothing."""
    attempt = tree.attempts.get(result.attempt_id)
    if attempt is None or attempt.arm_id != result.arm_id:
        if result_mark(result) not in tree.seen:
            reason = "the task ended" if tree.closed else "the attempt is not current"
            yield f.ResultIgnored(
                at_ms,
                result.task_id,
                result.attempt_id,
                result.arm_id,
                result.status,
                reason,
                result.tokens_used,
            )
        return
    node = tree.nodes[attempt.task_id]
    if result.calls:
        yield from _told_again(attempt, result, at_ms)
    ended = _judged(tree, attempt, result, at_ms, registry)
    yield ended
    yield from ending.check_budget(tree, at_ms)
    if tree.closed:
        return
    if ended.outcome is not _SUCCESS:
        yield from _after_failure(tree, node, ended, at_ms)
    else:
        if result.memories:
            yield from remembering.proposed(tree, node, result, at_ms)
        yield from _after_success(tree, node, result, at_ms)
    if tree.flows:
        yield from replanning.if_stalled(tree, node.parent, at_ms)


def _told_again(attempt: Attempt, result: ExecutionResult, at_ms: int) -> Iterator[f.Fact]:
    """Enter what the attempt's own resource events say too, where they lie in the log and were not read yet."""
    for call in result.calls:
        if call.call_number in attempt.calls_seen or (
            not call.is_known and call.call_number in attempt.intents
        ):
            continue
        phase = f.UsagePhase.ACTUAL if call.is_known else f.UsagePhase.INTENDED
        metered = Amounts(call.amounts.tokens, 0, call.amounts.cost_micros, call.amounts.calls)
        yield f.UsageRecorded(
            at_ms,
            attempt.task_id,
            attempt.attempt_id,
            call.call_number,
            phase,
            call.model,
            metered,
            call.price_version,
        )


def _after_success(tree: Tree, node: Node, result: ExecutionResult, at_ms: int) -> Iterable[f.Fact]:
    if result.question:
        return (approval.requested(node, f.ApprovalReason.QUESTION, result.question, at_ms),)
    if result.plan:
        return (f.TaskPlanned(at_ms, node.task_id, result.attempt_id, result.plan),)
    if result.subtask is not None:
        return _spawn(tree, node, result, at_ms)
    if node.op is not None and result.operators:
        return _adopt(tree, node, result, at_ms)
    if node.flow is not None and node.flow.judges is not None:
        return course.verdict(tree, node, result.attempt_id, result, at_ms)
    if tree.flows:
        return course.complete(tree, node, at_ms)
    if tree.programs:
        return agenda.run(tree, Complete(node.task_id), at_ms)
    return ending.complete(tree, node, at_ms)


def _spawn(tree: Tree, node: Node, result: ExecutionResult, at_ms: int) -> Iterator[f.Fact]:
    """The arm wants something done before it goes on."""
    asked = recovery.requested(tree, node, result.attempt_id, result, at_ms)
    yield asked
    yield from agenda.run(tree, agenda.root_of(asked.subtask_task_id, node.task_id), at_ms)


def _adopt(tree: Tree, node: Node, result: ExecutionResult, at_ms: int) -> Iterator[f.Fact]:
    """A decomposition gave a legal program: it is evaluated in the failed task's place."""
    task = tree.nodes[TaskId(node.parent or "")]
    number = 1 if task.op is None or task.op.trouble is None else task.op.trouble.number
    root = decomposed_id(task.task_id, number)
    yield f.TaskCompleted(at_ms, node.task_id, result.attempt_id, "", None)
    yield f.ProgramAdopted(at_ms, task.task_id, node.task_id, result.attempt_id, root, result.operators)
    yield from agenda.run(tree, agenda.root_of(root, task.task_id), at_ms)


def _renewed(
    attempt: Attempt, sign: AttemptStarted | AttemptHeartbeat, at_ms: int, *, started: bool
) -> f.LeaseRenewed:
    note = "" if isinstance(sign, AttemptStarted) else sign.note[:_MAX_NOTE_CHARS]
    return f.LeaseRenewed(at_ms, attempt.task_id, attempt.attempt_id, sign.instance_id, started, note)


def on_timer(tree: Tree, timer: TimerFired, at_ms: int) -> Iterator[f.Fact]:
    """End what was silent or ran too long; make ready what waited long enough."""
    if timer.kind is TimerKind.RETRY:
        node = tree.nodes.get(TaskId(timer.subject))
        if (
            node is not None
            and not tree.closed
            and node.status is NodeStatus.BACKOFF
            and at_ms >= node.due_ms
        ):
            yield f.RetryDue(at_ms, node.task_id)
        return
    if timer.kind is TimerKind.APPROVAL:
        held = tree.nodes.get(TaskId(timer.subject))
        silence = None if held is None or tree.closed else approval.timed_out(held, at_ms)
        if held is not None and silence is not None:
            yield from course.decided(tree, held, silence, at_ms)
        return
    attempt = tree.attempts.get(AttemptId(timer.subject))
    if attempt is None:
        return
    timeout = attempt.timeout_ends_ms
    if timeout is not None and at_ms >= timeout:
        reason = f"ran longer than {attempt.timeout_ms} ms"
        yield from _expire(tree, attempt, f.Outcome.TIMED_OUT, "EXECUTION_TIMEOUT", reason, at_ms)
    elif at_ms >= attempt.lease_ends_ms:
        reason = f"{attempt.arm_id} was silent for {attempt.lease_ms} ms"
        yield from _expire(tree, attempt, f.Outcome.LOST, "LEASE_EXPIRED", reason, at_ms)


def _expire(
    tree: Tree, attempt: Attempt, outcome: f.Outcome, code: str, reason: str, at_ms: int
) -> Iterator[f.Fact]:
    node = tree.nodes[attempt.task_id]
    ended = ending.stopped(attempt, outcome, code, reason, at_ms)
    yield ended
    yield from ending.check_budget(tree, at_ms)
    if not tree.closed:
        yield from _after_failure(tree, node, ended, at_ms)
        if tree.flows:
            yield from replanning.if_stalled(tree, node.parent, at_ms)


def _after_failure(tree: Tree, node: Node, ended: f.AttemptEnded, at_ms: int) -> Iterator[f.Fact]:
    message = ended.error or "no reason given"
    if ended.error_code == "BUDGET_EXCEEDED":
        yield from ending.exhaust(tree, message, at_ms)
    elif ended.error_code == REFUSED_PLAN and (
        again := replanning.refused(node, ended.attempt_id, message, at_ms)
    ):
        yield again
    elif ended.retryable and _tries(node) < node.spec.retry.max_attempts and not _is_structural(node, ended):
        wait_ms = delay_ms(node.spec.retry, ended.attempt_id, _tries(node))
        yield f.RetryScheduled(at_ms, node.task_id, node.attempts + 1, wait_ms, at_ms + wait_ms)
    else:
        code = ended.error_code or "INTERNAL_ERROR"
        category = ending.category_of(ended)
        if tree.flows and (
            yield from _orchestrated(tree, node, ended, Fault(code, category, message), at_ms)
        ):
            return
        if tree.programs:
            yield from _after_all_tries(tree, node, ended, Fault(code, category, message), at_ms)
        else:
            yield from ending.fail(tree, node, code, category, message, at_ms)


def _orchestrated(
    tree: Tree, node: Node, ended: f.AttemptEnded, fault: Fault, at_ms: int
) -> Generator[f.Fact, None, bool]:
    """A judge could not judge, or a step of a plan that can be made again failed; False: nothing of the kind."""
    if node.flow is not None and node.flow.judges is not None:
        yield from course.judge_failed(tree, node, ended, at_ms)
        return True
    return node.op is None and (yield from replanning.absorbed(tree, node, fault, at_ms))


def _after_all_tries(
    tree: Tree, node: Node, ended: f.AttemptEnded, fault: Fault, at_ms: int
) -> Iterator[f.Fact]:
    """A task of a tree with programs will not succeed as it is: another structure, or the end."""
    fault.task_error = ended.task_error
    fault.category = recovery.category_of(ended.task_error) or fault.category
    started = recovery.recovered(tree, node, ended, at_ms)
    if started is not None:
        yield started
    else:
        yield from agenda.run(tree, Fail(node.task_id, fault), at_ms)


def _tries(node: Node) -> int:
    """Attempts at a task since it began, or since its last subtask ended: those count as retries."""
    before = 0 if node.spawn is None else node.spawn.attempts_before
    return node.attempts - (before if node.flow is None else max(before, node.flow.attempts_before))


def _is_structural(node: Node, ended: f.AttemptEnded) -> bool:
    if ended.error_code == REFUSED_PLAN and node.flow is not None and node.flow.rule is not None:
        return True
    return node.op is not None and recovery.is_structural(ended.task_error)


def _judged(
    tree: Tree, attempt: Attempt, result: ExecutionResult, at_ms: int, registry: Registry | None
) -> f.AttemptEnded:
    """The attempt's end as reported, with its settlement; a plan that is none makes it a failure."""
    outcome, error, code = _OUTCOMES[result.status], result.error, result.error_code
    retryable, task_error = result.retryable, result.task_error
    fault = _plan_fault(tree, tree.nodes[attempt.task_id], result, registry)
    if fault is not None:
        again = faults.asks_again(tree.nodes[attempt.task_id], result)
        code, retryable = (REFUSED_PLAN, False) if again else ("INVALID_OUTPUT", True)
        outcome, error = f.Outcome.FAILURE, fault
        task_error = TaskError(TaskErrorType.INVALID_OUTPUT, fault, violations=(fault,))
    elif outcome is _SUCCESS:
        found = recovery.judge(tree, tree.nodes[attempt.task_id], result)
        if found is not None:
            outcome, error, code, retryable, task_error = (
                f.Outcome.FAILURE, found.message, str(found.type), False, found
            )  # fmt: skip
    announced = ZERO
    for intent in attempt.intents.values():
        announced = add(announced, intent)
    tokens, _, cost, calls = add(attempt.used, announced)
    charged = (max(tokens, result.tokens_used), ending.elapsed(attempt, at_ms), cost, calls)
    return f.AttemptEnded(  # by position: a call with so many names takes twice the time
        at_ms,
        attempt.task_id,
        attempt.attempt_id,
        attempt.arm_id,
        outcome,
        amounts(charged),
        amounts(announced),
        result.output,
        result.output_blob,
        result.confidence,
        result.execution_time_ms,
        error,
        code,
        retryable,
        task_error,
        result.provenance,
    )


def _plan_fault(tree: Tree, node: Node, result: ExecutionResult, registry: Registry | None) -> str | None:
    """What is wrong with a plan (it breaks a bound, nests too deep, or names a task that exists), or a verdict."""
    if tree.flows and (fault := faults.fault_of(node, result, registry)) is not None:
        return fault
    if not result.plan:
        return None
    if node.depth + 1 > MAX_DEPTH:
        return f"TOO_DEEP: plan: plans nest at most {MAX_DEPTH} deep"
    done = faults.done_steps(tree, node) if node.flow is not None and node.flow.replans else ()
    try:
        check_plan("plan", result.plan, MAX_PLANNED_STEPS, node.task_id, done)
        check_new(tree, (step_task_id(node.task_id, step.step_id) for step in result.plan))
        if node.op is not None or node.spawn is not None:
            _check_names(step.step_id for step in result.plan)
    except InvalidContract as broken:
        return str(broken)
    return None


def _check_names(step_ids: Iterable[str]) -> None:
    """Raise InvalidContract when a step would get the id of what a program makes, which may have ended long ago."""
    for step_id in step_ids:
        if is_reserved(step_id):
            raise InvalidContract("INVALID_PLAN", "plan.step_id", f"{step_id!r} is a name that programs give")


def check_new(tree: Tree, task_ids: Iterable[TaskId]) -> None:
    """Raise InvalidContract when one of these tasks is in the tree already."""
    for task_id in task_ids:
        if task_id in tree.nodes:
            raise InvalidContract("DUPLICATE_TASK_ID", "task_id", f"{task_id} exists with other content")
