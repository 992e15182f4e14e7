"""`audit`: bundles that prove themselves, and the keys that sign."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from octolog.cli.command import Call, command
from octolog.cli.output import fields, group, progress, table, visible

if TYPE_CHECKING:
    from octolog.app.audit.export import Exported

_Out = Annotated[Path, typer.Option("--out", metavar="FILE", help="The bundle; replaced when it exists.")]
_Blobs = Annotated[bool, typer.Option("--blobs", help="Put the large values its records refer to into it.")]
_Redact = Annotated[bool, typer.Option("--redact", help="Leave personal data out; the proofs stay.")]


_DISK_SUMMARY: Final = (
    "folder",
    "files",
    "bytes",
    "batches",
    "aborted",
    "facts",
    "trees",
    "checkpoints",
    "covered",
    "seconds",
    "bytes_per_s",
)
_SHOWN: Final = 100
"""Faults of a folder that the text names; `--json` names all."""


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    audit = typer.Typer(no_args_is_help=True, help="Bundles that prove themselves.", rich_markup_mode=None)
    command(audit)(export)
    command(audit)(prove)
    command(audit)(verify)
    command(audit)(disk)
    command(audit)(keys)
    command(audit, "rotate-key")(rotate_key)
    app.add_typer(audit, name="audit")


def export(
    call: Call,
    task_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="A root task.")] = None,
    *,
    whole_log: Annotated[bool, typer.Option("--all", help="The whole log instead of one task.")] = False,
    out: _Out,
    redact: _Redact = False,
    blobs: _Blobs = False,
) -> None:
    """Write facts, their causes and what proves them into one file that anyone can check offline."""
    if (task_id is None) is not whole_log:
        raise typer.BadParameter("name a task, or give --all")
    _export(call, out, task_id, None, redact=redact, blobs=blobs)


def prove(
    call: Call,
    task_id: Annotated[str, typer.Argument(metavar="ID", help="A root task.")],
    *,
    fact: Annotated[int, typer.Option(min=0, metavar="SEQ", help="The fact's number in the task.")],
    out: _Out,
    redact: _Redact = False,
) -> None:
    """Write one fact, its cause, and the proof that a signed checkpoint covers it."""
    _export(call, out, task_id, fact, redact=redact)


def verify(
    call: Call,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A bundle.")],
    *,
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key", metavar="ID", help="Trust this key, and those it announced, alone; may be repeated."
        ),
    ] = None,
    decide: Annotated[
        bool,
        typer.Option("--decide", help="Decide every fact again too; for a bundle of the whole log."),
    ] = False,
) -> None:
    """Check a bundle offline; exits with 1 and names what is wrong, and where."""
    from octolog.domain.errors import LogCorrupted, NotFound
    from octolog.verifier.verify import summary, verify_bundle

    try:
        report = verify_bundle(file, frozenset(key) if key else None)
    except OSError as error:
        raise NotFound(f"cannot read {file}: {error.strerror or error}") from error
    text = partial(str.rstrip, summary(report))
    if report.ok and decide:
        from octolog.app.audit.bundle_log import decide_again
        from streams.replay import Difference

        verdict = decide_again(file)
        for found in (verdict.first_difference, *verdict.lost):
            if found is not None:
                why = found.message if isinstance(found, Difference) else f"lost: {found.reason}"
                raise LogCorrupted(f"{found.topic}/{found.partition}@{found.offset}: {why}")
        document = {**report.to_json(), "decided": verdict.to_json()}
        call.show(document, lambda: f"{text()}\ndecided again {verdict.facts}")
    elif report.ok:
        call.show(report.to_json(), text)
    else:
        call.fail(report.to_json(), str(report.faults[0]), text)


def disk(
    call: Call,
    *,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="A broker's data folder (log.dirs), or a copy; default: the node's."
        ),
    ] = None,
    decide: Annotated[
        bool, typer.Option("--decide", help="Decide every fact again too, where nothing else is wrong.")
    ] = False,
    processes: Annotated[int, typer.Option(min=1, max=64, help="Processes that share the partitions.")] = 1,
) -> None:
    """Check a stopped broker's own files without it; exits with 1 and names file, offset and what is wrong."""
    from octolog.app.audit.disk import check_disk, data_folder

    folder = data_dir or data_folder(call.settings())
    with progress() as stage:
        report = check_disk(folder, decide=decide, processes=processes, stage=stage)
    document = report.to_json()
    summary = {name: document[name] for name in _DISK_SUMMARY}

    def text() -> object:
        verdict = "clean: every checksum, hash and chain is right, nothing is cut off"
        wrong = f"WRONG: {len(report.faults)} faults"
        lines = [visible(str(fault)) for fault in report.faults[:_SHOWN]]
        return group(verdict if report.ok else wrong, *lines, fields(summary), *report.notes)

    if report.ok:
        call.show(document, text)
    else:
        call.fail(document, str(report.faults[0]), text)


def keys(call: Call) -> None:
    """The keys this home's notary has signed with, oldest first; tell their ids to those who will verify."""
    from octolog.app.audit.notary import keys_of

    rows = [
        {"key_id": said.key_id, "at_ms": said.at_ms, "announced_by": said.previous_key_id or "itself"}
        for said in keys_of(call.settings()).announcements()
    ]
    call.show(
        {"keys": rows},
        lambda: table(_told(rows)) if rows else "no key yet; a node makes one when it first signs",
    )


def _told(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keys as people read them: when each was announced, as a time."""
    return [
        {
            "key": row["key_id"],
            "announced (UTC)": datetime.fromtimestamp(row["at_ms"] / 1000, UTC).replace(tzinfo=None),
            "by": row["announced_by"],
        }
        for row in rows
    ]


def rotate_key(call: Call) -> None:
    """Have the notary sign with a new key from now on; the one before announces it."""
    from octolog.app.audit.notary import keys_of

    made = keys_of(call.settings()).rotate(int(time.time() * 1_000))
    call.show({"key_id": made}, lambda: made)


def _export(
    call: Call, out: Path, task: str | None, fact: int | None, *, redact: bool, blobs: bool = False
) -> None:
    from octolog.app.audit.export import export_bundle
    from octolog.app.audit.notary import keys_of
    from octolog.app.audit.verification import log_source
    from octolog.app.blobs import open_blobs
    from octolog.app.connection import Connection
    from octolog.domain.ids import TaskId

    settings = call.settings()
    with Connection(settings) as connection, progress() as stage:
        found = export_bundle(
            log_source(connection),
            out,
            task=None if task is None else TaskId(task),
            fact=fact,
            redact=redact,
            keys=keys_of(settings),
            blobs=open_blobs(settings) if blobs else None,
            progress=partial(stage, "exporting"),
        )
    _show(call, found)


def _show(call: Call, found: Exported) -> None:
    document = asdict(found)
    call.show(document, lambda: fields(document))
