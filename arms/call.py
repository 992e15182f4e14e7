"""What a handler counts: one model call while it is made, and what an attempt used so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from arms.limits import LimitReached
from octolog.domain.reports import ContextRecalled, ModelCallIntended, ResourceUsed
from octolog.domain.values import NOTHING, Amounts

__all__ = ["Meter", "ModelCall", "Used"]


class Meter(Protocol):
    """Where a handler reports to."""

    async def intended(self, record: ModelCallIntended) -> None:
        """Return once the announcement is in the log."""

    def used(self, record: ResourceUsed) -> None:
        """Report what a call used."""

    def warned(self, text: str) -> None:
        """Hear, once per resource, that most of it is used."""

    async def recalled(self, record: ContextRecalled) -> None:
        """Return once it is in the log what memory gave."""


@dataclass(slots=True)
class Used:
    """What the attempt used so far; calls in flight count with the most they can use.

    Attributes:
        tokens: Model tokens.
        cost_micros: Millionths of a US dollar.
        calls: Model calls.
        turns: Model responses.
        context_tokens: Context held now.
        peak_context_tokens: The most it ever was.
        last_turn_at_ms: When the last response came, milliseconds since the epoch; None: none came.
    """

    tokens: int = 0
    cost_micros: int = 0
    calls: int = 0
    turns: int = 0
    context_tokens: int = 0
    peak_context_tokens: int = 0
    last_turn_at_ms: int | None = None


class ModelCall:
    """One call, while it is made.

    Attributes:
        number: The call's number in its attempt, from 1.
        model: Model asked.
        at_most: The most it can use.
        context_tokens: What it adds to the context at most, its answer left out.
        max_output_tokens: Longest answer; None: not known.
        streamed_tokens: How many tokens of the answer have come so far.
        added_tokens: What it added to the context, its answer left out, as far as is known.
        settled: What was reported about it, once it is over.
    """

    def __init__(
        self,
        number: int,
        model: str,
        at_most: Amounts,
        context_tokens: int,
        max_output_tokens: int | None = None,
        on_tokens: Callable[[int], None] | None = None,
    ) -> None:
        self.number, self.model, self.at_most, self.context_tokens = number, model, at_most, context_tokens
        self.max_output_tokens, self.streamed_tokens = max_output_tokens, 0
        self.added_tokens = context_tokens
        self.settled: ResourceUsed | None = None
        self._settlement: tuple[Amounts, int, int, str] | None = None
        self._on_tokens = on_tokens

    def streamed(self, tokens: int) -> None:
        """Say how many tokens of the answer have come so far.

        Raises:
            LimitReached: The answer is longer than was asked for; it must be broken off.
            DeadlinePassed: The time is over, or the attempt was revoked.
        """
        more, self.streamed_tokens = max(0, tokens - self.streamed_tokens), max(tokens, self.streamed_tokens)
        if self._on_tokens is not None:
            self._on_tokens(more)
        if self.max_output_tokens is not None and tokens > self.max_output_tokens:
            raise LimitReached("output", tokens, self.max_output_tokens)

    def settle(
        self,
        used: Amounts,
        *,
        input_tokens: int = 0,
        output_tokens: int = 0,
        price_version: str = "",
        context_tokens: int | None = None,
    ) -> None:
        """Say what the call used; without it the call stays charged with the most it can have used.

        Args:
            used: What was used.
            input_tokens: Prompt tokens.
            output_tokens: Completion tokens.
            price_version: Version of the prices.
            context_tokens: What the call really added to the context, its answer left out; None: what was expected.
        """
        self._settlement = used, input_tokens, output_tokens, price_version
        if context_tokens is not None:
            self.added_tokens = context_tokens

    def not_made(self) -> None:
        """Say that the model never heard of the call, so that it used nothing."""
        self._settlement = NOTHING, 0, 0, ""

    @property
    def settlement(self) -> tuple[Amounts, int, int, str] | None:
        """Used, prompt tokens, completion tokens, version of the price table; None: unknown."""
        return self._settlement
