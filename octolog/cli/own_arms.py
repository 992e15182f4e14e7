"""`arms run`, `arms bridge`, `arms check`: ways in for arms of your own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from octolog.cli.command import Call, command
from octolog.cli.output import print_json, table, warn
from octolog.domain.errors import SettingsError

if TYPE_CHECKING:
    from arms.arm import Arm
    from arms.bridge.description import Sample

_COLUMNS = {"check": "check", "verdict": "", "seen": "seen", "remedy": "what to do"}
_CELL_CHARS = 300

_Slot = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Stable name of this process: its successor takes over at once. One process each.",
    ),
]
_HealthPort = Annotated[
    int | None, typer.Option(min=1, max=65_535, help="Serve /health/ on this port of 127.0.0.1.")
]
_Headers = Annotated[
    list[str] | None,
    typer.Option(
        "--header",
        metavar="NAME:VALUE",
        help="Sent with every request; VALUE may be env:VARIABLE. May be given several times.",
    ),
]
_Verify = Annotated[
    str, typer.Option(metavar="FILE", help="Certificates to trust, PEM; default: the system's.")
]


def add_commands(group: typer.Typer) -> None:
    """Register the commands under `arms`."""
    command(group)(run)
    command(group)(bridge)
    command(group)(check)


def run(
    call: Call,
    targets: Annotated[
        list[str],
        typer.Argument(metavar="MODULE:FUNCTION...", help="Arms to host; MODULE alone hosts all it defines."),
    ],
    *,
    slot: _Slot = None,
    health_port: _HealthPort = None,
    threads: Annotated[
        int, typer.Option(min=1, max=1_000, help="Threads for functions that are not async.")
    ] = 32,
    reload: Annotated[
        bool, typer.Option("--reload", help="Start again whenever a source file changes.")
    ] = False,
) -> None:
    """Host Python functions with @arm(...) over them, until Ctrl-C."""
    from octolog.app.arms.own import files_of, load

    arms = load(targets)
    if reload:
        from octolog.app.arms.reload import run_again

        arguments = [word for word in sys.argv[1:] if word != "--reload"]
        run_again(arguments, lambda: files_of(targets), warn)
        return
    _host(call, arms, slot, health_port, threads, "code changes count after a restart; --reload does that")


def bridge(
    call: Call,
    urls: Annotated[
        list[str] | None, typer.Argument(metavar="URL...", help="Services to register and serve.")
    ] = None,
    *,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="TOML with [[service]] tables, for more than a URL can say."),
    ] = None,
    header: _Headers = None,
    arm_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Registers the service under another id than it says.")
    ] = None,
    probed: Annotated[
        bool, typer.Option("--probed", help="Nodes look at URL/health themselves; they must reach it.")
    ] = False,
    verify: _Verify = "",
    slot: _Slot = None,
    health_port: _HealthPort = None,
) -> None:
    """Make arms of HTTP services: register what they can do, forward their attempts, until Ctrl-C."""
    from arms.bridge import bridged
    from arms.bridge.service import fetch_description
    from octolog.app.arms.services import from_file, service

    services = [
        service(url, headers=header or (), arm_id=arm_id, probed=probed, verify=verify) for url in urls or ()
    ]
    if config is not None:
        services += from_file(config)
    if not services:
        raise SettingsError("name a service: its URL, or --config FILE")
    if arm_id is not None and len(services) > 1:
        raise SettingsError("--arm-id goes with one URL; use --config for several")
    arms = [bridged(fetch_description(found), found) for found in services]
    hint = "check a service with `octolog arms check URL`"
    _host(call, arms, slot, health_port, 4, hint)


def check(
    call: Call,
    url: Annotated[str, typer.Argument(metavar="URL", help="The service.")],
    *,
    header: _Headers = None,
    sample: Annotated[
        str | None,
        typer.Option(metavar="FILE|-", help='A task it can do, JSON: {"goal": ..., "context": {...}}.'),
    ] = None,
    timeout_s: Annotated[
        float | None,
        typer.Option(
            "--timeout", min=0.1, max=300, help="Longest run of one attempt, seconds; default: as described."
        ),
    ] = None,
    verify: _Verify = "",
) -> None:
    """Hold an HTTP service against the protocol of arms; exits with 1 when a check fails."""
    from arms.bridge.conformance import Verdict, check_service
    from octolog.app.arms.services import service

    found = check_service(
        service(url, headers=header or (), verify=verify),
        sample=None if sample is None else _sample(sample),
        timeout_s=timeout_s,
    )
    rows = [
        {
            "check": one.check,
            "verdict": one.verdict.value,
            "seen": one.seen,
            "remedy": one.remedy,
            "took_ms": one.took_ms,
        }
        for one in found
    ]
    failed = [one.check for one in found if one.verdict is Verdict.FAIL]
    document = {"url": _shown(url), "passed": not failed, "failed": failed, "checks": rows}

    def text() -> object:
        return table(rows, _COLUMNS, _CELL_CHARS)

    if failed:
        call.fail(document, f"{len(failed)} of {len(rows)} checks failed: {', '.join(failed)}", text)
    call.show(document, text)


def _host(
    call: Call, arms: list[Arm], slot: str | None, health_port: int | None, threads: int, hint: str
) -> None:
    from octolog.app.arms.own import host

    def ready(told: dict[str, Any]) -> None:
        if call.as_json:
            print_json(told)
        else:
            names = ", ".join(f"{one['arm_id']} ({', '.join(one['capabilities'])})" for one in told["arms"])
            call.show(
                told, lambda: f"hosting {names} on {told['bootstrap_servers']}; stop with Ctrl-C; {hint}"
            )
        sys.stdout.flush()

    host(call.settings(), arms, slot=slot, web_port=health_port, threads=threads, ready=ready)


def _sample(file: str) -> Sample:
    from arms.bridge.description import samples_of
    from octolog.cli.submit import read_document
    from octolog.edge.document import parse_object

    return samples_of([parse_object(read_document(file, "sample"), "sample")])[0]


def _shown(url: str) -> str:
    from arms.bridge.settings import shown_url

    return shown_url(url)
