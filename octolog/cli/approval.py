"""`approvals`, `approve`, `deny`: what waits for a person, and what the person says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from octolog.cli.asking import Reason, TaskId, Timeout, request
from octolog.cli.command import Call, command
from octolog.cli.output import table

if TYPE_CHECKING:
    from octolog.client import Client

Number = Annotated[
    int, typer.Option(min=0, help="Which request of the task is meant, as `approvals` says; 0: the open one.")
]
_COLUMNS = {
    "task_id": "task",
    "number": "number",
    "reason": "why",
    "question": "question",
    "state": "state",
    "requested_at": "asked (UTC)",
    "due": "until (UTC)",
    "on_timeout": "silence means",
}
_DECIDED = {**_COLUMNS, "decided_by": "by", "comment": "comment"}


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    command(app)(approvals)
    command(app)(approve)
    command(app)(deny)


def approvals(
    call: Call,
    *,
    all_of_them: Annotated[bool, typer.Option("--all", help="Decided ones, too.")] = False,
) -> None:
    """What waits for a person, oldest first."""
    from octolog.client.approvals import approvals_of

    rows = approvals_of(call.settings(), all_of_them=all_of_them)
    shown = _DECIDED if all_of_them else _COLUMNS
    call.show(
        {"approvals": rows}, lambda: table(_told(rows), shown) if rows else "nothing waits for a person"
    )


def approve(
    call: Call,
    task_id: TaskId,
    *,
    comment: Annotated[str, typer.Option(help="Why, for the log; the arm is told.")] = "",
    number: Number = 0,
    timeout_s: Timeout = 10.0,
) -> None:
    """Let a task that waits for a person go on."""

    def ask(client: Client) -> Any:
        return client.approve(task_id, comment=comment, number=number)

    request(call, task_id, "approved", ask, timeout_s)


def deny(
    call: Call, task_id: TaskId, *, reason: Reason = "", number: Number = 0, timeout_s: Timeout = 10.0
) -> None:
    """Stop a task that waits for a person."""
    request(
        call, task_id, "denied", lambda client: client.deny(task_id, reason=reason, number=number), timeout_s
    )


def _told(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    words = ("reason", "state", "on_timeout")
    return [{**row, **{name: row[name].lower().replace("_", " ") for name in words}} for row in rows]
