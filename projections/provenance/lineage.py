"""Which tasks a task was given the outputs of. Pure; from what `task_nodes` says of a tree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from octolog.domain.ids import TaskId


class Family:
    """The tasks of a tree by their parent, in the order they joined.

    Args:
        nodes: Rows of `task_nodes` of one tree.
    """

    def __init__(self, nodes: Sequence[Mapping[str, Any]]) -> None:
        self._nodes = {TaskId(node["task_id"]): node for node in nodes}
        self._children: defaultdict[str | None, list[Mapping[str, Any]]] = defaultdict(list)
        for node in sorted(nodes, key=lambda node: int(node["seq"])):
            self._children[node["parent_task_id"]].append(node)

    def given_to(self, task_id: TaskId) -> Iterator[TaskId]:
        """Whose outputs a task was given.

        Prerequisites in a plan; its arguments, and subtasks that it asked for; earlier steps of its sequence; of a
        reduction the task before it for the same input, and the reduction before that; the recovery that gave the
        program it is the root of.
        """
        node = self._nodes[task_id]
        yield from map(TaskId, node["depends_on"])
        children = self._children.get(task_id, [])
        yield from (
            TaskId(child["task_id"]) for child in children if child["made_as"] in ("ARGUMENT", "SUBTASK")
        )
        before = [other for other in self._beside(node) if other["seq"] < node["seq"]]
        yield from (TaskId(other["task_id"]) for other in self._of(node, before))

    def prerequisites(self, task_id: TaskId) -> tuple[TaskId, ...]:
        """Tasks that a plan put before a task."""
        return tuple(map(TaskId, self._nodes[task_id]["depends_on"]))

    def around(self, task_id: TaskId) -> Iterator[Mapping[str, Any]]:
        """A task that a plan or a program made, with those around it, up to what was submitted; innermost first."""
        node = self._nodes.get(task_id)
        while node is not None:
            yield node
            node = self._nodes.get(node["parent_task_id"]) if node["made_as"] is not None else None

    def users_of(self, task_id: TaskId) -> Iterator[TaskId]:
        """Which tasks were given a task's output: beside it, or the one it is part of."""
        node = self._nodes[task_id]
        beside = [TaskId(other["task_id"]) for other in self._beside(node) if other is not node]
        above = [TaskId(parent) for parent in (node["parent_task_id"],) if parent in self._nodes]
        yield from (other for other in (*above, *beside) if task_id in self.given_to(other))

    def _beside(self, node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        return self._children.get(node["parent_task_id"], [])

    def _of(self, node: Mapping[str, Any], before: list[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        parent = self._nodes.get(node["parent_task_id"])
        match node["made_as"]:
            case "STEP" if parent is not None and parent["operator"] == "SEQUENTIAL":
                yield from (other for other in before if other["made_as"] == "STEP")
            case "REDUCTION":
                yield from _last(before, "REDUCTION")
                yield from _last(before, "INNER")
            case "DECOMPOSED":
                yield from _last(before, "DECOMPOSITION")
            case _:
                pass


def _last(before: list[Mapping[str, Any]], made_as: str) -> list[Mapping[str, Any]]:
    return [other for other in before if other["made_as"] == made_as][-1:]
