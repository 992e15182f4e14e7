"""Commands as a producer would send them, with every field that does not matter filled in."""

from __future__ import annotations

from typing import Any, Final

from octolog.domain.contract import AmendBudget, CancelTask, Step, SubmitTask, TaskContract
from octolog.domain.ids import TaskId
from octolog.domain.values import Limits

ROOT: Final = "task-1"
"""The tree that requests and reports are about when a test names none."""

USER: Final = "tester"


def submit(task_id: str = ROOT, *, root: str | None = None, by: str = USER, **contract: Any) -> SubmitTask:
    """A request to start a task, or with `parent_task_id` to add a subtask.

    Args:
        task_id: The task.
        root: The tree it belongs to; None: the task itself, or with a parent `task-1`.
        by: Who asks.
        contract: Fields of `TaskContract`; the goal is `do it` unless given.
    """
    contract.setdefault("goal", "do it")
    tree = root or (ROOT if contract.get("parent_task_id") is not None else task_id)
    return SubmitTask(TaskId(tree), TaskContract(TaskId(task_id), **contract), by)


def step(step_id: str, *depends_on: str, **fields: Any) -> Step:
    """A step of a plan; `fields` are those of `Step`."""
    fields.setdefault("goal", f"do {step_id}")
    return Step(step_id, depends_on=depends_on, **fields)


def cancel(task_id: str = ROOT, reason: str = "no longer wanted", by: str = USER) -> CancelTask:
    """A request to stop a tree."""
    return CancelTask(TaskId(task_id), reason, by)


def amend(limits: Limits, *, task_id: str = ROOT, reason: str = "", by: str = USER) -> AmendBudget:
    """A request to replace a tree's limits."""
    return AmendBudget(TaskId(task_id), limits, by, reason)
