"""`task`: what became of tasks, and requests about them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from octolog.cli.command import Call, command
from octolog.cli.output import cell, fields, group, table
from octolog.cli.result import result, with_output
from octolog.cli.submit import redacted_document, tell_redacted
from octolog.cli.task_tree import TREE_COLUMNS as _BELOW_COLUMNS
from octolog.cli.task_tree import from_core, from_rows, tree_rows
from octolog.domain.errors import InvalidContract, NotFound

if TYPE_CHECKING:
    from octolog.client import Client
    from octolog.client.decisions import Sent

T = TypeVar("T")
TaskId = Annotated[str, typer.Argument(metavar="ID", help="A task id.")]
Reason = Annotated[str, typer.Option(help="Why, for the log.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0, help="Longest wait for the decision, seconds.")]

_PATIENCE_S = 2.0
"""How long a task that was just submitted may take to reach the projections."""

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
    from octolog.cli import approval
    from octolog.cli.watch import watch

    tasks = typer.Typer(
        no_args_is_help=True, help="Tasks: state, live view, requests.", rich_markup_mode=None
    )
    command(tasks, "list")(list_tasks)
    command(tasks)(show)
    command(tasks)(result)
    command(tasks)(watch)
    command(tasks)(cancel)
    command(tasks)(approval.approve)
    command(tasks)(approval.deny)
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
    from octolog.app.queries import open_queries

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
    from octolog.app.queries import open_queries

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


def patiently(ask: Callable[[], T]) -> T:
    """Ask again for a moment: the projections follow the log some milliseconds behind.

    Raises:
        NotFound: When they still do not know.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return ask()
        except NotFound:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def request(call: Call, task_id: str, done: str, ask: Callable[[Client], Sent], timeout_s: float) -> None:
    """Send a request about a task, wait for the decision, and say it."""
    from octolog.client import Client

    with Client(call.settings()) as client:
        sent = ask(client)
        tell_redacted(sent)
        decided = client.accepted(sent, timeout_s)
    document = {
        "task_id": task_id,
        "topic": sent.topic,
        "partition": sent.partition,
        "offset": sent.offset,
        "status": done if decided else "requested",
        **redacted_document(sent),
    }
    waits = f"{task_id}: requested; nothing changed within {timeout_s:g} s (asked before, or no node runs?)"
    call.show(document, lambda: f"{task_id} {done}" if decided else waits)


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
