"""`task watch`: one tree, or all of them, as they change."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass
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
    """Show a tree live until it is over, or the newest trees until Ctrl-C; exits with 1 unless the tree completes."""
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
    from streams.replay import state_at

    tree: Tree | None = None
    ending = _Ending("")
    with Connection(call.settings()) as connection:
        root_id = TaskId(Client(connection).root_of(task_id))
        start = facts_from(connection.reader(), root_id)
        live = _live(call)
        with live or nullcontext():
            for seen in follow_tree(connection, root_id, start, timeout_s):
                if seen is None:
                    if ending.rejected and tree is not None and tree.status == "ABSENT":
                        now = state_at(connection.reader(), connection.codec(), root_id).tree
                        if now.status == "ABSENT":
                            break  # all that the log has of it is that it was refused
                        ending = _Ending("")
                    continue
                tree, ending = seen.tree, ending.after(seen.fact, root_id)
                if live is not None:
                    live.update(table(tree_rows(from_core(seen.tree)), TREE_COLUMNS))
                elif not call.as_json:
                    print_text(
                        f"{seen.offset} {type(seen.fact).__name__} {cell(getattr(seen.fact, 'task_id', root_id))}"
                    )
                    sys.stdout.flush()
    if tree is not None:
        _tell_end(call, root_id, tree, ending)


@dataclass(frozen=True, slots=True)
class _Ending:
    """Why a tree did not complete.

    Attributes:
        why: Code and reason, one line; empty: it did, or goes on.
        code: The code.
        rejected: It is the reason of a refused request.
    """

    why: str
    code: str = ""
    rejected: bool = False

    def after(self, fact: object, root_id: str) -> _Ending:
        """The same after one more fact."""
        from octolog.domain.facts import RequestRejected, TaskCancelled, TaskFailed

        match fact:
            case TaskFailed(task_id=task_id) if task_id == root_id:
                return _Ending(fact.message, fact.code)
            case TaskCancelled():
                return _Ending(fact.reason, "CANCELLED")
            case RequestRejected() if not self.why:
                why = f"{fact.field}: {fact.message}" if fact.field else fact.message
                return _Ending(why, fact.code, rejected=True)
            case _:
                return self


def _tell_end(call: Call, root_id: str, tree: Tree, ending: _Ending) -> None:
    """Say how it ended; anything but a completed tree is exit code 1, as with `submit --wait`."""
    status = "rejected" if tree.status == "ABSENT" else tree.status.lower()
    document: dict[str, Any] = {"task_id": root_id, "status": status, "tasks": _rows(tree)}

    def text() -> str:
        return f"{root_id} {status}"

    if status == "completed":
        call.show(document, text)
    else:
        told = {**document, "code": ending.code, "error": ending.why}
        call.fail(told, f"{root_id} {status}: {ending.code}: {ending.why}", text)


def _watch_all(call: Call, timeout_s: float) -> None:
    from octolog.app.knowledge.queries import open_queries

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
