"""`blobs`: large values checked against the log, and what nobody refers to."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from octolog.cli.command import Call, command
from octolog.cli.output import fields, group, progress, table

if TYPE_CHECKING:
    from octolog.app.blobs import Garbage

_GRACE_HOURS = 24.0
_COLUMNS = {"sha256": "blob", "size_bytes": "bytes", "age": "age", "what": "what"}
_SHOWN = 1_000


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    blobs = typer.Typer(no_args_is_help=True, help="Large values in the blob store.", rich_markup_mode=None)
    command(blobs)(verify)
    command(blobs)(gc)
    app.add_typer(blobs, name="blobs")


def verify(
    call: Call,
    *,
    task: Annotated[
        str | None, typer.Option(metavar="ID", help="Only what this root task refers to.")
    ] = None,
) -> None:
    """Read every blob that the log refers to; exits with 1 and names those that are missing or changed."""
    from octolog.app.blobs import open_blobs, verify_blobs
    from octolog.app.connection import Connection

    settings = call.settings()
    with Connection(settings) as connection, progress() as stage:
        verdict = verify_blobs(
            connection,
            open_blobs(settings),
            root_task_id=task,
            progress=partial(stage, "reading the log"),
            reading=partial(stage, "checking blobs (bytes)"),
        )
    document = verdict.to_json()
    summary = {name: value for name, value in document.items() if name not in ("ok", "faults")}
    if verdict.ok:
        call.show(document, lambda: group("clean: every blob is there and right", fields(summary)))
        return
    more = f" (and {len(verdict.faults) - 1} more)" if len(verdict.faults) > 1 else ""
    call.fail(
        document,
        f"{verdict.faults[0]}{more}",
        lambda: group(fields(summary), "", *(str(fault) for fault in verdict.faults[:_SHOWN])),
    )


def gc(
    call: Call,
    *,
    delete: Annotated[
        bool, typer.Option("--delete/--report", help="Delete it, or only say what there is.")
    ] = False,
    grace_hours: Annotated[
        float,
        typer.Option(
            "--grace-hours",
            min=1.0,
            help="Leave what is younger alone: a blob is written before the record that refers to it.",
        ),
    ] = _GRACE_HOURS,
) -> None:
    """Blobs that no record in the log names, and uploads that nobody finished, with age and size."""
    from octolog.app.blobs import collect, open_blobs
    from octolog.app.connection import Connection

    settings = call.settings()
    blobs = open_blobs(settings)
    with Connection(settings) as connection, progress() as stage:
        found = collect(
            connection,
            blobs,
            grace_s=grace_hours * 3600,
            delete=delete,
            progress=partial(stage, "reading the log"),
        )
    total = sum(each.size_bytes for each in found)
    document = {
        "store": blobs.shelf.url,
        "grace_hours": grace_hours,
        "garbage": found,
        "garbage_bytes": total,
        "deleted": sum(each.deleted for each in found),
    }
    summary = {
        "store": blobs.shelf.url,
        "garbage": f"{len(found)} blobs, {total} bytes, older than {grace_hours:g} h",
        "deleted": document["deleted"] if delete else "",
    }
    rows = [_row(each) for each in found[:_SHOWN]]
    call.show(document, lambda: group(fields(summary), *(("", table(rows, _COLUMNS, 64)) if rows else ())))


def _row(found: Garbage) -> dict[str, object]:
    what = "rest of an upload" if found.unfinished else "nobody refers to it"
    return {
        "sha256": found.sha256,
        "size_bytes": found.size_bytes,
        "age": f"{found.age_s / 86_400:.1f} d",
        "what": f"{what}; deleted" if found.deleted else what,
    }
