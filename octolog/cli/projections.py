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
    from octolog.app.knowledge.states import ProjectionState
    from octolog.app.settings import Settings

NAMES = ("analytics", "memory", "episodes")
"""What can be built anew. Registry and provenance are views of the same store, and are built with it."""


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    group = typer.Typer(no_args_is_help=True, help="Projections.", rich_markup_mode=None)
    command(group, "list")(list_projections)
    command(group)(rebuild)
    app.add_typer(group, name="projections")


def list_projections(call: Call) -> None:
    """The projections: version, how far they have read, offsets behind the log, and whether one is being built anew."""
    from octolog.app.knowledge.states import projection_states

    states = projection_states(call.settings())
    call.show(
        {"projections": [state.document() for state in states]},
        lambda: table([_row(state) for state in states]),
    )


def _row(state: ProjectionState) -> dict[str, Any]:
    rebuild = state.rebuild
    told = "" if rebuild is None else f"rebuilding, {rebuild['why']}"
    if rebuild is not None and rebuild.get("total"):
        told = f"{told}: {rebuild['done']} of {rebuild['total']}"
    return {
        "projection": state.name,
        "version": state.version,
        "filled_by": state.filled_by,
        "read": sum(state.reached.values()),
        "end": sum(state.ends.values()),
        "lag": state.lag,
        "rebuild": told or state.stale,
    }


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
    from octolog.app.knowledge.states import told

    settings = call.settings()
    begun_s = time.monotonic()
    with progress() as stage, told(settings, name, partial(stage, "rebuilding")) as both:
        document = _REBUILDS[name](settings, processes, both)
    document = {"projection": name, **document, "seconds": round(time.monotonic() - begun_s, 3)}
    verified = "found equal" if document["verified"] else "nothing to compare it with"
    call.show(document, lambda: f"{name} rebuilt from {document['records']} records, {verified}")


def _rebuild_analytics(settings: Settings, processes: int, stage: Progress) -> dict[str, Any]:
    from octolog.app.knowledge.files import new_file
    from octolog.app.knowledge.queries import open_queries
    from octolog.app.knowledge.rebuild import build, replace_file
    from octolog.app.node.control import runs

    path = new_file(settings)
    read = build(settings, path, processes, stage)
    if not runs(settings):
        return {"records": read, **replace_file(settings, path), "file": path}
    with open_queries(settings) as queries:
        return {"records": read, **queries.swap(path.name), "file": path}


def _rebuild_memory(settings: Settings, processes: int, stage: Progress) -> dict[str, Any]:
    from octolog.app.memory.rebuild import rebuild_memory

    _require_one(processes)
    return rebuild_memory(settings, stage)


def _rebuild_episodes(settings: Settings, processes: int, stage: Progress) -> dict[str, Any]:
    from octolog.app.memory.rebuild import rebuild_episodes

    _require_one(processes)
    return rebuild_episodes(settings, stage)


def _require_one(processes: int) -> None:
    if processes > 1:
        raise Refused("these are built anew by the process that has them; leave --partitions out")


_REBUILDS: Final = {
    "analytics": _rebuild_analytics,
    "memory": _rebuild_memory,
    "episodes": _rebuild_episodes,
}
