"""The command tree, put together."""

from __future__ import annotations

import importlib
from typing import Annotated, Final

import typer

# One module each; importing one registers its commands and loads nothing heavy.
_MODULES: Final = (
    "node",
    "metrics",
    "submit",
    "task",
    "approval",
    "budget",
    "prices",
    "arms",
    "policy",
    "template",
    "replay",
    "audit",
    "blobs",
    "query",
    "provenance",
    "dead_letters",
    "operations",
    "projections",
    "memory",
    "main_job",
)
HELP: Final = "Runs LLM agents on an Apache Kafka log: exactly once, and provable."


def build() -> typer.Typer:
    """The whole command line."""
    app = typer.Typer(
        name="octolog",
        help=HELP,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for name in _MODULES:
        importlib.import_module(f"octolog.cli.{name}").add_to(app)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"octolog {version('octolog')}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Do nothing; carries the options of `octolog` itself."""
