"""Prices that the site itself gives: tables `[[prices]]` in `octolog.toml`, by model, dated."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["OwnPrice", "in_effect", "twice_given"]

_EVER: Final = date(1970, 1, 1)
# More than any model costs; what is above it was meant in another unit.
_MOST_DOLLARS: Final = 1_000_000

Dollars = Annotated[Decimal, Field(ge=0, le=_MOST_DOLLARS, allow_inf_nan=False)]


class OwnPrice(BaseModel):
    """What a model costs here.

    Attributes:
        model: Its name, as the endpoint knows it.
        input_dollars: Price of a million prompt tokens, US dollars.
        output_dollars: Price of a million completion tokens, US dollars.
        since: First day it holds, UTC; it holds until the next one of the model begins.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(min_length=1)
    input_dollars: Dollars
    output_dollars: Dollars
    since: date = _EVER

    @property
    def version(self) -> str:
        """The price itself, so that a charge can be checked without the file it came from."""
        dated = "" if self.since == _EVER else f" since {self.since}"
        return f"own:{self.input_dollars}/{self.output_dollars}{dated}"


def in_effect(prices: Iterable[OwnPrice], model: str, day: date) -> OwnPrice | None:
    """The price of a model on a day (UTC); None: nobody gave one that holds by then."""
    held = (price for price in prices if price.model == model and price.since <= day)
    return max(held, key=lambda price: price.since, default=None)


def twice_given(prices: Iterable[OwnPrice]) -> OwnPrice | None:
    """A price that begins on the same day as another of its model; None: there is none."""
    seen = set[tuple[str, date]]()
    for price in prices:
        if (price.model, price.since) in seen:
            return price
        seen.add((price.model, price.since))
    return None
