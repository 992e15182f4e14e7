"""Until when a host surely holds an attempt: by what the log is known to hold, and by clocks that run on in a sleep."""

from __future__ import annotations

import time
from typing import Final

__all__ = ["Lease"]

_SURE_SHARE: Final = 0.75
"""The processor lets a sign of life count from up to a quarter of the lease before it: it logs not every one."""

_MAX_DOUBTFUL: Final = 64
_CLOCK: Final = getattr(
    time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC
)  # Linux: runs on while the machine sleeps


def _now_s() -> tuple[float, float]:
    return time.clock_gettime(_CLOCK), time.time()


class Lease:
    """One attempt's lease, as its host can know it.

    A sign of life counts from the moment before it was sent, so this never says longer than the processor does. A gap
    that was too long is not mended by the next sign: the attempt may have been given up in it. Only a fact mends it.

    Args:
        assigned_ms: When the attempt was assigned, by the broker's clock, milliseconds since the epoch.
        lease_ms: How long its host may stay silent, milliseconds.
    """

    __slots__ = ("_doubtful", "_heard_ms", "_span_s", "_sure_ms", "_sure_s")

    def __init__(self, assigned_ms: int, lease_ms: int) -> None:
        self._span_s = lease_ms / 1_000 * _SURE_SHARE
        steady_s, wall_s = _now_s()
        age_s = max(0.0, wall_s - assigned_ms / 1_000)
        self._sure_s = steady_s - age_s, wall_s - age_s
        self._sure_ms = self._heard_ms = assigned_ms
        self._doubtful: dict[int, tuple[float, float]] = {}

    @property
    def sure_ms(self) -> int:
        """The last sign of life that surely counted, by the broker's clock, milliseconds since the epoch."""
        return self._sure_ms

    def now(self) -> tuple[float, float]:
        """To be kept from before a sign is sent, for `renewed`."""
        return _now_s()

    def heard(self, at_ms: int) -> None:
        """Hear that the broker's clock has come to `at_ms`."""
        self._heard_ms = max(self._heard_ms, at_ms)

    def renewed(self, sent: tuple[float, float], at_ms: int) -> None:
        """A sign of life is in the log; it may have come too late.

        Args:
            sent: What `now` said before it was sent.
            at_ms: When the broker appended it.
        """
        self.heard(at_ms)
        if at_ms - self._sure_ms < self._span_s * 1_000:
            self._sure_s, self._sure_ms = max(self._sure_s, sent), max(self._sure_ms, at_ms)
        elif len(self._doubtful) < _MAX_DOUBTFUL:
            self._doubtful.setdefault(at_ms, sent)
        else:
            self._doubtful.pop(next(iter(self._doubtful)))
            self._doubtful[at_ms] = sent

    def proven(self, at_ms: int) -> bool:
        """A fact says that a sign of this moment counted; False: it was none of this host's late ones."""
        sent = self._doubtful.get(at_ms)
        if sent is None:
            return False
        self._sure_s, self._sure_ms = sent, at_ms
        self._doubtful.clear()
        return True

    def is_sure(self) -> bool:
        """Whether nobody can have given the attempt up yet, by each of the clocks."""
        steady_s, wall_s = _now_s()
        span_s = self._span_s
        return (
            steady_s - self._sure_s[0] < span_s
            and wall_s - self._sure_s[1] < span_s
            and self._heard_ms - self._sure_ms < span_s * 1_000
        )
