"""`task`: what became of tasks, and requests about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from octolog.cli.approval import approve, deny
from octolog.cli.asking import Reason, TaskId, Timeout, patiently, request
from octolog.cli.command import Call, command
from octolog.cli.output import cell, fields, group, table
from octolog.cli.result import result, with_output
from octolog.cli.task_tree import TREE_COLUMNS as _BELOW_COLUMNS
from octolog.cli.task_tree import from_core, from_rows, tree_rows
from octolog.domain.errors import InvalidContract

if TYPE_CHECKING:
    from octolog.client import Client
    from octolog.client.decisions import Sent

_TREE_COLUMNS = {
    "root_task_id": "task",
    "status": "status",
    "submitted_at": "submitted (UTC)",
    "attempts_ended": "attempts",
    "tokens": "tokens",
    "cost_dollars": "cost $",
    "goal": "goal",
}
_TASK_COLUMNS = {
    "task_id": "task",
    "status": "status",
    "operator": "operator",
    "arm": "arm",
    "attempts": "attempts",
    "goal": "goal",
}
_ATTEMPT_COLUMNS = {
    "number": "attempt",
    "task_id": "task",
    "arm_id": "arm",
    "outcome": "outcome",
    "tokens": "tokens",
    "cost_dollars": "cost $",
    "duration_ms": "ms",
    "error": "error",
}


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    from octolog.cli.watch import watch

    tasks = typer.Typer(
        no_args_is_help=True, help="Tasks: state, live view, requests.", rich_markup_mode=None
    )
    command(tasks, "list")(list_tasks)
    command(tasks)(show)
    command(tasks)(result)
    command(tasks)(watch)
    command(tasks)(cancel)
    command(tasks)(approve)
    command(tasks)(deny)
    app.add_typer(tasks, name="task")


def show(
    call: Call,
    task_id: TaskId,
    *,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="OFFSET|TIME",
            help="After the fact at an offset of the tree's partition, or before a time.",
        ),
    ] = None,
) -> None:
    """A task's state now; with --at, its whole tree as it was, folded from the log."""
    if at is not None:
        _show_as_of(call, task_id, at)
        return
    from octolog.app.knowledge.queries import open_queries

    settings = call.settings()
    with open_queries(settings) as queries:
        found = with_output(settings, patiently(lambda: queries.task(task_id)))
        root = found["root_task_id"]
        steps = queries.steps(root) if root == task_id else []
    document = {**found, "cost_and_time": steps}
    call.show(document, lambda: _task_text(found))


def list_tasks(
    call: Call,
    *,
    status: Annotated[str | None, typer.Option(help="Only those, e.g. open, completed, failed.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 50,
    steps: Annotated[bool, typer.Option("--steps", help="Every task, those inside others too.")] = False,
) -> None:
    """The newest tasks, newest first."""
    from octolog.app.knowledge.queries import open_queries

    with open_queries(call.settings()) as queries:
        rows = queries.tasks(limit, status) if steps else queries.trees(limit, status)
    columns = _TASK_COLUMNS if steps else _TREE_COLUMNS
    call.show({"tasks": rows}, lambda: table(_told(rows) if steps else rows, columns) if rows else "no task")


def cancel(call: Call, task_id: TaskId, *, reason: Reason = "", timeout_s: Timeout = 10.0) -> None:
    """Stop a task with all tasks inside it."""

    def ask(client: Client) -> Sent:
        root_id = client.root_of(task_id)
        if root_id != task_id:
            raise InvalidContract(
                "NOT_A_ROOT", "task_id", f"{task_id} is inside {root_id}; only a whole tree can be cancelled"
            )
        return client.cancel(task_id, reason=reason)

    request(call, task_id, "cancelled", ask, timeout_s)


def _show_as_of(call: Call, task_id: str, at: str) -> None:
    from octolog.app.connection import Connection
    from octolog.cli.moment import parse_moment
    from octolog.domain.ids import TaskId as RootId
    from streams.replay import state_at

    moment = parse_moment(at)
    with Connection(call.settings()) as connection:
        view = state_at(connection.reader(), connection.codec(), RootId(task_id), at=moment)
    document = view.to_json()

    def text() -> object:
        summary = {name: value for name, value in document.items() if name != "tree"}
        return group(fields(summary), "", table(tree_rows(from_core(view.tree)), _BELOW_COLUMNS))

    call.show(document, text)


def _task_text(found: dict[str, Any]) -> object:
    nested = {"tried", "steps", "below", "tree", "output"}
    summary = {name: value for name, value in found.items() if name not in nested}
    output = found.get("output") or {}
    return group(
        fields(summary),
        *_titled("attempts", found.get("tried"), _ATTEMPT_COLUMNS),
        *_titled("tasks inside", tree_rows(from_rows(found.get("below", []))), _BELOW_COLUMNS),
        *(("", "output", cell(output.get("output"), limit=20_000)) if output.get("output") else ()),
        *(("", f"output: {output['blob_error']}") if output.get("blob_error") else ()),
    )


def _told(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With the kind of an operator in words; how far it is, its tree says."""
    return [{**row, "operator": (row["operator"] or "").lower()} for row in rows]


def _titled(title: str, rows: list[dict[str, Any]] | None, columns: dict[str, str]) -> tuple[object, ...]:
    return ("", title, table(rows, columns)) if rows else ()
