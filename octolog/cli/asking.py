"""What commands about one task share: its options, asking until the projections know it, and requests about it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from octolog.cli.command import Call
from octolog.cli.submit import redacted_document, tell_redacted
from octolog.domain.errors import NotFound

if TYPE_CHECKING:
    from octolog.client import Client
    from octolog.client.decisions import Sent

T = TypeVar("T")
TaskId = Annotated[str, typer.Argument(metavar="ID", help="A task id.")]
Reason = Annotated[str, typer.Option(help="Why, for the log.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0, help="Longest wait for the decision, seconds.")]

_PATIENCE_S = 2.0
"""How long a task that was just submitted may take to reach the projections."""


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
