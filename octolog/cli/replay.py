"""`replay`: the log decided, or folded, again."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from octolog.cli.command import Call, command
from octolog.cli.moment import parse_moment
from octolog.cli.output import Stage, fields, group, progress, table

if TYPE_CHECKING:
    from octolog.app.blobs import Verdict
    from octolog.app.connection import Connection
    from octolog.ports import Positions, Progress
    from streams.replay import HashesReport, Report


_SUMMARY: Final = (
    "facts",
    "trees",
    "open_trees",
    "inputs_checked",
    "dead_letters",
    "memories",
    "direct_memories",
    "lost_count",
    "difference_count",
    "seconds",
    "facts_per_s",
)
_SHOWN: Final = 100
"""Large values that are wrong and named in the text; `--json` names all."""


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    command(app)(replay)


def replay(
    call: Call,
    *,
    task: Annotated[str | None, typer.Option(metavar="ID", help="Only this root task.")] = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Decide everything again, check every hash, name the first difference."
        ),
    ] = False,
    hashes_only: Annotated[
        bool,
        typer.Option(
            "--hashes-only", help="With --verify: hashes, chains, positions and checkpoints; decide nothing."
        ),
    ] = False,
    blobs: Annotated[
        bool,
        typer.Option(
            "--blobs", help="With --verify: read every large value that the log refers to, and check it."
        ),
    ] = False,
    to: Annotated[
        str | None, typer.Option(metavar="OFFSET|TIME", help="Up to an offset of each partition, or a time.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, max=64, help="Processes that share the partitions.")] = 1,
) -> None:
    """Rebuild state from the log; with --verify, exits with 1 when the log contradicts itself."""
    from octolog.app.connection import Connection

    if hashes_only and not verify:
        raise typer.BadParameter("--hashes-only belongs to --verify")
    if blobs and (not verify or hashes_only or to is not None):
        raise typer.BadParameter(
            "--blobs belongs to --verify of the whole log: without --hashes-only and --to"
        )
    settings = call.settings()
    with Connection(settings) as connection, progress() as stage:
        if hashes_only:
            tell = partial(stage, "checking hashes")
            _show_hashes(call, _verify_hashes(connection, task, to, tell, processes), task)
        elif verify:
            tell = partial(stage, "deciding again")
            report = _verify(connection, task, to, tell, processes)
            values = _verify_values(connection, task, stage) if blobs else None
            _show_verdict(call, report, task, values)
        elif task is not None:
            _show_tree(call, connection, task, to)
        else:
            _show_rebuilt(call, connection, to, partial(stage, "folding"), processes)


def _verify(
    connection: Connection,
    task: str | None,
    to: str | None,
    tell: Progress,
    processes: int,
) -> Report:
    from octolog.app.audit.verification import verify_log

    only, until = _home_of(connection, task), _until(connection, to)
    return verify_log(connection, partitions=only, until=until, progress=tell, processes=processes)


def _verify_values(connection: Connection, task: str | None, stage: Stage) -> Verdict:
    from octolog.app.blobs import open_blobs, verify_blobs

    return verify_blobs(
        connection,
        open_blobs(connection.settings),
        root_task_id=task,
        progress=partial(stage, "looking for large values"),
        reading=partial(stage, "checking large values (bytes)"),
    )


def _verify_hashes(
    connection: Connection, task: str | None, to: str | None, tell: Progress, processes: int
) -> HashesReport:
    from octolog.app.audit.verification import log_source
    from streams.replay import verify_hashes

    only, until = _home_of(connection, task), _until(connection, to)
    return verify_hashes(
        log_source(connection), partitions=only, until=until, progress=tell, processes=processes
    )


def _home_of(connection: Connection, task: str | None) -> list[int] | None:
    """The partition of a task; None: all."""
    from octolog.domain.ids import TaskId
    from streams.replay import state_at

    if task is None:
        return None
    return [state_at(connection.reader(), connection.codec(), TaskId(task)).partition]


def _until(connection: Connection, to: str | None) -> Positions | None:
    """Where to stop in every partition of the facts: behind an offset, or before a time."""
    from streams.topics import TASKS

    moment = parse_moment(to)
    if moment is None:
        return None
    reader = connection.reader()
    if isinstance(moment, int):
        return {place: min(end, moment + 1) for place, end in reader.ends([TASKS]).items()}
    return dict(reader.at_time([TASKS], int(moment.timestamp() * 1_000)))


def _show_verdict(call: Call, report: Report, task: str | None, blobs: Verdict | None) -> None:
    ok = report.ok and (blobs is None or blobs.ok)
    document = {**({} if task is None else {"task_id": task}), **report.to_json(), "ok": ok}
    summary: dict[str, Any] = {name: document[name] for name in _SUMMARY}
    if blobs is not None:
        document["blobs"] = blobs.to_json()
        summary |= {"blobs": blobs.blobs, "blob_bytes": blobs.checked_bytes, "blob_faults": len(blobs.faults)}

    def text() -> object:
        verdict = "clean: every fact was decided again, every hash is right, nothing is lost"
        if ok:
            return group(
                verdict + ("" if blobs is None else "; every large value is there and right"), fields(summary)
            )
        named = [] if blobs is None else ["", *(str(fault) for fault in blobs.faults[:_SHOWN])]
        return group("the log contradicts itself" if not report.ok else verdict, fields(summary), *named)

    if ok:
        call.show(document, text)
    else:
        call.fail(document, _reason(report, blobs), text)


def _reason(report: Report, blobs: Verdict | None) -> str:
    first = report.first_difference
    if first is not None:
        return f"{first.topic}/{first.partition}@{first.offset}: {first.kind}: {first.message}"
    if report.lost:
        lost = report.lost[0]
        return f"lost: {lost.topic}/{lost.partition}@{lost.offset}: {lost.reason}"
    return "" if blobs is None else str(blobs.faults[0])


def _show_hashes(call: Call, report: HashesReport, task: str | None) -> None:
    document = {**({} if task is None else {"task_id": task}), **report.to_json()}
    names = ("facts", "trees", "checkpoints", "covered", "seconds", "facts_per_s")
    summary: dict[str, Any] = {name: document[name] for name in names}

    def text() -> object:
        verdict = "clean: every hash is right, no fact is missing or out of its place"
        return group(verdict if report.ok else "the log contradicts itself", fields(summary))

    first = report.first_difference
    if first is None:
        call.show(document, text)
        return
    call.fail(
        document, f"{first.topic}/{first.partition}@{first.offset}: {first.kind}: {first.message}", text
    )


def _show_tree(call: Call, connection: Connection, task: str, to: str | None) -> None:
    from octolog.domain.ids import TaskId
    from streams.replay import state_at

    view = state_at(connection.reader(), connection.codec(), TaskId(task), at=parse_moment(to))
    facts = [
        {
            "offset": fact.offset,
            "seq": fact.recorded.link.seq,
            "fact": type(fact.recorded.fact).__name__,
            "task_id": getattr(fact.recorded.fact, "task_id", task),
            "hash": fact.recorded.hash.hex(),
        }
        for fact in view.facts
    ]
    document = {**view.to_json(), "history": facts}
    summary = {name: value for name, value in document.items() if name not in ("tree", "history")}
    call.show(document, lambda: group(fields(summary), "", table(facts)))


def _show_rebuilt(call: Call, connection: Connection, to: str | None, tell: Progress, processes: int) -> None:
    from octolog.app.audit.verification import log_source
    from streams.replay import rebuild

    rebuilt = rebuild(
        log_source(connection), until=_until(connection, to), progress=tell, processes=processes
    )
    document = rebuilt.to_json()
    summary = {name: value for name, value in document.items() if name != "partitions"}
    call.show(document, lambda: group(fields(summary), "", table(document["partitions"])))
