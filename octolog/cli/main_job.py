"""`demo`: the main job, start to end, on real input."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from octolog.cli.command import Call, command
from octolog.cli.output import print_json


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    command(app)(demo)


def demo(
    call: Call,
    path: Annotated[Path, typer.Argument(help="The folder to review.")] = Path(),
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the node running.")] = False,
) -> None:
    """Review a folder with the built-in arms, and show what the log can tell of it afterwards."""
    from octolog.cli.demo import console_for, run_demo

    result = run_demo(call.settings(), path, keep=keep, console=console_for(as_json=call.as_json))
    if call.as_json:
        print_json(result)
