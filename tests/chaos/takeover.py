"""How long a killed processor's partitions stand still: from its death to its successor's first commit."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

from octolog.app.connection import Connection
from octolog.domain.errors import Unavailable
from streams.topics import TASKS

_SUCCESSOR_S = 0.15
"""No process starts and commits within so little: what was written earlier is the dead one's."""


@dataclass(slots=True)
class Death:
    """A processor that was killed.

    Attributes:
        at_s: When, seconds since the epoch.
        partitions: What it owned.
        first_commit_s: When its successor's first committed fact could be read; None: not yet.
        again: True when the successor was killed before it had committed.
        no_broker: True when the broker was down in between.
    """

    at_s: float
    partitions: frozenset[int]
    first_commit_s: float | None = None
    again: bool = False
    no_broker: bool = False

    @property
    def seconds(self) -> float:
        """From death to the successor's first commit."""
        return float("inf") if self.first_commit_s is None else self.first_commit_s - self.at_s


class Takeovers(threading.Thread):
    """Follows the facts and notes when each partition has committed again.

    Args:
        connection: Which log.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(name="takeovers", daemon=True)
        self.deaths: list[Death] = []
        self._waiting: deque[Death] = deque()
        self._lock = threading.Lock()
        self._reader = connection.reader()
        self._over = threading.Event()

    def killed(self, partitions: frozenset[int]) -> None:
        """A processor that owned these was killed just now."""
        death = Death(time.time(), partitions)
        with self._lock:
            for earlier in list(self._waiting):
                if earlier.partitions & partitions:
                    earlier.again = True
                    self._waiting.remove(earlier)
            self.deaths.append(death)
            self._waiting.append(death)

    def broker_killed(self) -> None:
        """Whoever waits now waits for the broker, too."""
        with self._lock:
            for death in self._waiting:
                death.no_broker = True

    def run(self) -> None:
        while not self._over.is_set():
            try:
                self._follow()
            except Unavailable:
                time.sleep(0.2)

    def finish(self) -> list[Death]:
        """Stop following; every death so far."""
        self._over.set()
        self.join(30)
        return self.deaths

    def _follow(self) -> None:
        for batch in self._reader.read(self._reader.ends([TASKS])):
            now_s = time.time()
            for record in batch:
                self._seen(record.partition, record.timestamp_ms / 1_000, now_s)
            if self._over.is_set():
                return

    def _seen(self, partition: int, appended_s: float, now_s: float) -> None:
        with self._lock:
            for death in list(self._waiting):
                if partition in death.partitions and appended_s > death.at_s + _SUCCESSOR_S:
                    death.first_commit_s = now_s
                    self._waiting.remove(death)


def quantile(values: list[float], q: float) -> float:
    """The smallest value that is at least as large as the fraction `q` of all."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else float("nan")
