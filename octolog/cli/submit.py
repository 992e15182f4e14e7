"""`submit`: a contract into the log, and if asked, what became of it."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from octolog.cli.command import Call, command
from octolog.cli.output import cell, warn
from octolog.domain.errors import NotFound, Refused

if TYPE_CHECKING:
    from octolog.client import Client
    from octolog.client.decisions import Outcome, Sent, Submitted

WAIT_S = 600.0


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    command(app)(submit)


def submit(
    call: Call,
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="A contract as JSON; - reads stdin.")],
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the task is over.")] = False,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0, help="Longest wait, seconds.", show_default=True)
    ] = WAIT_S,
    submitted_by: Annotated[str | None, typer.Option("--by", help="Who asks; default: this user.")] = None,
) -> None:
    """Check a contract and put it into the log; with --wait, exits with 1 unless the task completes."""
    from octolog.edge import parse_contract

    request = parse_contract(read_document(file, "contract"))
    from octolog.client import Client

    with Client(call.settings()) as client:
        submitted = client.submit(request, submitted_by=submitted_by)
        tell_redacted(submitted)
        if wait:
            _finish(call, client, submitted, timeout_s)
        else:
            call.show(
                _place(submitted),
                lambda: f"{submitted.task_id} submitted; see `octolog task watch {submitted.task_id}`",
            )


def tell_redacted(sent: Sent) -> None:
    """Say on stderr what was taken out of a request before it was appended."""
    if sent.redacted:
        from octolog.safety import in_words

        warn(f"redacted before it was logged: {in_words(sent.redacted)}; see docs/how-to/safety.md")


def redacted_document(sent: Sent) -> dict[str, Any]:
    """The same as JSON: how many of each kind; nothing when nothing was."""
    return {"redacted": dict(sent.redacted)} if sent.redacted else {}


def read_document(file: str, what: str) -> bytes:
    """A file, or stdin for `-`; too long a one is refused before it is read to its end.

    Raises:
        NotFound: There is no such file.
        Refused: It cannot be read.
        InvalidContract: TOO_LARGE.
    """
    from octolog.edge import read_bounded

    with ExitStack() as open_files:
        try:
            source = sys.stdin.buffer if file == "-" else open_files.enter_context(Path(file).open("rb"))
            return read_bounded(source, what)
        except FileNotFoundError:
            raise NotFound(f"no file {file}") from None
        except OSError as error:
            raise Refused(f"{file}: {error.strerror or error}") from None


def outcome_document(outcome: Outcome) -> dict[str, Any]:
    """An outcome as JSON: `status` and `result`, and why, where it did not complete."""
    found: dict[str, Any] = {"status": outcome.status, "result": outcome.result}
    if outcome.result_blob is not None:
        found["result_blob"] = outcome.result_blob
    if outcome.error is not None:
        found |= {"code": outcome.code, "error": outcome.error}
    if outcome.used is not None:
        found["used"] = outcome.used
    return found


def _finish(call: Call, client: Client, submitted: Submitted, timeout_s: float) -> None:
    from octolog.client.decisions import COMPLETED

    outcome = client.wait(submitted, timeout_s)
    document = {**_place(submitted), **outcome_document(outcome)}

    def text() -> str:
        if outcome.status != COMPLETED:
            return ""
        result = outcome.result if outcome.result_blob is None else outcome.result_blob
        return f"{submitted.task_id} completed: {cell(result, limit=20_000)}"

    if outcome.status == COMPLETED:
        call.show(document, text)
    else:
        call.fail(document, f"{submitted.task_id} {outcome.status}: {outcome.code}: {outcome.error}")


def _place(submitted: Submitted) -> dict[str, Any]:
    return {
        "task_id": submitted.task_id,
        "topic": submitted.topic,
        "partition": submitted.partition,
        "offset": submitted.offset,
        **redacted_document(submitted),
    }
