"""What the tables and views answer, for the command line and for other programs.

Every row is a dict of column names to Python values; timestamps are naive and in UTC.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final

from octolog.domain.errors import NotFound
from octolog.domain.ids import TaskId
from projections.analytics.places import place_of, possible_roots
from projections.analytics.state import attempts_of, nodes_of, output_of, tasks_of, tree_row
from projections.analytics.tree import Row, Tree, read_tree
from projections.duck import Snapshot, Store
from projections.tables import quoted

_BELOW: Final = (
    "task_id",
    "parent_task_id",
    "step_id",
    "status",
    "operator",
    "made_as",
    "input_name",
    "parts",
    "attempts",
    "arm",
    "goal",
)
"""What is told of a task below the one asked for."""


def root_of(store: Store, task_id: TaskId) -> TaskId:
    """The tree a task belongs to.

    Raises:
        NotFound: When no such task is in the store.
    """
    with store.snapshot() as now:
        place = place_of(now, task_id)
        if place is not None and place.indexed and "task_submitted" in place.tables:
            return task_id
        return tree_with(now, task_id)[0].root


def tree_with(now: Snapshot, task_id: TaskId, *, chain: bool = False) -> tuple[Tree, list[Row]]:
    """The facts of the tree that a task belongs to, and every task of it as `task_nodes` has it.

    Args:
        now: The store.
        task_id: The task.
        chain: Read what the chain of custody needs, instead of what states need.

    Raises:
        NotFound: When no such task is in the store.
    """
    for root in (*possible_roots(task_id), None):
        # What an id does not tell, the view finds, in all trees.
        tree = read_tree(now, _root_in(now, task_id) if root is None else root, chain=chain)
        nodes = nodes_of(tree) if tree is not None else []
        if tree is not None and any(node["task_id"] == task_id for node in nodes):
            return tree, nodes
    raise NotFound(f"no task {task_id} in the log as far as it was read")


def task(store: Store, task_id: TaskId) -> Row:
    """The state of a task now: its row of `tasks`, with its attempts, its steps and all tasks below.

    Raises:
        NotFound: When no such task is in the store.
    """
    with store.snapshot() as now:
        tree, nodes = tree_with(now, task_id)
    every = tasks_of(tree, nodes)
    row = dict(next(one for one in every if one["task_id"] == task_id))
    tried = [one for one in attempts_of(tree) if one["task_id"] == task_id]
    row["tried"] = sorted(tried, key=lambda one: int(one["number"]))
    row["steps"] = [one for one in every if one["parent_task_id"] == task_id]
    row["below"] = _below(every, task_id)
    row["tree"] = tree_row(tree)
    row["output"] = output_of(tree, task_id)
    return row


def tasks(store: Store, limit: int = 50, status: str | None = None) -> list[Row]:
    """The newest tasks, steps included, newest first; `status` as in the view `tasks`."""
    wanted = None if status is None else status.upper()
    # Of what is stored, only the rows that are wanted are read in full.
    return store.rows(
        """FROM (SELECT * FROM meta.settled_tasks WHERE rowid IN (
                   SELECT rowid FROM meta.settled_tasks WHERE $status IS NULL OR status = $status
                   ORDER BY submitted_at DESC, root_task_id, task_id LIMIT $limit)
               UNION ALL SELECT * FROM meta.open_tasks WHERE $status IS NULL OR status = $status)
           ORDER BY submitted_at DESC, root_task_id, task_id LIMIT $limit""",
        {"status": wanted, "limit": limit},
    )


def trees(store: Store, limit: int = 50, status: str | None = None) -> list[Row]:
    """The newest trees with what they used in all, newest first; status OPEN, COMPLETED, FAILED or CANCELLED."""
    where, values = ("", []) if status is None else ("WHERE status = ?", [status.upper()])
    sql = f"SELECT * FROM trees {where} ORDER BY submitted_at DESC, root_task_id LIMIT ?"  # noqa: S608 -- no input
    return store.rows(sql, [*values, limit])


def timeline(store: Store, root_task_id: TaskId) -> list[Row]:
    """All facts of a tree, in order."""
    return store.rows("SELECT * FROM timeline WHERE root_task_id = ? ORDER BY seq", [root_task_id])


def dead_letters(store: Store, limit: int = 50) -> list[Row]:
    """The newest dead letters, newest first."""
    return store.rows("SELECT * FROM dead_letters ORDER BY dead_letter_offset DESC LIMIT ?", [limit])


def cost_and_time_per_step(store: Store, root_task_id: TaskId) -> list[Row]:
    """Every task of a tree that was tried, in order: attempts, tokens, model calls, cost, time, arms."""
    return store.rows(
        """SELECT node.task_id, node.step_id, node.goal, count(*) AS attempts,
                  CAST(coalesce(sum(tried.tokens), 0) AS BIGINT) AS tokens,
                  CAST(coalesce(sum(tried.calls), 0) AS BIGINT) AS calls,
                  coalesce(sum(tried.cost_dollars), 0) AS cost_dollars,
                  CAST(coalesce(sum(tried.duration_ms), 0) AS BIGINT) AS duration_ms,
                  list(DISTINCT tried.arm_id ORDER BY tried.arm_id) AS arms
           FROM attempts AS tried JOIN task_nodes AS node
             ON node.root_task_id = tried.root_task_id AND node.task_id = tried.task_id
           WHERE tried.root_task_id = ?
           GROUP BY node.task_id, node.step_id, node.goal
           ORDER BY min(tried.assigned_seq)""",
        [root_task_id],
    )


def relations(store: Store) -> list[Row]:
    """Every table and view with its columns, for `octolog tables`."""
    return store.rows(
        """SELECT table_name AS name, any_value(kind) AS kind,
                  list(column_name || ' ' || data_type ORDER BY ordinal_position) AS columns
           FROM information_schema.columns JOIN (
             SELECT table_name AS named, lower(replace(table_type, 'BASE ', '')) AS kind
             FROM information_schema.tables WHERE table_schema = 'main') ON named = table_name
           WHERE table_schema = 'main' GROUP BY table_name ORDER BY kind, name"""
    )


def canonical_digest(store: Store) -> str:
    """SHA-256 over every table in its canonical order, hex: equal for two stores that hold the same.

    Rows are ordered by where they come from in the log, so how they were batched does not show.
    """
    digest = sha256()
    names = store.rows(
        """SELECT table_name FROM information_schema.tables
           WHERE table_schema = 'main' AND table_type = 'BASE TABLE' ORDER BY table_name"""
    )
    for name in (row["table_name"] for row in names):
        digest.update(f"{name}\n".encode())
        place = ", position" if name == "operators" else ""  # several rows come of one record
        _digest(store, f"{quoted(name)} ORDER BY log_topic, log_partition, log_offset{place}", digest.update)
    digest.update(b"positions\n")
    _digest(store, "meta.positions ORDER BY projection, topic, partition", digest.update)
    return digest.hexdigest()


def table_digests(store: Store | Snapshot) -> dict[str, tuple[int, str]]:
    """Rows and a digest of every table, by name; equal for two stores of one process that hold the same rows.

    Computed by DuckDB, at tens of millions of values a second: it finds what goes wrong, not what is forged.
    """
    names = store.rows(
        """SELECT table_name FROM information_schema.tables
           WHERE table_schema = 'main' AND table_type = 'BASE TABLE' ORDER BY table_name"""
    )
    found = {}
    for name in (row["table_name"] for row in names):
        (row,) = store.rows(
            f"""SELECT count(*) AS count, sum(h::HUGEINT) AS sum, bit_xor(h) AS mix
                FROM (SELECT hash(one) AS h FROM {quoted(name)} AS one)"""  # noqa: S608 -- names of our own tables
        )
        found[name] = (row["count"], f"{row['sum']}/{row['mix']}")
    return found


def _digest(store: Store, source: str, update: Any) -> None:
    cursor = store.cursor()
    try:
        rows = cursor.execute(f"SELECT * FROM {source}")  # noqa: S608 -- names of our own tables
        while some := rows.fetchmany(10_000):
            update("\n".join(map(repr, some)).encode())
            update(b"\n")
    finally:
        cursor.close()


def _below(tasks: list[Row], task_id: TaskId) -> list[Row]:
    """Every task below one, in the order they joined; what stands above none of them is told in `tasks`."""
    inside, found = {str(task_id)}, list[Row]()
    for one in tasks:  # a parent joined before its children, or with them and has the shorter id
        if one["parent_task_id"] in inside:
            inside.add(one["task_id"])
            found.append({name: one[name] for name in _BELOW})
    return found


def _root_in(now: Snapshot, task_id: TaskId) -> TaskId:
    rows = now.rows("SELECT root_task_id FROM task_nodes WHERE task_id = ? LIMIT 1", [task_id])
    if not rows:
        raise NotFound(f"no task {task_id} in the log as far as it was read")
    return TaskId(rows[0]["root_task_id"])
