"""`prices`: what model calls are charged, and where the prices come from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from octolog.cli.command import Call, command
from octolog.cli.output import group, table, warn

_COLUMNS = {
    "model": "model",
    "input_dollars_per_million": "$ per million in",
    "output_dollars_per_million": "out",
    "price_version": "price version",
    "note": "where from",
}
Model = Annotated[
    str | None, typer.Argument(help="One model; none: all with a price, and those of the settings.")
]
Endpoint = Annotated[
    str | None, typer.Option(metavar="URL", help="Endpoint to ask about, instead of OCTOLOG_LLM_BASE_URL.")
]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    prices = typer.Typer(no_args_is_help=True, help="Prices of model calls.", rich_markup_mode=None)
    command(prices)(show)
    app.add_typer(prices, name="prices")


def show(call: Call, model: Model = None, *, endpoint: Endpoint = None) -> None:
    """What a model call that begins now would be charged, and by which price."""
    from octolog.app.arms.prices import prices_of

    rows = prices_of(call.settings(), model, endpoint, datetime.now(UTC))
    none = "no endpoint is set, and no price is given: see docs/how-to/budgets.md"
    call.show(rows, lambda: group(table(rows, _COLUMNS)) if rows else none)
    unknown = [row["model"] for row in rows if row["source"] == "unknown"]
    if unknown:
        warn(f"no price known, charged zero: {', '.join(unknown)}")
