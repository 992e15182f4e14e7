"""What the facts of a tree say of its tasks: the views `task_nodes`, `task_states`, `tasks`, `attempts`, `trees`. Pure.

Said twice, there for all trees and here for one, because planning the views costs more than a point lookup may take;
a rule that changes, changes in both. `tests/unit/projections/test_tree_reading.py` holds them against each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any, Final, NamedTuple

from octolog.domain.ids import TaskId
from projections.analytics.tree import Row, Tree

_OVER: Final = frozenset({"COMPLETED", "FAILED", "CANCELLED"})
_PLAIN: Final = {
    "attempt_assigned": "ASSIGNED",
    "attempt_ended": "WAITING",
    "task_planned": "WAITING",
    "retry_scheduled": "BACKOFF",
    "retry_due": "READY",
    "recovery_started": "WAITING",
    "subtask_requested": "WAITING",
    "plan_refused": "READY",
    "judging_started": "WAITING",
    "replan_started": "READY",
}
"""What a fact of the table makes of its task, whatever else it says."""
_MILLISECOND: Final = timedelta(milliseconds=1)


class _Said(NamedTuple):
    """What one fact says of one task's state."""

    seq: int
    task_id: str
    status: str
    ended_at: Any = None
    code: str | None = None
    reason: str | None = None


# Tasks


def nodes_of(tree: Tree) -> list[Row]:
    """Every task of a tree, as `task_nodes` has it."""
    return [
        *_submitted(tree),
        *(row for fact in tree.of("task_submitted") for row in _steps(tree, fact)),
        *(row for fact in tree.of("task_planned") for row in _steps(tree, fact)),
        *_made(tree),
        *_judges(tree),
    ]


def _node(tree: Tree, seq: int, at: Any, task_id: str, parent: str | None, goal: str, **more: Any) -> Row:
    row = {
        "root_task_id": str(tree.root),
        "task_id": task_id,
        "parent_task_id": parent,
        "step_id": None,
        "goal": goal,
        "depends_on": [],
        "submitted_at": at,
        "seq": seq,
        "planned": False,
        "operator": None,
        "made_as": None,
        "input_name": None,
        "parts": None,
    }
    return row | more


def _submitted(tree: Tree) -> Iterator[Row]:
    programs = {
        one["program_id"]: one
        for one in tree.operators
        if one["position"] == 0 and one["origin"] == "CONTRACT"
    }
    for fact in tree.of("task_submitted"):
        program = programs.get(fact["task_id"], {})
        goal = program["goal"] if program.get("goal") is not None else fact["goal"]
        yield _node(
            tree,
            fact["seq"],
            fact["happened_at"],
            fact["task_id"],
            fact["parent_task_id"],
            goal,
            planned=bool(fact["steps"]) or program.get("type") is not None,
            operator=program.get("type"),
            parts=program.get("parts"),
        )


def _steps(tree: Tree, fact: Row) -> Iterator[Row]:
    above = fact["task_id"]
    for step in fact["steps"] or ():
        yield _node(
            tree,
            fact["seq"],
            fact["happened_at"],
            f"{above}/{step['step_id']}",
            above,
            step["goal"],
            step_id=step["step_id"],
            depends_on=[f"{above}/{name}" for name in step["depends_on"]],
            made_as="PLANNED",
        )


def _made(tree: Tree) -> Iterator[Row]:
    for one in tree.made:
        if one["made_as"] is not None and one["made_as"] != "CONTRACT":
            same = {name: one[name] for name in ("step_id", "operator", "made_as", "input_name", "parts")}
            yield _node(
                tree,
                one["seq"],
                one["happened_at"],
                one["task_id"],
                one["parent_task_id"],
                one["goal"],
                planned=True,
                **same,
            )


def _judges(tree: Tree) -> Iterator[Row]:
    for fact in tree.of("judging_started"):
        judged = fact["task_id"]
        yield _node(
            tree,
            fact["seq"],
            fact["happened_at"],
            fact["judge_task_id"],
            judged,
            f"Judge {judged}",
            depends_on=[judged],
            made_as="JUDGE",
        )


# Attempts


def attempts_of(tree: Tree) -> list[Row]:
    """Every attempt of a tree, as `attempts` has it, in the order in which they were assigned."""
    ends = {end["attempt_id"]: end for end in tree.of("attempt_ended")}
    return [_attempt(tree, given, ends.get(given["attempt_id"], {})) for given in tree.of("attempt_assigned")]


