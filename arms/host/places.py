"""Which assignments of a partition are done, and how far that lets the group's offset go."""

from __future__ import annotations

import time
from collections import deque


class Places:
    """The offsets of one partition that were taken, in order, and those that are done.

    Offsets need not be consecutive: the markers of transactions take some, and aborted records others. So the next
    offset to read is the first one not done, or the one after the last taken; a gap is never waited for.

    Attributes:
        since_ms: Since when this host reads the partition, by its own clock, milliseconds since the epoch: what was
            assigned before may have been begun by another.
    """

    def __init__(self) -> None:
        self.since_ms = time.time_ns() // 1_000_000
        self._open: deque[int] = deque()
        self._done: set[int] = set()
        self._next: int | None = None
        self._committed: int | None = None

    def take(self, offset: int) -> None:
        """Note an offset read; each is higher than the one before."""
        self._open.append(offset)
        self._next = offset + 1

    def finish(self, offset: int) -> None:
        """Note that an offset's result is in the log, or that it needs none."""
        self._done.add(offset)

    def reached(self) -> int | None:
        """The next offset to read by whoever comes after; None before anything was taken."""
        taken, done = self._open, self._done
        while taken and taken[0] in done:
            done.discard(taken.popleft())
        return taken[0] if taken else self._next

    def to_commit(self) -> int | None:
        """The offset to commit; None when it is the one committed already."""
        offset = self.reached()
        return None if offset == self._committed else offset

    def committed(self, offset: int) -> None:
        """Note that `offset` was committed."""
        self._committed = offset
