"""What model calls are charged here, and where each price comes from."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from arms.prices.price import Price, Prices
from octolog.app.settings import Settings

__all__ = ["prices_of"]

_NOTES = {
    "own": "[[prices]] of the settings",
    "published": "genai-prices",
    "local": "a local endpoint costs nothing, unless a price is given",
    "unknown": "no price known: its calls are charged zero; give one in [[prices]] of octolog.toml",
}


def prices_of(
    settings: Settings, model: str | None, endpoint: str | None, now: datetime
) -> list[dict[str, Any]]:
    """One row a model: what a call that begins now would be charged.

    Args:
        settings: Of the node.
        model: This one alone; None: those that the settings name, and all with a price at the endpoint.
        endpoint: Base URL to ask about; None: the one of the settings.
        now: The moment, with a time zone.
    """
    prices, url = Prices(settings.prices), endpoint or settings.llm_base_url or ""
    named = [settings.llm_model or "", *map(str.strip, settings.models.split(","))]
    names = [model] if model else dict.fromkeys([*filter(None, named), *prices.models(url)])
    return [_row(name, url, prices.of(name, url, now)) for name in names]


def _row(model: str, endpoint: str, price: Price) -> dict[str, Any]:
    """Dollars are text: a price is a decimal number, and JSON's are not."""
    note = _NOTES[price.source]
    if price.published is not None and price.published.has_steps:
        note += "; a long prompt has other rates"
    return {
        "model": model,
        "endpoint": endpoint,
        "input_dollars_per_million": f"{price.input_dollars:f}" if price.is_known else None,
        "output_dollars_per_million": f"{price.output_dollars:f}" if price.is_known else None,
        "source": price.source.value,
        "price_version": price.version,
        "note": note,
    }
