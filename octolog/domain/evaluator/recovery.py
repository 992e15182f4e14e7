"""Trying a failed task with another structure, and subtasks that arms ask for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from octolog.domain import facts as f
from octolog.domain.errors import InvalidContract
from octolog.domain.evaluator.fold import request_mark
from octolog.domain.evaluator.legal import check_program
from octolog.domain.evaluator.moves import Fail, Move
from octolog.domain.evaluator.outputs import UNION, violations
from octolog.domain.evaluator.places import (
    decomposed_id,
    is_evaluated,
    is_subtask,
    operator_of,
    parent_of,
    recovery_id,
    subtask_id,
)
from octolog.domain.evaluator.specs import subtask_operator
from octolog.domain.evaluator.state import Fault
from octolog.domain.ids import MAX_TASK_ID_LENGTH, AttemptId, attempt_id
from octolog.domain.operators import RecoveryKind, SubtaskRequest
from octolog.domain.reports import ExecutionResult
from octolog.domain.task.state import Node, Tree
from octolog.domain.values import Category, TaskError, TaskErrorType

MAX_RECOVERIES: Final = 2
MAX_CHAIN: Final = 5
"""Subtasks of subtasks. Source: seed B."""

MAX_SUBTASKS: Final = 10
"""Subtasks that one task may ask for, one after the other."""

_KINDS: Final = {
    TaskErrorType.RESOURCE_EXHAUSTION: RecoveryKind.DECOMPOSITION,
    TaskErrorType.INVALID_OUTPUT: RecoveryKind.ALTERNATIVE,
}
_CATEGORIES: Final = {
    TaskErrorType.RESOURCE_EXHAUSTION: Category.RESOURCE_EXHAUSTED,
    TaskErrorType.INVALID_OUTPUT: Category.VALIDATION,
    TaskErrorType.VALIDATION_ERROR: Category.VALIDATION,
    TaskErrorType.XML_PARSE_ERROR: Category.VALIDATION,
}


def judge(tree: Tree, node: Node, result: ExecutionResult) -> TaskError | None:
    """What is wrong with a success: a request that is halted, a program that is none, an output of another type."""
    op = node.op
    recovery = None if op is None else op.recovery
    if result.subtask is not None:
        return _request_fault(tree, node, result.subtask, result)
    if result.operators and recovery is not RecoveryKind.DECOMPOSITION:
        return _invalid("operators: only a recovery by decomposition gives a program")
    if recovery is RecoveryKind.DECOMPOSITION:
        return _program_fault(tree, node, result)
    if op is None or result.plan or result.output_blob is not None:
        return None
    found = violations(result.output, operator_of(tree, op).output_type)
    if not found:
        return None
    return TaskError(TaskErrorType.INVALID_OUTPUT, "; ".join(found), violations=found)


def is_structural(error: TaskError | None) -> bool:
    """Whether an error says that the same attempt again cannot help."""
    return error is not None and error.type in _KINDS


def recovered(tree: Tree, node: Node, ended: f.AttemptEnded, at_ms: int) -> f.RecoveryStarted | None:
    """The recovery of a task of a program whose attempt failed; None: it fails."""
    error = ended.task_error
    kind = None if error is None else _KINDS.get(error.type)
    if error is None or kind is None or not _may_recover(tree, node, kind):
        return None
    return _started(tree, node, kind, error, ended.output, at_ms)


def next_or_fail(tree: Tree, node: Node, fault: Fault, agenda: list[Move], at_ms: int) -> Iterator[f.Fact]:
    """A recovery failed: the next of the same kind is tried, or its task fails with the recovery's error."""
    trouble = None if node.op is None else node.op.trouble
    again = fault.task_error is not None and fault.task_error.type in UNION
    if trouble is not None and again and _may_recover(tree, node, trouble.kind):
        yield _started(tree, node, trouble.kind, trouble.error, trouble.output, at_ms)
    else:
        agenda.append(Fail(node.task_id, replace(fault, details_json="")))


def category_of(error: TaskError | None) -> Category | None:
    """The category of a structured error; None where it says nothing."""
    return None if error is None else _CATEGORIES.get(error.type)