def _attempt(tree: Tree, given: Row, end: Row) -> Row:
    begun, ended, cost = given["happened_at"], end.get("happened_at"), end.get("cost_micros")
    return {
        "root_task_id": str(tree.root),
        "task_id": given["task_id"],
        "attempt_id": given["attempt_id"],
        "number": given["number"],
        "arm_id": given["arm_id"],
        "assigned_at": begun,
        "ended_at": ended,
        "outcome": end.get("outcome", "OPEN"),
        "duration_ms": None if ended is None else (ended - begun) // _MILLISECOND,
        "execution_time_ms": end.get("execution_time_ms"),
        "tokens": end.get("tokens"),
        "calls": end.get("calls"),
        "cost_dollars": None if cost is None else cost / 1e6,
        "time_ms": end.get("time_ms"),
        "confidence": end.get("confidence"),
        "error_code": end.get("error_code"),
        "error": end.get("error"),
        "retryable": end.get("retryable"),
        "model": end.get("model"),
        "policy": given["policy"],
        "assigned_seq": given["seq"],
        "ended_seq": end.get("seq"),
    }


def _work(attempts: list[Row]) -> Row:
    """What the attempts at one task come to; a value that the last of them lacks is that of the last that has it."""
    ordered = sorted(attempts, key=lambda one: int(one["number"]))
    return {
        "started_at": min((one["assigned_at"] for one in ordered), default=None),
        "attempts": ordered[-1]["number"] if ordered else 0,
        "arm": _last(one["arm_id"] for one in ordered),
        "error_code": _last(one["error_code"] for one in ordered),
        "error": _last(one["error"] for one in ordered),
        "tokens": sum(one["tokens"] or 0 for one in ordered),
        "cost_dollars": sum((one["cost_dollars"] or 0.0 for one in ordered), 0.0),
        "time_ms": sum(one["time_ms"] or 0 for one in ordered),
    }


# States


def tasks_of(tree: Tree, nodes: list[Row]) -> list[Row]:
    """Every task as `tasks` has it, in the order in which they joined.

    Args:
        tree: The facts.
        nodes: What `nodes_of` says of them.
    """
    said = defaultdict[str, list[_Said]](list)
    for one in sorted(_said(tree), key=lambda one: one.seq):
        said[one.task_id].append(one)
    tried = defaultdict[str, list[Row]](list)
    for attempt in attempts_of(tree):
        tried[attempt["task_id"]].append(attempt)
    done = {fact["task_id"] for fact in tree.of("task_completed")}
    blocked = {node["task_id"] for node in nodes if any(need not in done for need in node["depends_on"])}
    over, tops = _end(tree) is not None, _stopped(tree)
    rows = [
        _task(node, said[node["task_id"]], _work(tried[node["task_id"]]), blocked, tops, over=over)
        for node in nodes
    ]
    return sorted(rows, key=lambda row: (row["seq"], row["task_id"]))


def _task(
    node: Row, said: list[_Said], work: Row, blocked: set[str], tops: frozenset[str], *, over: bool
) -> Row:
    own = said[-1].status if said else None
    completed = own == "COMPLETED"
    code, reason = _greatest(one.code for one in said), _greatest(one.reason for one in said)
    return {
        **{name: node[name] for name in ("root_task_id", "task_id", "parent_task_id", "step_id", "goal")},
        "status": _status(node, own, blocked, tops, over=over),
        "submitted_at": node["submitted_at"],
        "started_at": work["started_at"],
        "ended_at": _greatest(one.ended_at for one in said),
        "attempts": work["attempts"],
        "arm": work["arm"],
        "error_code": None if completed else work["error_code"] if code is None else code,
        "error": None if completed else work["error"] if reason is None else reason,
        "tokens": work["tokens"],
        "cost_dollars": work["cost_dollars"],
        "time_ms": work["time_ms"],
        **{name: node[name] for name in ("depends_on", "seq", "operator", "made_as", "input_name", "parts")},
    }


def _status(node: Row, own: str | None, blocked: set[str], tops: frozenset[str], *, over: bool) -> str:
    if own in _OVER:
        return str(own)
    path = f"{node['task_id']}/"
    if over or any(path.startswith(top) for top in tops):
        return "CANCELLED"
    if own is not None:
        return own
    if node["planned"]:
        return "WAITING"
    return "BLOCKED" if node["task_id"] in blocked else "READY"


