"""The store that queries are asked of and the projection that writes it, both replaceable while they are in use."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from octolog.ports import LogRecord, Positions
from projections.analytics.sink import AnalyticsProjection
from projections.duck import Store


class _Lent:
    """A store with how many have it, and what becomes of it once nobody has."""

    def __init__(self, store: Store) -> None:
        self.store, self.count = store, 0
        self.retired: Callable[[], None] | None = None


class LiveStore:
    """Hands out the store in use; one that was replaced is given up once the last who has it is done.

    Args:
        store: The first.
    """

    def __init__(self, store: Store) -> None:
        self._lock = threading.Lock()
        self._current = _Lent(store)

    @contextmanager
    def lease(self) -> Iterator[Store]:
        """The store, which stays open for so long."""
        with self._lock:
            lent = self._current
            lent.count += 1
        try:
            yield lent.store
        finally:
            with self._lock:
                lent.count -= 1
                give_up = lent.retired if lent.count == 0 else None
            if give_up is not None:
                give_up()

    def replace(self, store: Store, give_up: Callable[[], None]) -> None:
        """Hand out another store from now on.

        Args:
            store: The other.
            give_up: Called, on whichever thread comes last, when nobody has the one before any more.
        """
        with self._lock:
            old, self._current = self._current, _Lent(store)
            old.retired = give_up
            unused = old.count == 0
        if unused:
            give_up()


class LiveAnalytics:
    """The `Projection` that follows the log into whichever store is in use.

    Args:
        projection: The first.
    """

    def __init__(self, projection: AnalyticsProjection) -> None:
        self.name, self.version, self.topics = projection.name, projection.version, projection.topics
        self.writing = threading.RLock()
        """Held by whoever writes, or puts another projection in place."""
        self.inner = projection

    def positions(self) -> Positions:
        """The next offset to read per partition."""
        return self.inner.positions()

    def apply(self, records: Sequence[LogRecord], after: Positions) -> None:
        """Store what the records say, and `after`; see `Projection.apply`."""
        with self.writing:
            self.inner.apply(records, after)

    def reset(self) -> None:
        """Drop everything."""
        with self.writing:
            self.inner.reset()

    def close(self) -> None:
        """Release the store in use."""
        with self.writing:
            self.inner.close()
