"""`projections`: how far they are, and building one anew."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from octolog.cli.command import Call, command
from octolog.cli.output import progress, table
from octolog.domain.errors import NotFound, Refused
from octolog.ports import Progress

if TYPE_CHECKING:
    from octolog.app.settings import Settings

NAMES = ("analytics", "memory")
"""What can be built anew. Registry and provenance are views of the same store, and are built with it."""


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    group = typer.Typer(no_args_is_help=True, help="Projections.", rich_markup_mode=None)
    command(group, "list")(list_projections)
    command(group)(rebuild)
    app.add_typer(group, name="projections")


def list_projections(call: Call) -> None:
    """How far the projections have read, by topic and partition."""
    from octolog.app.connection import Connection
    from octolog.app.queries import open_queries
    from projections.tables import FOLLOWED

    settings = call.settings()
    with open_queries(settings) as queries:
        reached = queries.positions()
    with Connection(settings) as connection:
        ends = connection.reader().ends(FOLLOWED)
    rows = [
        {
            "projection": NAMES[0],
            "topic": topic,
            "partition": partition,
            "next_offset": reached.get((topic, partition), 0),
            "end_offset": end,
        }
        for (topic, partition), end in sorted(ends.items())
    ]
    call.show({"projections": rows}, lambda: table(rows))


def rebuild(
    call: Call,
    name: Annotated[str, typer.Argument(metavar="NAME", help="; ".join(NAMES))],
    *,
    processes: Annotated[
        int,
        typer.Option(
            "--partitions", min=1, max=64, metavar="N", help="Build by N processes, each with its partitions."
        ),
    ] = 1,
) -> None:
    """Build a projection anew from offset 0 beside the live one, verify it, and put it in the other's place."""
    if name not in NAMES:
        raise NotFound(f"no projection {name[:60]}; there is {', '.join(NAMES)}")
    settings = call.settings()
    begun_s = time.monotonic()
    with progress() as stage:
        document = _REBUILDS[name](settings, processes, partial(stage, "rebuilding"))
    document = {"projection": name, **document, "seconds": round(time.monotonic() - begun_s, 3)}
    verified = "found equal" if document["verified"] else "nothing to compare it with"
    call.show(document, lambda: f"{name} rebuilt from {document['records']} records, {verified}")


def _rebuild_analytics(settings: Settings, processes: int, stage: Progress) -> dict[str, Any]:
    from octolog.app.knowledge_files import new_file
    from octolog.app.node import status
    from octolog.app.queries import open_queries
    from octolog.app.rebuild import build, replace_file

    path = new_file(settings)
    read = build(settings, path, processes, stage)
    if not status(settings).running:
        return {"records": read, **replace_file(settings, path), "file": path}
    with open_queries(settings) as queries:
        return {"records": read, **queries.swap(path.name), "file": path}


def _rebuild_memory(settings: Settings, processes: int, stage: Progress) -> dict[str, Any]:
    from octolog.app.memory_rebuild import rebuild_memory

    if processes > 1:
        raise Refused("memories are built anew by the process that has them; leave --partitions out")
    return rebuild_memory(settings, stage)


_REBUILDS: Final = {"analytics": _rebuild_analytics, "memory": _rebuild_memory}