def _said(tree: Tree) -> Iterator[_Said]:
    for table, status in _PLAIN.items():
        yield from (_Said(fact["seq"], fact["task_id"], status) for fact in tree.of(table))
    for fact in tree.of("lease_renewed"):
        if fact["started"]:
            yield _Said(fact["seq"], fact["task_id"], "RUNNING")
    for fact in tree.of("approval_requested"):
        yield _Said(fact["seq"], fact["task_id"], "HELD", reason=fact["question"])
    for fact in tree.of("approval_decided"):
        if fact["approved"]:
            yield _Said(fact["seq"], fact["task_id"], "READY")
    for fact in tree.of("repair_started"):
        yield from (_Said(fact["seq"], task_id, "READY") for task_id in fact["repaired"])
    for fact in tree.of("replan_started"):
        for task_id in fact["dropped"]:
            yield _Said(
                fact["seq"], task_id, "CANCELLED", fact["happened_at"], reason="dropped by a new plan"
            )
    yield from _of_programs(tree)
    yield from _ends(tree)


def _of_programs(tree: Tree) -> Iterator[_Said]:
    for one in tree.made:
        alone = one["operator"] == "ATOMIC" and one["arguments"] == 0
        yield _Said(one["seq"], one["task_id"], "READY" if alone else "WAITING")
    # The last that a task waited for has answered: its arguments, the subtask that it asked for.
    done = {fact["task_id"]: fact["seq"] for fact in tree.of("task_completed")}
    answered = defaultdict[tuple[str, str | None], list[int]](list)
    awaited: dict[tuple[str, str | None], int] = {}
    for one in tree.made:
        if one["awaited"] is not None and one["task_id"] in done:
            key = one["parent_task_id"], one["task_id"] if one["made_as"] == "SUBTASK" else None
            answered[key].append(done[one["task_id"]])
            awaited[key] = one["awaited"]
    for key, seqs in answered.items():
        if len(seqs) == awaited[key]:
            yield _Said(max(seqs), key[0], "READY")


def _ends(tree: Tree) -> Iterator[_Said]:
    for fact in tree.of("task_completed"):
        yield _Said(fact["seq"], fact["task_id"], "COMPLETED", fact["happened_at"])
    for fact in tree.of("task_failed"):
        yield _Said(
            fact["seq"], fact["task_id"], "FAILED", fact["happened_at"], fact["code"], fact["message"]
        )
    for fact in tree.of("task_cancelled"):
        yield _Said(
            fact["seq"], fact["task_id"], "CANCELLED", fact["happened_at"], "CANCELLED", fact["reason"]
        )


def _stopped(tree: Tree) -> frozenset[str]:
    """What failed in a program takes with it all that stands below, what was submitted there too: `id/` of each."""
    tops = {f"{fact['task_id']}/" for fact in tree.of("task_failed") if fact["task_id"] != tree.root}
    more = set(tops)
    while more:
        below = {
            f"{fact['task_id']}/"
            for fact in tree.of("task_submitted")
            if fact["parent_task_id"] is not None
            and any(f"{fact['parent_task_id']}/".startswith(top) for top in more)
        }
        more = below - tops
        tops |= more
    return frozenset(tops)


# The tree


def tree_row(tree: Tree) -> Row | None:
    """The tree as `trees` has it; None where its submission is not there."""
    given = next((fact for fact in tree.of("task_submitted") if fact["task_id"] == tree.root), None)
    if given is None:
        return None
    end, ended = _end(tree), tree.of("attempt_ended")
    return {
        "root_task_id": str(tree.root),
        "goal": given["goal"],
        "submitted_by": given["submitted_by"],
        "status": "OPEN" if end is None else end.status,
        "submitted_at": given["happened_at"],
        "ended_at": None if end is None else end.ended_at,
        "error_code": None if end is None else end.code,
        "error": None if end is None else end.reason,
        "attempts_ended": len(ended),
        "tokens": sum(fact["tokens"] for fact in ended),
        "cost_dollars": sum(fact["cost_micros"] for fact in ended) / 1e6,
        "time_ms": sum(fact["time_ms"] for fact in ended),
    }


def output_of(tree: Tree, task_id: TaskId) -> Row | None:
    """What a task answered, and by what confidence; None when it has not."""
    done = next((fact for fact in tree.of("task_completed") if fact["task_id"] == task_id), None)
    if done is None:
        return None
    made = next((one for one in tree.of("attempt_ended") if one["attempt_id"] == done["attempt_id"]), {})
    row = {"output": done["output"] or tree.outputs.get(done["attempt_id"])}
    for name in ("blob_sha256", "blob_size_bytes", "blob_media_type"):
        own = done[f"output_{name}"]
        row[name] = made.get(f"output_{name}") if own is None else own
    return row | {"confidence": made.get("confidence")}


def _end(tree: Tree) -> _Said | None:
    return next((one for one in _ends(tree) if one.task_id == tree.root), None)


def _last(values: Iterable[Any]) -> Any:
    """The last that there is."""
    found = None
    for value in values:
        found = found if value is None else value
    return found


def _greatest(values: Iterable[Any]) -> Any:
    return max((value for value in values if value is not None), default=None)
