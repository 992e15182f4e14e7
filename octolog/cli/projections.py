"""`projections`: how far they are, and building one anew."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from octolog.cli.command import Call, command
from octolog.cli.output import progress, table
from octolog.domain.errors import NotFound, StoreUnavailable

if TYPE_CHECKING:
    from octolog.app.settings import Settings

NAMES = ("analytics",)
"""What can be built anew. Registry and provenance are views of the same store, and are built with it."""

_STOP_S = 30.0
_REBUILT = "rebuilt.duckdb"


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


def rebuild(call: Call, name: Annotated[str, typer.Argument(metavar="NAME", help="; ".join(NAMES))]) -> None:
    """Build a projection anew from offset 0 beside the live one, then put it in its place."""
    if name not in NAMES:
        raise NotFound(f"no projection {name[:60]}; there is {', '.join(NAMES)}")
    from octolog.app.connection import Connection
    from octolog.app.projector import catch_up
    from projections.analytics.sink import AnalyticsProjection
    from projections.duck import Store

    settings = call.settings()
    path = settings.knowledge_dir / _REBUILT
    path.unlink(missing_ok=True)
    with Connection(settings) as connection, progress() as stage:
        reader = connection.reader()
        projection = AnalyticsProjection(Store.open(path), connection.schema_ids, None)
        try:
            read = catch_up(projection, reader, partial(stage, "rebuilding"))
            read += catch_up(
                projection, reader
            )  # what came meanwhile; the live projector reads on from there
        finally:
            projection.close()
    _swap(settings)
    document = {"projection": name, "records": read, "file": settings.knowledge_dir}
    call.show(document, lambda: f"{name} rebuilt from {read} records")


def _swap(settings: Settings) -> None:
    """Put the new file in place; a running projector is stopped, and its node starts it again on the new one.

    The file is replaced first: the old process keeps the old one open until it ends, and takes its write-ahead
    log with it, so that no process ever opens a mixture of both.
    """
    import psutil

    from octolog.app.node import status
    from projections.duck import FILE_NAME

    found = [part.pid for part in status(settings).components if part.name == "knowledge" and part.pid]
    (settings.knowledge_dir / _REBUILT).replace(settings.knowledge_dir / FILE_NAME)
    for pid in found:
        try:
            process = psutil.Process(pid)
            process.terminate()
            process.wait(_STOP_S)
        except psutil.NoSuchProcess:
            pass
        except psutil.TimeoutExpired:
            raise StoreUnavailable(
                f"process {pid} still writes the old file after {_STOP_S:.0f} s; restart the node"
            ) from None
