"""`octolog demo [PATH]`: the main job from start to end, on real input: the review of a folder.

What is shown comes from where it would be asked later: progress from the audit log, cost and custody from the
projections, the verdict from a replay that decides everything again.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console, Group
from rich.live import Live
from rich.markdown import Markdown
from rich.panel import Panel
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from octolog.app.connection import Connection
from octolog.app.follow import ends_of_tasks, follow_tree
from octolog.app.knowledge.queries import Queries, open_queries
from octolog.app.node.control import NodeInfo, up
from octolog.app.settings import Settings
from octolog.client import Client
from octolog.domain.errors import NotFound, OctologError
from octolog.domain.ids import TaskId
from octolog.domain.task.state import Node, NodeStatus, Tree, TreeStatus

TIMEOUT_S: Final = 300.0
_SHOWN_ROWS: Final = 14
_SHOWN_LINES: Final = 48
_HASH_DIGITS: Final = 64
_PIPE_COLUMNS: Final = 120
_STEP_COLUMNS: Final = ("step_id", "arms", "attempts", "duration_ms", "tokens", "cost_dollars")
_CUSTODY_COLUMNS: Final = ("number", "action", "actor", "task", "detail", "fact_hash")
_SQL: Final = (
    "SELECT arm_id, count(*) AS attempts, sum(tokens) AS tokens, sum(cost_dollars) AS dollars, "
    "median(execution_time_ms) AS p50_ms, max(execution_time_ms) AS max_ms "
    "FROM attempts WHERE root_task_id = '{root}' GROUP BY arm_id ORDER BY arm_id"
)
_MARKS: Final = {
    NodeStatus.COMPLETED: ("done", "green"),
    NodeStatus.FAILED: ("failed", "red"),
    NodeStatus.CANCELLED: ("cancelled", "red"),
    NodeStatus.RUNNING: ("running", "yellow"),
    NodeStatus.ASSIGNED: ("at work", "yellow"),
    NodeStatus.BACKOFF: ("retrying", "yellow"),
    NodeStatus.READY: ("ready", "cyan"),
    NodeStatus.WAITING: ("waiting for its steps", "cyan"),
    NodeStatus.BLOCKED: ("waiting", "dim"),
}


@dataclass(slots=True)
class DemoResult:
    """What the demo found out; `--json` prints it.

    Attributes:
        task_id: The task.
        status: How it ended.
        report: The review, Markdown.
        totals: Findings by kind.
        steps: Cost and time per step.
        custody: The custody chain.
        sql: The query shown, and its rows.
        verify: The replay's report.
        seconds: Start of the node, the task, the rest, and all of it.
    """

    task_id: str
    status: str
    report: str
    totals: dict[str, Any]
    steps: list[dict[str, Any]]
    custody: dict[str, Any]
    sql: dict[str, Any]
    verify: dict[str, Any]
    seconds: dict[str, float]


def run_demo(settings: Settings, path: Path, *, keep: bool, console: Console) -> DemoResult:
    """Start what is needed, review the folder, show everything, and stop what was started.

    Args:
        settings: Where to run.
        path: The folder to review.
        keep: True: leave the node running.
        console: Where to show it.

    Raises:
        NotFound: When there is no such folder.
        OctologError: When the task fails, or the replay finds a difference.
    """
    if not path.is_dir():
        raise NotFound(f"no folder {path}; give the path of one to review")
    began_s = time.monotonic()
    with _node(settings, console, keep=keep) as node, Connection(settings) as connection:
        node_s = time.monotonic() - began_s
        console.print(f"[bold]octolog[/] on Apache Kafka at {node.bootstrap_servers} ({node_s:.1f} s)")
        result = _review(connection, settings, path, console)
        result.seconds = {"node": round(node_s, 2), **result.seconds}
    result.seconds["all"] = round(time.monotonic() - began_s, 2)
    _farewell(result, console, keep=keep)
    if not result.verify["ok"]:
        raise OctologError(f"the replay found a difference: {result.verify['first_difference']}")
    return result


def _review(connection: Connection, settings: Settings, path: Path, console: Console) -> DemoResult:
    start = ends_of_tasks(connection)
    began_s = time.monotonic()
    with Client(connection) as client:
        submitted = client.submit(_contract(path))
    console.print(
        f"submitted [bold]{submitted.task_id}[/] to {submitted.topic}/{submitted.partition}@{submitted.offset}"
    )
    tree, offset = _watch(connection, TaskId(submitted.task_id), start, console)
    task_s = time.monotonic() - began_s
    root = tree.nodes[tree.root_id]
    if tree.status is not TreeStatus.COMPLETED:
        raise OctologError(f"the review {tree.status.lower()}; see `octolog task show {tree.root_id}`")
    output: dict[str, Any] = json.loads(root.output)
    console.print(_report_panel(output["report"], path, _saved(settings, tree.root_id, output["report"])))
    with open_queries(settings) as queries:
        queries.wait_for({("octolog.tasks", submitted.partition): offset + 1}, 20)
        result = _asked(queries, tree, output, console)
    result.verify = _verified(connection, console)
    result.seconds = {"task": round(task_s, 2)}
    return result


def _saved(settings: Settings, root_id: TaskId, report: str) -> Path:
    file = settings.home / "reports" / f"{root_id}.md"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(report, encoding="utf-8")
    return file


def _report_panel(report: str, path: Path, saved: Path) -> Panel:
    lines = report.splitlines()
    shown = "\n".join(lines[:_SHOWN_LINES])
    more = f"{len(lines) - _SHOWN_LINES} more lines in " if len(lines) > _SHOWN_LINES else "also in "
    return Panel(Markdown(shown), title=f"review of {path}", subtitle=f"{more}{saved}", border_style="blue")


def _contract(path: Path) -> dict[str, object]:
    return {
        "goal": f"Review the folder {path.resolve().name}: broken links and anchors, code blocks that do not run, "
        "functions without tests or docstrings; prove each finding with file and line",
        "context": {"path": str(path.resolve())},
        "required_capabilities": ["task_planning"],
        "acceptance_criteria": [
            "every finding names a file and a line",
            "every finding was read again by the judge",
        ],
        "budget": {
            "max_tokens": 50_000,
            "max_cost_dollars": 0.50,
            "max_llm_calls": 20,
            "max_time_seconds": 600,
        },
    }


def _watch(
    connection: Connection, root_id: TaskId, start: dict[tuple[str, int], int], console: Console
) -> tuple[Tree, int]:
    tree: Tree | None = None
    offset = 0
    live = Live(
        Spinner("dots", "waiting for the planner"), console=console, refresh_per_second=12, transient=False
    )
    with live:
        for seen in follow_tree(connection, root_id, start, TIMEOUT_S):
            if seen is not None:
                tree, offset = seen.tree, seen.offset
            if tree is not None:
                live.update(_progress(tree))
    if tree is None:
        raise OctologError("the log ended before the task began; see `octolog status`")
    return tree, offset


def _progress(tree: Tree) -> Group:
    table = Table(box=None, pad_edge=False, show_header=False)
    for node in tree.nodes.values():
        if node.task_id != tree.root_id:
            table.add_row(*_row(node))
    done = sum(node.status is NodeStatus.COMPLETED for node in tree.nodes.values())
    used = tree.ledger.used
    line = f"{done}/{len(tree.nodes)} tasks, {used[0]} tokens, ${used[2] / 1e6:.4f}, {used[3]} model calls"
    return Group(table, Text(line, style="dim"))


def _row(node: Node) -> tuple[Text, Text, Text]:
    word, style = _MARKS[node.status]
    tries = f" (attempt {node.attempts})" if node.attempts > 1 else ""
    return (
        Text(f"  {node.spec.step_id or node.task_id}"),
        Text(word + tries, style=style),
        Text(node.spec.goal[:80], "dim"),
    )


def _asked(queries: Queries, tree: Tree, output: dict[str, Any], console: Console) -> DemoResult:
    root_id = tree.root_id
    steps = queries.steps(root_id)
    console.print(_table("cost and time per step", steps, _STEP_COLUMNS))
    custody = queries.custody(root_id)
    entries: list[dict[str, Any]] = custody["entries"]
    named = [
        {**entry, "task": entry["task_id"].removeprefix(root_id).lstrip("/") or "(root)"} for entry in entries
    ]
    console.print(
        _table(f"chain of custody: {len(entries)} entries, numbered without a gap", named, _CUSTODY_COLUMNS)
    )
    sql = _SQL.format(root=root_id)
    rows = queries.sql(sql).table.to_pylist()
    console.print(_table("cost and time per arm, asked in SQL", rows, tuple(rows[0]) if rows else ()))
    totals = output.get("totals", {})
    query = {"sql": sql, "rows": rows}
    return DemoResult(root_id, str(tree.status), output["report"], totals, steps, custody, query, {}, {})


def _verified(connection: Connection, console: Console) -> dict[str, Any]:
    from octolog.app.audit.verification import verify_log

    with console.status("deciding everything again"):
        verdict = verify_log(connection).to_json()
    if verdict["ok"]:
        console.print(
            f"replay --verify: [bold green]clean[/]: {verdict['facts']} facts of {verdict['trees']} trees decided "
            f"again in {verdict['seconds']:.1f} s; every hash right, nothing lost, "
            f"{verdict['dead_letters']} dead letters"
        )
    else:
        wrong = verdict["first_difference"] or verdict["lost"]
        console.print(f"replay --verify: [bold red]DIFFERS[/]: {wrong}")
    return verdict


def _table(title: str, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", header_style="dim", box=None, pad_edge=False
    )
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="ellipsis", no_wrap=True, max_width=48)
    shown = rows if len(rows) <= _SHOWN_ROWS else rows[: _SHOWN_ROWS // 2] + rows[-_SHOWN_ROWS // 2 :]
    for index, row in enumerate(shown):
        if len(rows) > _SHOWN_ROWS and index == _SHOWN_ROWS // 2:
            table.add_row(f"... {len(rows) - _SHOWN_ROWS} more")
        table.add_row(*(_cell(row.get(column)) for column in columns))
    return table


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    return f"{text[:12]}..." if len(text) == _HASH_DIGITS and text.isalnum() else text


def _farewell(result: DemoResult, console: Console, *, keep: bool) -> None:
    lines = [
        *([] if keep else ["octolog up --detach"]),
        f"octolog task show {result.task_id}",
        f"octolog provenance {result.task_id}",
        f"octolog replay --verify --task {result.task_id}",
        'octolog query "FROM step_latency"',
        "octolog tables",
        *(["octolog down"] if keep else []),
    ]
    console.print(Panel("\n".join(lines), title="look further", border_style="dim"))
    console.print(f"all of it took {result.seconds['all']:.1f} s", style="dim")


@contextmanager
def _node(settings: Settings, console: Console, *, keep: bool) -> Iterator[NodeInfo]:
    from rich.progress import BarColumn, Progress, TextColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        console=console,
        transient=True,
    )
    with bar:
        task = bar.add_task("starting", total=None)

        def progress(stage: str, done: int, total: int) -> None:
            bar.update(task, description=stage, completed=done, total=total or None)

        node = up(settings, detach=keep, progress=progress)
    try:
        yield node
    finally:
        if not keep and not node.already_running:
            with console.status("stopping"):
                node.stop()


def console_for(*, as_json: bool) -> Console:
    """Progress goes to stderr when stdout carries JSON."""
    file = sys.stderr if as_json else sys.stdout
    return Console(file=file, width=None if file.isatty() else _PIPE_COLUMNS)
