"""A tree as the core has it after each fact, with the tasks of programs that leave it when they end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from octolog.domain import facts as f
from octolog.domain.ids import TaskId
from octolog.domain.task.evolve import evolve
from octolog.domain.task.state import Node, absent
from octolog.ports import LogRecord
from projections.analytics.sink import AnalyticsProjection
from projections.duck import Store
from schemas.registry import SchemaIds

OVER = ("COMPLETED", "FAILED", "CANCELLED")


class State(NamedTuple):
    """What the core and the view must say alike of a task."""

    status: str
    parent: str | None
    step_id: str
    goal: str
    attempts: int
    depends_on: tuple[str, ...]


class Followed:
    """A tree that facts are folded into; every task it ever had is kept."""

    def __init__(self, root: TaskId) -> None:
        self.tree = absent(root)
        self._nodes: dict[TaskId, Node] = {}
        self._ended: dict[TaskId, str] = {}

    def take(self, fact: f.Fact) -> None:
        """Fold a fact."""
        evolve(self.tree, fact)
        self._nodes |= self.tree.nodes
        if isinstance(fact, f.TaskCompleted | f.TaskFailed):
            self._ended[fact.task_id] = "COMPLETED" if isinstance(fact, f.TaskCompleted) else "FAILED"

    def states(self) -> dict[TaskId, State]:
        """Every task as it is now; what was stopped below another counts as cancelled."""
        return {task_id: self._state(node) for task_id, node in self._nodes.items()}

    def _state(self, node: Node) -> State:
        status = (
            str(node.status)
            if node.task_id in self.tree.nodes
            else self._ended.get(node.task_id, "CANCELLED")
        )
        if self.tree.closed and status not in OVER:
            status = "CANCELLED"
        spec = node.spec
        return State(status, node.parent, spec.step_id, spec.goal, node.attempts, node.depends_on)


def state_of(row: Mapping[str, Any]) -> State:
    """What a row of `tasks` says."""
    return State(
        row["status"],
        row["parent_task_id"],
        row["step_id"] or "",
        row["goal"],
        row["attempts"],
        tuple(row["depends_on"]),
    )


def hold_every_prefix(root: TaskId, facts: Sequence[tuple[LogRecord, f.Fact]], ids: SchemaIds) -> None:
    """Hold the view against the core after each fact."""
    store = Store.open(None)
    projection = AnalyticsProjection(store, ids)
    tree = Followed(root)
    for record, fact in facts:
        tree.take(fact)
        projection.apply([record], {})
        rows = store.rows("SELECT * FROM tasks WHERE root_task_id = ?", [root])
        assert {row["task_id"]: state_of(row) for row in rows} == tree.states()
    projection.close()
