"""What follows from a command: facts, or nothing.

`decide` is a generator. Whoever drives it folds each fact with `evolve` before it asks for the next, so a
decision of several facts reads the state each of them leaves behind, and no state is ever copied. It only
reads: no clock, no randomness, no change. `advance` is the ordinary way to drive it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, assert_never

from octolog.domain import facts as f
from octolog.domain.contract import (
    AmendBudget,
    ApproveTask,
    CancelTask,
    ContractCommand,
    DenyTask,
    ExtendBudget,
    SubmitTask,
    TaskContract,
)
from octolog.domain.digest import contract_digest
from octolog.domain.errors import InvalidContract
from octolog.domain.evaluator import agenda
from octolog.domain.ids import TaskId, step_task_id
from octolog.domain.orchestration import approval, course
from octolog.domain.registry import Registry
from octolog.domain.reports import (
    AttemptHeartbeat,
    AttemptStarted,
    ContextRecalled,
    ExecutionResult,
    HandlerMetrics,
    ModelCallIntended,
    ResourceUsed,
)
from octolog.domain.rules import MAX_DEPTH, MAX_METERED, check_command
from octolog.domain.security import NO_SECURITY, Security
from octolog.domain.task import attempts, ending, remembering
from octolog.domain.task.commands import AssignAttempt, DeferRouting, TreeCommand
from octolog.domain.task.evolve import amendment_mark, evolve, extension_mark, rejection_mark
from octolog.domain.task.ledger import add, bounds, vector
from octolog.domain.task.state import Tree, TreeStatus, fingerprint
from octolog.domain.upkeep import TimerFired
from octolog.domain.values import Category, Limits

_LIMIT_NAMES: Final = ("max_tokens", "max_time_ms", "max_cost_micros", "max_llm_calls")


def decide(
    tree: Tree, command: TreeCommand, at_ms: int, registry: Registry | None = None
) -> Iterator[f.Fact]:
    """Yield the facts that follow from a command, each to be folded before the next is asked for.

    Args:
        tree: The state; read, never changed here.
        command: What is asked.
        at_ms: The input record's timestamp, milliseconds since the epoch, the broker's clock.
        registry: The arms, as of the offset that the facts name; None: plans are not held against it.
    """
    match command:  # the most frequent first: each case before it costs a test
        case ModelCallIntended() | ResourceUsed():
            yield from attempts.on_usage(tree, command, at_ms)
        case AssignAttempt():
            yield from attempts.on_assign(tree, command, at_ms)
        case ExecutionResult():
            yield from attempts.on_result(tree, command, at_ms, registry)
        case AttemptStarted() | AttemptHeartbeat():
            yield from attempts.on_sign_of_life(tree, command, at_ms)
        case SubmitTask() | CancelTask() | ApproveTask() | DenyTask() | AmendBudget() | ExtendBudget():
            yield from _on_request(tree, command, at_ms, registry)
        case HandlerMetrics() | ContextRecalled():
            pass  # told for the record: nothing is decided by it
        case TimerFired():
            yield from attempts.on_timer(tree, command, at_ms)
        case DeferRouting():
            yield from attempts.on_defer(tree, command, at_ms)
        case _:
            assert_never(command)
    if tree.unasked and not tree.closed:
        yield from approval.ask_for_held(tree, at_ms)
    if tree.proposed:
        yield from remembering.accepted(tree, at_ms)


def advance(tree: Tree, command: TreeCommand, at_ms: int) -> list[f.Fact]:
    """Decide, fold every fact into `tree`, and return them."""
    facts: list[f.Fact] = []
    for fact in decide(tree, command, at_ms):
        evolve(tree, fact)
        facts.append(fact)
    return facts


def _on_request(
    tree: Tree, command: ContractCommand, at_ms: int, registry: Registry | None
) -> Iterator[f.Fact]:
    try:
        check_command(command)
        match command:
            case SubmitTask():
                yield from _submit(
                    tree, command, at_ms, NO_SECURITY if registry is None else registry.security
                )
            case CancelTask():
                yield from _cancel(tree, command, at_ms)
            case AmendBudget():
                yield from _amend(tree, command, at_ms)
            case ExtendBudget():
                yield from _extend(tree, command, at_ms)
            case ApproveTask() | DenyTask():
                _open(tree, command.root_task_id)
                decided = approval.answered(tree, command, at_ms)
                yield from course.decided(tree, tree.nodes[command.task_id], decided, at_ms)
            case _:
                assert_never(command)
    except InvalidContract as broken:
        refusal = _refusal(command, broken, at_ms)
        if rejection_mark(refusal) not in tree.seen:
            yield refusal


def _submit(tree: Tree, command: SubmitTask, at_ms: int, security: Security) -> Iterator[f.Fact]:
    contract = command.contract
    digest = contract_digest(contract)
    if fingerprint("submit", contract.task_id, digest) in tree.seen:
        return
    if contract.parent_task_id is None:
        if tree.status is not TreeStatus.ABSENT:
            raise InvalidContract(
                "DUPLICATE_TASK_ID", "task_id", f"{contract.task_id} exists with other content"
            )
    else:
        _check_subtask(tree, command)
    _check_policy(tree, contract, security)
    yield f.TaskSubmitted(at_ms, contract, digest, command.submitted_by)
    if contract.operators and contract.approval is None:
        yield from agenda.run(tree, agenda.root_of(contract.task_id, contract.parent_task_id), at_ms)


def _check_policy(tree: Tree, contract: TaskContract, security: Security) -> None:
    """Raise InvalidContract unless the policy named is in force, and for a subtask its tree's."""
    name = contract.security_policy
    if name is None:
        return
    if name not in security.policies:
        raise InvalidContract("UNKNOWN_POLICY", "security_policy", f"no policy named {name!r} is in force")
    if contract.parent_task_id is not None and name != tree.security_policy:
        message = f"differs from {tree.security_policy!r}, the policy of its tree"
        raise InvalidContract("POLICY_MISMATCH", "security_policy", message)


