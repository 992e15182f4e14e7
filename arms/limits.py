"""What an attempt may use of a conversation, and how it is told that it used it up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from octolog.domain.assignment import AttemptAssignment
from octolog.domain.errors import Refused, Unavailable
from octolog.domain.values import TaskError, TaskErrorType

__all__ = [
    "UNBOUNDED",
    "DeadlinePassed",
    "EarlierRunUnknown",
    "HandlerConfig",
    "LeaseUnknown",
    "LimitReached",
]

# Context windows in tokens, as published with seed B.
WINDOWS_TOKENS: Final = (
    ("opus", 200_000),
    ("sonnet", 180_000),
    ("haiku", 150_000),
    ("gpt-4", 128_000),
    ("gpt-3.5", 16_000),
)
UNKNOWN_WINDOW_TOKENS: Final = 100_000


class EarlierRunUnknown(Unavailable):
    """What a process that died spent on the attempt could not be read; it is tried anew, as another attempt."""


class LeaseUnknown(Unavailable):
    """Whether the host still holds the attempt could not be found out; it is tried anew, as another attempt."""


class DeadlinePassed(Refused):
    """The attempt's time is over; no further model call is made."""


class LimitReached(Refused):
    """The attempt's turns, context or output are used up; the task is too large for one attempt.

    Attributes:
        resource: `turns`, `context` or `output`.
        used: Units used: model responses, or tokens.
        limit: Units allowed.
    """

    def __init__(self, resource: str, used: int, limit: int) -> None:
        super().__init__(resource, used, limit)
        self.resource, self.used, self.limit = resource, used, limit

    def __str__(self) -> str:
        end = "the answer was not finished" if self.resource == "output" else "the call was not made"
        return f"{self.resource}: {self.used} of {self.limit} used; {end}"

    @property
    def task_error(self) -> TaskError:
        """The task system's form of it."""
        kind = TaskErrorType.RESOURCE_EXHAUSTION
        return TaskError(kind, str(self), resource=self.resource, used=self.used, limit=self.limit)


@dataclass(frozen=True, slots=True)
class HandlerConfig:
    """What one attempt may use of a conversation. Source: seed B, HandlerConfig.

    Attributes:
        max_turns: Model responses; None: no limit.
        max_context_fraction: Share of the model's window, above 0.0 to 1.0; None: no limit.
        window_tokens: The model's window; None: by the model's name.
    """

    max_turns: int | None = None
    max_context_fraction: float | None = None
    window_tokens: int | None = None

    def under(self, assignment: AttemptAssignment) -> HandlerConfig:
        """What an attempt may use: what its task says, and for the rest what its arm says."""
        turns, fraction = assignment.max_turns, assignment.max_context_fraction
        return HandlerConfig(
            self.max_turns if turns is None else turns,
            self.max_context_fraction if fraction is None else fraction,
            self.window_tokens,
        )

    def context_limit(self, model: str) -> int | None:
        """Tokens of context that `model` may be given; None: no limit."""
        if self.max_context_fraction is None:
            return None
        known = next(
            (tokens for name, tokens in WINDOWS_TOKENS if name in model.lower()), UNKNOWN_WINDOW_TOKENS
        )
        # A float product of 0.07 * 100 is 7.000000000000001: round it back before the floor.
        return math.floor(round(self.max_context_fraction * (self.window_tokens or known), 6))


UNBOUNDED: Final = HandlerConfig()
