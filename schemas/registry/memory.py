"""A `SchemaTopic` in memory, for tests and for running without a log."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from schemas.registry.topic_log import TopicRecord

if TYPE_CHECKING:
    from collections.abc import Sequence


class MemorySchemaTopic:
    """The log of one process; it can be compacted as Kafka would compact it."""

    def __init__(self) -> None:
        self._records: list[TopicRecord] = []
        self._end_offset = 0
        self._lock = threading.Lock()

    def read_from(self, offset: int) -> tuple[TopicRecord, ...]:
        """Return the records at `offset` and after."""
        with self._lock:
            return tuple(record for record in self._records if record.offset >= offset)

    def append(self, records: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Write keys and values in this order; a value of None erases its key at the next compaction."""
        with self._lock:
            for key, value in records:
                self._records.append(TopicRecord(self._end_offset, key, value))
                self._end_offset += 1

    def compact(self) -> None:
        """Keep the last record of each key, at its offset, and drop erased keys."""
        with self._lock:
            last = {record.key: record for record in self._records}
            self._records = [r for r in self._records if last[r.key] is r and r.value is not None]
