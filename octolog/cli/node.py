"""`up`, `down`, `status`, `doctor`: the node of this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from octolog.cli.command import Call, command
from octolog.cli.output import fields, group, progress, table

_COMPONENT_COLUMNS = {
    "name": "component",
    "state": "state",
    "pid": "pid",
    "memory": "memory",
    "detail": "detail",
}


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    command(app)(up)
    command(app)(down)
    command(app)(status)
    command(app)(doctor)


def up(
    call: Call,
    *,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return once everything is ready.")] = False,
    partitions: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Partitions of new topics; fixed once trees exist.")
    ] = None,
    processors: Annotated[
        int | None, typer.Option(min=1, max=64, help="Processes of the task processor.")
    ] = None,
    arms: Annotated[str | None, typer.Option(help="Built-in arms to host, comma separated.")] = None,
    roles: Annotated[
        str | None,
        typer.Option(help="What this node runs: processor, knowledge, memory, arms, comma separated."),
    ] = None,
    broker_port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="Port of the embedded broker.")
    ] = None,
) -> None:
    """Run broker (if embedded), task processor, projections, arms and query service."""
    from octolog.app.node.control import up as start

    settings = call.settings(
        partitions=partitions, processors=processors, arms=arms, roles=roles, broker_port=broker_port
    )
    with progress() as stage:
        info = start(settings, detach=detach, progress=stage)
    document = {
        "bootstrap_servers": info.bootstrap_servers,
        "query_url": info.query_url,
        "pid": info.pid,
        "home": info.home,
        "already_running": info.already_running,
        "seconds": round(info.seconds, 3),
    }
    how = "runs already" if info.already_running else f"ready in {info.seconds:.1f} s"
    call.show(
        document,
        lambda: (
            f"{how}: Kafka at {info.bootstrap_servers}, data in {info.home}"
            + ("; stop it with `octolog down`" if detach or info.already_running else "; stop it with Ctrl-C")
        ),
    )
    if not detach:
        _flush_and_wait(info)


def _flush_and_wait(info: object) -> None:
    import sys

    sys.stdout.flush()
    info.wait()  # type: ignore[attr-defined]  # a NodeInfo; importing its module here would load Kafka


def down(call: Call) -> None:
    """Stop the node of this home and its broker."""
    from octolog.app.node.control import down as stop

    settings = call.settings()
    stopped = stop(settings)
    call.show(
        {"stopped": stopped, "home": settings.home},
        lambda: "stopped" if stopped else f"nothing ran in {settings.home}",
    )


def status(call: Call) -> None:
    """Say how the node is; exits with 1 when it is not running."""
    from octolog.app.node.control import status as ask

    found = ask(call.settings())
    rows = [
        {
            "name": part.name,
            "state": part.state,
            "pid": part.pid or None,
            "rss_bytes": part.rss_bytes,
            "memory": f"{part.rss_bytes / 1024**2:.0f} MiB" if part.rss_bytes else "",
            "detail": part.detail,
        }
        for part in found.components
    ]
    summary = {
        "running": found.running,
        "home": found.home,
        "bootstrap_servers": found.bootstrap_servers,
        "query_url": found.query_url,
    }
    components = [{name: value for name, value in row.items() if name != "memory"} for row in rows]
    document = {**summary, "components": components}

    def text() -> object:
        return group(fields(summary), "", table(rows, _COMPONENT_COLUMNS))

    if found.running:
        call.show(document, text)
    else:
        call.fail(document, f"no node runs in {found.home}; start one with `octolog up`", text)


def doctor(call: Call) -> None:
    """Check what a node needs on this machine; exits with 1 when something is wrong."""
    from octolog.app.node.doctor import diagnose

    with progress() as stage:
        checks = diagnose(call.settings(), stage, call.flags)
    wrong = [check for check in checks if not check.ok]
    document = {
        "ok": not wrong,
        "checks": [
            {"name": check.name, "ok": check.ok, "detail": check.detail, "fix": check.fix} for check in checks
        ],
    }

    def text() -> object:
        rows = [
            {"": "ok" if check.ok else "WRONG", "check": check.name, "found": check.detail, "do": check.fix}
            for check in checks
        ]
        return table(rows)

    if not wrong:
        call.show(document, text)
    else:
        call.fail(document, f"{wrong[0].name}: {wrong[0].detail}; {wrong[0].fix}", text)
