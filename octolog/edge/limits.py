"""Budgets and times as the edge takes them: dollars and seconds, exact to what the domain counts in."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator

from octolog.domain.errors import InvalidContract
from octolog.domain.values import Limits
from octolog.edge.model import Edge, between, scaled

MAX_TIME_SECONDS: Final = "2592000"
MAX_COST_DOLLARS: Final = "1000000"
MAX_TIMEOUT_SECONDS: Final = "86400"
"""The domain's bounds in the edge's units; a test holds them together."""


def _cost(value: float) -> float:
    if value > 0 and scaled(value, 1_000_000) == 0:
        raise ValueError(f"{value} is less than a millionth of a dollar")
    return between("0", MAX_COST_DOLLARS)(value)


Dollars = Annotated[float, AfterValidator(_cost)]
Time = Annotated[float, AfterValidator(between("0.001", MAX_TIME_SECONDS))]
Timeout = Annotated[float, AfterValidator(between("0.001", MAX_TIMEOUT_SECONDS))]


class BudgetEdge(Edge):
    """What may be used."""

    noun: ClassVar[str] = "budget"

    max_tokens: int | None = None
    max_time_seconds: Time | None = None
    max_cost_dollars: Dollars | None = None
    max_cost_usd: Dollars | None = None
    max_llm_calls: int | None = None

    def limits(self, at: str) -> Limits:
        """The domain's value.

        Raises:
            InvalidContract: The cost is given under both its names.
        """
        if self.max_cost_dollars is not None and self.max_cost_usd is not None:
            raise InvalidContract(
                "INVALID_BUDGET", f"{at}.max_cost_usd", "is another name of max_cost_dollars; give one"
            )
        cost = self.max_cost_usd if self.max_cost_dollars is None else self.max_cost_dollars
        return Limits(
            max_tokens=self.max_tokens,
            max_time_ms=milliseconds(self.max_time_seconds),
            max_cost_micros=None if cost is None else scaled(cost, 1_000_000),
            max_llm_calls=self.max_llm_calls,
        )


def milliseconds(seconds: float | None) -> int | None:
    """Seconds in the domain's unit."""
    return None if seconds is None else scaled(seconds, 1_000)
