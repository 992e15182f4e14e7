"""The price of one model call, and where it comes from.

A price is taken when a call begins, and holds for that call: what is reserved before and what is charged after come
from the same one, so that a price that changes meanwhile cannot make a call cost more than was reserved.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from arms.prices.library import Published, models_at, published
from arms.prices.own import OwnPrice, in_effect

__all__ = ["FREE", "UNKNOWN", "Price", "Prices", "Source", "is_local"]

_LOCAL_NAMES: Final = (".localhost", ".local", ".internal")


class Source(StrEnum):
    """Where a price comes from."""

    OWN = "own"
    PUBLISHED = "published"
    LOCAL = "local"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Price:
    """What a call of one model costs.

    Attributes:
        source: Where the price comes from.
        version: What the records of a call say of it.
        input_dollars: Of a million prompt tokens; for a long prompt see `published`.
        output_dollars: Of a million completion tokens.
        published: The provider's price, which can have steps; None: the two rates are all of it.
    """

    source: Source
    version: str
    input_dollars: Decimal = Decimal(0)
    output_dollars: Decimal = Decimal(0)
    published: Published | None = None

    def cost_micros(self, input_tokens: int, output_tokens: int) -> int:
        """Price of a call, millionths of a US dollar, rounded up."""
        if self.published is not None:
            return math.ceil(self.published.cost_micros(input_tokens, output_tokens))
        # A dollar per million tokens is a millionth of a dollar per token.
        return math.ceil(input_tokens * self.input_dollars + output_tokens * self.output_dollars)

    def most_micros(self, input_tokens: int, output_tokens: int) -> int:
        """The most that a call with at most so many tokens costs, millionths of a US dollar, rounded up."""
        if self.published is not None:
            return math.ceil(self.published.most_micros(input_tokens, output_tokens))
        return self.cost_micros(input_tokens, output_tokens)

    @property
    def is_known(self) -> bool:
        """False: calls are charged zero because nobody knows better."""
        return self.source is not Source.UNKNOWN


FREE: Final = Price(Source.LOCAL, "local")
UNKNOWN: Final = Price(Source.UNKNOWN, "unknown")


class Prices:
    """The price of every model at an endpoint: the site's own, else a local endpoint's zero, else a published one.

    Args:
        own: Prices that the site gives.
    """

    def __init__(self, own: Iterable[OwnPrice] = ()) -> None:
        self.own = tuple(own)

    def of(self, model: str, endpoint: str, at: datetime) -> Price:
        """The price of a call.

        Args:
            model: Name at the endpoint.
            endpoint: Base URL; empty: there is none.
            at: When the call begins, with a time zone.
        """
        given = in_effect(self.own, model, at.astimezone(UTC).date())
        if given is not None:
            return Price(Source.OWN, given.version, given.input_dollars, given.output_dollars)
        if is_local(endpoint):
            return FREE
        found = published(endpoint, model, at) if endpoint else None
        if found is None:
            return UNKNOWN
        return Price(Source.PUBLISHED, found.version, *found.rates, found)

    def models(self, endpoint: str) -> tuple[str, ...]:
        """Models with a price of their own, or with one that the endpoint's provider published."""
        theirs = models_at(endpoint) if endpoint and not is_local(endpoint) else ()
        return tuple(dict.fromkeys([*(price.model for price in self.own), *theirs]))


def is_local(endpoint: str) -> bool:
    """Whether an endpoint is on this machine or its network, where nobody sends a bill."""
    host = urlsplit(endpoint).hostname or ""
    try:
        return ip_address(host).is_private
    except ValueError:
        return bool(host) and ("." not in host or host.endswith(_LOCAL_NAMES))
