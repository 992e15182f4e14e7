"""When an attempt may be given up: not before all that arms have said was heard."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

_STANDSTILL_S: Final = 0.5
_BACKLOG_S: Final = 30.0
"""Longest wait for results that lie unread: whoever is silent is given up in the end, whatever holds them up."""


class Patience:
    """Whether the arms of one partition had the chance to be heard.

    A lease runs on while Kafka, or this worker, stands still; what arms said meanwhile lies unread, or waits on
    their side to be written. Whoever was silent must be told apart from whoever nobody listened to.

    Args:
        results_to: Offset up to which the partition's results were read.
        resources_to: The same of its resources: a call that was announced in time is charged to its attempt.
        lease_s: An arm renews its leases three times while they run, so whoever lives speaks within a third.
        clock_s: Monotonic seconds.
    """

    __slots__ = ("_asked_s", "_clock_s", "_end", "_pause_s", "_until_s", "resources_to", "results_to")

    def __init__(
        self,
        results_to: int,
        resources_to: int,
        lease_s: float,
        *,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.results_to, self.resources_to = results_to, resources_to
        self._pause_s, self._clock_s = lease_s / 3, clock_s
        self._end: tuple[int, int] | None = None
        self._asked_s = self._until_s = 0.0
        self.renew()

    def renew(self) -> None:
        """The partition stood still: let the arms speak first."""
        self._until_s, self._end = self._clock_s() + self._pause_s, None

    def is_over(self, ask_end: Callable[[], tuple[int, int]]) -> bool:
        """True when all results and uses that lay in the log when an attempt came due were read.

        Args:
            ask_end: Asks Kafka for the end of the partition's results, and of its resources.
        """
        now_s = self._clock_s()
        if now_s < self._until_s:
            return False
        if self._end is None:
            self._end, self._asked_s = ask_end(), now_s
            if self._clock_s() - now_s > _STANDSTILL_S:
                self.renew()
                return False
        unread = self.results_to < self._end[0] or self.resources_to < self._end[1]
        if unread and now_s - self._asked_s < _BACKLOG_S:
            return False
        self._end = None
        return True