def _check_subtask(tree: Tree, command: SubmitTask) -> None:
    contract = command.contract
    _open(tree, command.root_task_id)
    steps = [step_task_id(contract.task_id, step.step_id) for step in contract.steps]
    attempts.check_new(tree, (contract.task_id, *steps))
    parent = tree.nodes.get(TaskId(contract.parent_task_id or ""))
    if parent is None:
        raise InvalidContract(
            "UNKNOWN_PARENT", "parent_task_id", f"no task {contract.parent_task_id} in this tree"
        )
    if any(contract.task_id.startswith(f"{root}/") for root in tree.programs):
        message = "begins like the ids that a program of this tree gives to its own tasks"
        raise InvalidContract("INVALID_TASK_ID", "task_id", message)
    if parent.status in ending.OVER:
        raise InvalidContract(
            "PARENT_ENDED", "parent_task_id", f"{parent.task_id} is {parent.status.lower()}"
        )
    if parent.depth + (2 if steps else 1) > MAX_DEPTH:
        raise InvalidContract("TOO_DEEP", "parent_task_id", f"subtasks nest at most {MAX_DEPTH} deep")


def _cancel(tree: Tree, command: CancelTask, at_ms: int) -> Iterator[f.Fact]:
    if tree.status is TreeStatus.CANCELLED:
        return
    _open(tree, command.root_task_id)
    yield from ending.cancel_attempts(tree, f"cancelled: {command.reason}", at_ms)
    yield f.TaskCancelled(
        at_ms,
        tree.root_id,
        command.reason,
        command.requested_by,
        ending.completed_steps(tree),
        ending.used(tree),
    )


def _amend(tree: Tree, command: AmendBudget, at_ms: int) -> Iterator[f.Fact]:
    ledger, seen = tree.ledger, amendment_mark(command) in tree.seen
    if seen and (tree.closed or command.limits == ledger.limits):
        return
    _open(tree, command.root_task_id)
    if seen:  # a late repeat, or meant again: only the sender knows, so it must not be silent
        raise InvalidContract(
            "REPEATED_AMENDMENT", "reason", "asked for before; to mean it again, give another reason"
        )
    taken = tuple(map(max, add(ledger.settled, ledger.reserved), ledger.used))
    for name, limit, held in zip(_LIMIT_NAMES, bounds(command.limits), taken, strict=True):
        if limit is not None and limit < held:
            raise InvalidContract(
                "INVALID_BUDGET", f"limits.{name}", f"{limit} is below the {held} used and reserved"
            )
    yield f.BudgetAmended(at_ms, command.limits, command.amended_by, command.reason)
    yield from ending.check_budget(tree, at_ms)


def _extend(tree: Tree, command: ExtendBudget, at_ms: int) -> Iterator[f.Fact]:
    """Add to what is limited; the fact names the sums, so that nobody has to add again."""
    if extension_mark(command.request_id) in tree.seen:
        return
    _open(tree, command.root_task_id)
    added = vector(command.add)
    limits = Limits(
        *(
            None if limit is None else min(limit + more, MAX_METERED)
            for limit, more in zip(bounds(tree.ledger.limits), added, strict=True)
        )
    )
    if limits == tree.ledger.limits:
        raise InvalidContract("INVALID_BUDGET", "add", "adds nothing: what it names is not limited")
    yield f.BudgetAmended(at_ms, limits, command.amended_by, command.reason, command.request_id)


def _open(tree: Tree, root_id: TaskId) -> None:
    if tree.status is TreeStatus.ABSENT:
        raise InvalidContract("TASK_NOT_FOUND", "root_task_id", f"no task {root_id}")
    if tree.closed:
        raise InvalidContract("TASK_ENDED", "root_task_id", f"{root_id} is {tree.status.lower()}")


def _refusal(command: ContractCommand, broken: InvalidContract, at_ms: int) -> f.RequestRejected:
    match command:
        case SubmitTask(contract=contract, submitted_by=who):
            task_id = contract.task_id
        case (
            CancelTask(root_task_id=task_id, requested_by=who)
            | AmendBudget(root_task_id=task_id, amended_by=who)
            | ExtendBudget(root_task_id=task_id, amended_by=who)
        ):
            pass
        case ApproveTask(task_id=task_id, approved_by=who) | DenyTask(task_id=task_id, denied_by=who):
            pass
        case _:
            assert_never(command)
    missing = broken.code in ("TASK_NOT_FOUND", "UNKNOWN_PARENT")
    category = Category.NOT_FOUND if missing else Category.VALIDATION
    return f.RequestRejected(
        at_ms,
        TaskId(task_id[:255]),
        command.schema_name,
        broken.code,
        category,
        broken.field,
        broken.message,
        who,
    )
