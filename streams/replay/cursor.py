"""One partition of one topic, record by record."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing
from itertools import chain

from octolog.ports import LogReader, LogRecord


class Cursor:
    """Reads a partition forward on a reader of its own; knows the next record before it is taken.

    Args:
        open_reader: Makes the reader.
        topic: The topic.
        partition: The partition.
        end: Records before this offset are read.
    """

    def __init__(self, open_reader: Callable[[], LogReader], topic: str, partition: int, end: int) -> None:
        self.topic, self.partition, self.end = topic, partition, end
        self._batches = _batches(open_reader, topic, partition, end)
        self._records = chain.from_iterable(self._batches)
        self._back: deque[LogRecord] = deque()

    def peek(self) -> LogRecord | None:
        """The next record; None at the end."""
        back = self._back
        if back:
            return back[0]
        record = next(self._records, None)
        if record is not None:
            back.append(record)
        return record

    def take(self) -> LogRecord | None:
        """The next record, and go on behind it."""
        return self._back.popleft() if self._back else next(self._records, None)

    def take_at(self, offset: int) -> LogRecord | None:
        """The next record, and go on behind it, if it lies at an offset; else None, and nothing is taken."""
        back = self._back
        if back:
            return back.popleft() if back[0].offset == offset else None
        record = next(self._records, None)
        if record is None or record.offset == offset:
            return record
        back.append(record)
        return None

    def put_back(self, records: list[LogRecord]) -> None:
        """Have these be the next again."""
        self._back.extendleft(reversed(records))

    def close(self) -> None:
        """Release the reader."""
        self._batches.close()


def _batches(
    open_reader: Callable[[], LogReader], topic: str, partition: int, end: int
) -> Generator[list[LogRecord], None, None]:
    if end <= 0:
        return
    place = topic, partition
    with closing(open_reader()) as reader:
        yield from reader.read({place: 0}, until={place: end})
