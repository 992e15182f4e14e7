"""Published prices, from genai-prices: data inside the package, so that nothing is asked over the network.

It is part of the extra `model`, and imported when an endpoint may be one of a provider that it knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

__all__ = ["Published", "models_at", "published"]

_MICROS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Published:
    """A provider's price of a model at one moment.

    Attributes:
        provider: Whose endpoint it is.
        model: The model, as the provider's price list knows it.
        at: The moment, UTC: prices have first days, and some depend on the time of day.
        version: Of the data.
    """

    provider: Provider
    model: ModelInfo
    at: datetime
    version: str

    def cost_micros(self, input_tokens: int, output_tokens: int) -> Decimal:
        """Price of a call, millionths of a US dollar, not yet rounded."""
        from genai_prices import Usage

        usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
        found = self.model.calc_price(usage, self.provider, genai_request_timestamp=self.at)
        return found.total_price * _MICROS

    def most_micros(self, input_tokens: int, output_tokens: int) -> Decimal:
        """The most that a call with at most so many tokens costs: a longer prompt can have a lower rate."""
        prompts = {input_tokens, *(start for start in self._steps() if start < input_tokens)}
        return max(self.cost_micros(prompt, output_tokens) for prompt in prompts)

    @property
    def rates(self) -> tuple[Decimal, Decimal]:
        """US dollars per million prompt and completion tokens, of a short prompt."""
        return _base(self._prices.input_mtok), _base(self._prices.output_mtok)

    @property
    def has_steps(self) -> bool:
        """Whether a long prompt has other rates."""
        return bool(self._steps())

    @property
    def _prices(self) -> ModelPrice:
        return self.model.get_prices(self.at)

    def _steps(self) -> set[int]:
        """Prompt lengths above which other rates hold, tokens."""
        from genai_prices.types import TieredPrices

        both = (self._prices.input_mtok, self._prices.output_mtok)
        return {tier.start for rate in both if isinstance(rate, TieredPrices) for tier in rate.tiers}


def published(endpoint: str, model: str, at: datetime) -> Published | None:
    """The price of a model at an endpoint.

    The provider is known by the endpoint's address, never by the model's name: whoever resells a model has prices
    of their own.

    Returns:
        None: the endpoint or the model is not in the data, it is not paid by tokens, or the library is not installed.
    """
    try:
        from genai_prices import __version__
        from genai_prices.data_snapshot import get_snapshot
    except ImportError:
        return None
    try:
        provider, found = get_snapshot().find_provider_model(model, None, None, endpoint)
    except LookupError:
        return None
    prices = found.get_prices(at)
    if prices.input_mtok is None and prices.output_mtok is None:
        return None  # priced by something else than tokens
    return Published(provider, found, at, f"genai-prices {__version__}: {provider.id}/{found.id}")


def models_at(endpoint: str) -> tuple[str, ...]:
    """Models that an endpoint's provider has prices for; none where the provider is not known."""
    try:
        from genai_prices.data_snapshot import get_snapshot
    except ImportError:
        return ()
    try:
        provider = get_snapshot().find_provider(None, None, endpoint)
    except LookupError:
        return ()
    return tuple(sorted(model.id for model in provider.models))


def _base(rate: object) -> Decimal:
    from genai_prices.types import TieredPrices

    known = rate.base if isinstance(rate, TieredPrices) else rate
    return known if isinstance(known, Decimal) else Decimal(0)
