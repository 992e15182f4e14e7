"""A tree of tasks as rows of a table: indented, operators with how far they are, wide ones collapsed. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from octolog.domain.task.state import Node, Tree

MOST_BESIDE: Final = 12
"""Tasks of one parent that are shown; of more, those that say most, and how many there are of the rest."""

TREE_COLUMNS: Final = {
    "task": "task",
    "status": "status",
    "operator": "operator",
    "arm": "arm",
    "attempts": "attempts",
    "goal": "goal",
}
_FIRST: Final = ("failed", "running", "assigned", "backoff", "waiting", "ready", "blocked")
_COUNTED: Final = {
    "MAP": ("STEP", "INNER"),
    "SEQUENTIAL": ("STEP",),
    "REDUCE": ("REDUCTION",),
}
"""Operator -> what its parts are made as."""


def tree_rows(tasks: Sequence[Mapping[str, Any]], most: int = MOST_BESIDE) -> list[dict[str, Any]]:
    """Rows of `TREE_COLUMNS`, parents before their children.

    Args:
        tasks: `task_id`, `parent_task_id`, `status`, `operator`, `attempts`, `arm`, `goal`; a parent that is not
            among them is none.
        most: Tasks of one parent that are shown.
    """
    known = {task["task_id"] for task in tasks}
    children: defaultdict[str | None, list[Mapping[str, Any]]] = defaultdict(list)
    for task in tasks:
        parent = task["parent_task_id"]
        children[parent if parent in known else None].append(task)
    found: list[dict[str, Any]] = []
    open_ = [(0, row) for row in reversed(list(_shown(children[None], None, most)))]
    while open_:
        depth, row = open_.pop()
        found.append({**row, "task": "  " * depth + row["task"]})
        task_id = row.get("task_id")
        if task_id is not None and task_id in children:
            open_ += [(depth + 1, low) for low in reversed(list(_shown(children[task_id], task_id, most)))]
    return found


def from_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the view `tasks` for `tree_rows`: an operator's parts that ended are counted."""
    ended: Counter[tuple[str, str]] = Counter(
        (row["parent_task_id"], row["made_as"])
        for row in rows
        if row["made_as"] is not None and row["status"] in ("COMPLETED", "FAILED")
    )
    return [{**row, "operator": _operator(row, ended)} for row in rows]


def from_core(tree: Tree) -> list[dict[str, Any]]:
    """The tasks of a folded tree for `tree_rows`; a program's task leaves it when it ends, and is counted only."""
    at_work = {attempt.task_id: attempt.arm_id for attempt in tree.attempts.values()}
    return [
        {
            "task_id": node.task_id,
            "parent_task_id": node.parent,
            "status": node.status.lower(),
            "operator": _folded_operator(tree, node),
            "arm": at_work.get(node.task_id, ""),
            "attempts": node.attempts,
            "goal": node.spec.goal,
        }
        for node in tree.nodes.values()
    ]


def _folded_operator(tree: Tree, node: Node) -> str:
    from octolog.domain.evaluator.places import operator_of, total

    op = node.op
    if op is None:
        return ""
    if op.recovery is not None:
        return op.recovery.lower()
    name = operator_of(tree, op).type.lower()
    return name if op.body is None else f"{name} {op.body.ended} of {total(tree, op)}"


def _operator(row: Mapping[str, Any], ended: Mapping[tuple[str, str], int]) -> str:
    kind, made_as = row["operator"], row["made_as"]
    if kind is None:
        return ""
    if made_as in ("DECOMPOSITION", "ALTERNATIVE"):
        return str(made_as.lower())
    parts = _COUNTED.get(kind)
    if parts is None:
        return "subtask" if made_as == "SUBTASK" else str(kind.lower())
    return f"{kind.lower()} {sum(ended.get((row['task_id'], part), 0) for part in parts)} of {row['parts']}"


def _shown(tasks: Sequence[Mapping[str, Any]], parent: str | None, most: int) -> Iterator[dict[str, Any]]:
    kept, left = _chosen(tasks, most)
    for task in kept:
        name = str(task["task_id"])
        short = name if parent is None else name.removeprefix(f"{parent}/")
        yield {**task, "task": short, "status": str(task["status"]).lower()}
    if left:
        counts = Counter(str(task["status"]).lower() for task in left)
        said = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
        yield {"task": f"… {len(left)} more", "status": said}


def _chosen(
    tasks: Sequence[Mapping[str, Any]], most: int
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Those that are shown, and the rest: what failed before what works, that before what waits or has ended."""
    if len(tasks) <= most:
        return list(tasks), []
    ranked = sorted(range(len(tasks)), key=lambda place: (_rank(tasks[place]), place))
    kept = set(ranked[: most - 1])
    return _pick(tasks, kept, wanted=True), _pick(tasks, kept, wanted=False)


def _pick(tasks: Iterable[Mapping[str, Any]], kept: set[int], *, wanted: bool) -> list[Mapping[str, Any]]:
    return [task for place, task in enumerate(tasks) if (place in kept) is wanted]


def _rank(task: Mapping[str, Any]) -> int:
    status = str(task["status"]).lower()
    return _FIRST.index(status) if status in _FIRST else len(_FIRST)
