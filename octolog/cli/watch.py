"""`task watch`: one tree, or all of them, as they change."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from octolog.cli.command import Call
from octolog.cli.output import cell, print_text, table
from octolog.cli.task_tree import TREE_COLUMNS, from_core, tree_rows

if TYPE_CHECKING:
    from octolog.domain.task.state import Tree

_EVERY_S = 0.5
_ROWS = 30


def watch(
    call: Call,
    task_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="A root task; none: all trees.")
    ] = None,
    *,
    timeout_s: Annotated[float, typer.Option("--timeout", min=0, help="Longest watch, seconds.")] = 86_400.0,
) -> None:
    """Show a tree live until it is over, or the newest trees until Ctrl-C."""
    if task_id is None:
        _watch_all(call, timeout_s)
    else:
        _watch_tree(call, task_id, timeout_s)


def _watch_tree(call: Call, task_id: str, timeout_s: float) -> None:
    from octolog.app.connection import Connection
    from octolog.app.follow import follow_tree
    from octolog.client import Client
    from octolog.client.decisions import facts_from
    from octolog.domain.ids import TaskId

    tree: Tree | None = None
    with Connection(call.settings()) as connection:
        root_id = TaskId(Client(connection).root_of(task_id))
        start = facts_from(connection.reader(), root_id)
        live = _live(call)
        with live or nullcontext():
            for seen in follow_tree(connection, root_id, start, timeout_s):
                if seen is None:
                    continue
                tree = seen.tree
                if live is not None:
                    live.update(table(tree_rows(from_core(seen.tree)), TREE_COLUMNS))
                elif not call.as_json:
                    print_text(
                        f"{seen.offset} {type(seen.fact).__name__} {cell(getattr(seen.fact, 'task_id', root_id))}"
                    )
                    sys.stdout.flush()
    if tree is not None:
        document = {"task_id": root_id, "status": tree.status.lower(), "tasks": _rows(tree)}
        call.show(document, lambda: f"{root_id} {document['status']}")


def _watch_all(call: Call, timeout_s: float) -> None:
    from octolog.app.queries import open_queries

    deadline = time.monotonic() + timeout_s
    columns = {
        name: name for name in ("root_task_id", "status", "attempts_ended", "tokens", "cost_dollars", "goal")
    }
    with open_queries(call.settings()) as queries:
        live = _live(call)
        with live or nullcontext():
            rows = queries.trees(_ROWS)
            while live is not None and time.monotonic() < deadline:
                live.update(table(rows, columns))
                time.sleep(_EVERY_S)
                rows = queries.trees(_ROWS)
    call.show({"tasks": rows}, lambda: table(rows, columns))


def _live(call: Call) -> Any:
    """A live display, when there is a terminal to show it on."""
    if call.as_json or not sys.stdout.isatty():
        return None
    from rich.console import Console
    from rich.live import Live

    return Live(console=Console(highlight=False), refresh_per_second=8, transient=True)


def _rows(tree: Tree) -> list[dict[str, Any]]:
    return [{"task": row["task_id"], **row} for row in from_core(tree)]