def requested(
    tree: Tree, node: Node, by: AttemptId, result: ExecutionResult, at_ms: int
) -> f.SubtaskRequested:
    """The fact that a task waits for a subtask."""
    assert result.subtask is not None  # noqa: S101 -- the caller saw it
    number = 1 if node.spawn is None else node.spawn.number + 1
    return f.SubtaskRequested(
        at_ms,
        node.task_id,
        by,
        subtask_id(node.task_id, number),
        number,
        len(_chain(tree, node)) + 1,
        result.subtask,
        result.continuation_json,
    )


def _started(
    tree: Tree, node: Node, kind: RecoveryKind, error: TaskError, output: str, at_ms: int
) -> f.RecoveryStarted:
    number = _next_number(node)
    return f.RecoveryStarted(
        at_ms,
        node.task_id,
        recovery_id(node.task_id, number),
        number,
        kind,
        attempt_id(tree.root_id, node.task_id, node.attempts),
        error,
        output,
    )


def _next_number(node: Node) -> int:
    return 1 if node.op is None or node.op.trouble is None else node.op.trouble.number + 1


def _may_recover(tree: Tree, node: Node, kind: RecoveryKind) -> bool:
    op = node.op
    if op is None or op.recovery is not None or op.used + _next_number(node) > MAX_RECOVERIES:
        return False
    if len(recovery_id(node.task_id, _next_number(node))) > MAX_TASK_ID_LENGTH:
        return False
    here: Node | None = node
    while here is not None and here.op is not None:
        operator = operator_of(tree, here.op)
        if operator.disable_reparsing or (operator.is_manual_xml and kind is RecoveryKind.DECOMPOSITION):
            return False
        parent = parent_of(tree, here)
        here = parent if parent is not None and is_evaluated(parent, here) else None
    return True


def _program_fault(tree: Tree, node: Node, result: ExecutionResult) -> TaskError | None:
    """Why the answer of a decomposition is no program that can be evaluated."""
    task = parent_of(tree, node)
    if task is None or task.op is None or task.op.trouble is None:
        return None
    root = decomposed_id(task.task_id, task.op.trouble.number)
    try:
        check_program("operators", result.operators, root, _nesting(tree, task))
    except InvalidContract as broken:
        return TaskError(
            TaskErrorType.VALIDATION_ERROR, f"{broken.field}: {broken.message}", path=broken.field
        )
    return None


def _nesting(tree: Tree, node: Node) -> int:
    """Operators from the tree's root down to a task, that one included."""
    count, here = 0, node
    while here.op is not None:
        count += 1
        parent = parent_of(tree, here)
        if parent is None or not is_evaluated(parent, here):
            break
        here = parent
    return count


def _request_fault(
    tree: Tree, node: Node, request: SubtaskRequest, result: ExecutionResult
) -> TaskError | None:
    if node.op is not None and node.op.recovery is not None:
        return _invalid("subtask: a recovery asks for none")
    if result.plan or result.operators:
        return _invalid("subtask: not together with a plan or a program")
    number = 1 if node.spawn is None else node.spawn.number + 1
    child = subtask_id(node.task_id, number)
    chain = _chain(tree, node)
    if number > MAX_SUBTASKS:
        return _halted(f"a task may ask for {MAX_SUBTASKS} subtasks")
    if len(chain) >= MAX_CHAIN:
        return _halted(f"subtasks of subtasks nest at most {MAX_CHAIN} deep")
    if request_mark(request) in chain:
        return _halted("the same request stands above it in its chain: a cycle")
    if len(child) > MAX_TASK_ID_LENGTH:
        return _halted("its task id would be too long")
    try:
        if not request.goal.strip():
            raise InvalidContract("", "subtask.goal", "is empty")
        check_program("subtask", (subtask_operator(request),), child)
    except InvalidContract as broken:
        return _invalid(f"{broken.field}: {broken.message}")
    return None


def _chain(tree: Tree, node: Node) -> list[bytes]:
    """Fingerprints of the requests of the subtasks that a task stands in, innermost first."""
    found: list[bytes] = []
    here, parent = node, parent_of(tree, node)
    while parent is not None:
        if parent.spawn is not None and is_subtask(parent, here.task_id):
            found.append(parent.spawn.mark)
        here, parent = parent, parent_of(tree, parent)
    return found


def _halted(why: str) -> TaskError:
    return TaskError(TaskErrorType.TASK_FAILURE, f"subtask halted: {why}", reason="execution_halted")


def _invalid(violation: str) -> TaskError:
    return TaskError(TaskErrorType.INVALID_OUTPUT, violation, violations=(violation,))
