"""A circuit breaker: a service that keeps failing is left alone for a while. Figures by seed A's running code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic

from octolog.domain.errors import Unavailable

__all__ = ["Breaker", "BreakerOpen", "BreakerState", "Passage"]


class BreakerState(StrEnum):
    """Whether requests go through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class BreakerOpen(Unavailable):
    """The service failed too often in a row; it was not asked.

    Attributes:
        reason: Why the breaker opened.
        retry_after_s: Seconds until it is tried again.
    """

    def __init__(self, reason: str, retry_after_s: float) -> None:
        super().__init__(reason, retry_after_s)
        self.reason, self.retry_after_s = reason, retry_after_s

    def __str__(self) -> str:
        return f"not asked: {self.reason}; tried again in {self.retry_after_s:.0f} s"


@dataclass(frozen=True, slots=True)
class Passage:
    """Leave to make one request; its end is told to the breaker.

    Attributes:
        era: Which opening or closing it came after; what it says of an older one is not heard.
        probe: True when it is to find out whether the service is back.
    """

    era: int
    probe: bool


class Breaker:
    """Counts failures in a row: closed, open, half open with probes, closed again.

    Args:
        failures: How many open it.
        reset_s: How long it stays open, seconds.
        probes: How many requests must go well for it to close; one that fails opens it again.
        clock: Seconds, monotonic.
    """

    def __init__(
        self, failures: int, reset_s: float, probes: int, clock: Callable[[], float] = monotonic
    ) -> None:
        self._failures, self._reset_s, self._probes, self._clock = failures, reset_s, probes, clock
        self._in_a_row = self._passed = self._probing = self._era = 0
        self._opened_s: float | None = None
        self.reason = ""

    @property
    def state(self) -> BreakerState:
        """As of now."""
        if self._opened_s is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self._left_s > 0 else BreakerState.HALF_OPEN

    def enter(self) -> Passage:
        """Ask to go through; whoever may must say `succeeded`, `failed` or `abandoned` after.

        Raises:
            BreakerOpen: Not now.
        """
        if self.state is BreakerState.OPEN:
            raise BreakerOpen(self.reason, self._left_s)
        if self.state is BreakerState.CLOSED:
            return Passage(self._era, probe=False)
        if self._passed + self._probing >= self._probes:
            raise BreakerOpen(f"{self.reason}; probes are on their way", 1.0)
        self._probing += 1
        return Passage(self._era, probe=True)

    def succeeded(self, passage: Passage) -> None:
        """The service answered, if only with a refusal of its own."""
        if passage.era != self._era:
            return
        self._in_a_row = 0
        if passage.probe:
            self._probing -= 1
            self._passed += 1
            if self._passed >= self._probes:
                self._opened_s = None
                self._begin_era()

    def failed(self, passage: Passage, reason: str) -> None:
        """The service did not answer, or with a fault."""
        if passage.era != self._era:
            return
        self._in_a_row += 1
        if passage.probe:
            self._open(f"a probe failed: {reason}")
        elif self._in_a_row >= self._failures:
            self._open(f"{self._in_a_row} failures in a row, the last: {reason}")

    def abandoned(self, passage: Passage) -> None:
        """Nobody knows: it was given up from this side."""
        if passage.era == self._era and passage.probe:
            self._probing -= 1

    @property
    def _left_s(self) -> float:
        return 0.0 if self._opened_s is None else self._opened_s + self._reset_s - self._clock()

    def _open(self, reason: str) -> None:
        self._opened_s, self.reason = self._clock(), reason
        self._begin_era()

    def _begin_era(self) -> None:
        self._in_a_row = self._passed = self._probing = 0
        self._era += 1
