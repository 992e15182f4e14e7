"""The inputs of one partition, walked beside its facts: each is a cause, or accounted for.

Causes of one topic stand in the order of its offsets, so one walk through each topic finds them all. What is
walked over had no fact. A request may be passed over because it repeats one that had its effect; whether it
does is asked where the state is that it met: right after the last cause before it, and again, where it is not
quiet then, before the next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from octolog.ports import LogRecord
from streams.replay.cursor import Cursor

_AHEAD: Final = 10_000
"""Records looked at before the next cause is known; bounds memory where a topic is full of repeats."""

Judge = Callable[[LogRecord], bool]
"""Says of a record whether nothing follows from it now."""


class InputWalk:
    """One input topic of a partition.

    Args:
        cursor: Its records.
        quiet: Says whether a record would change nothing now.
        has_letter: Says whether a dead letter is about a record.
        passed_over: Called with each record that is no cause, and whether it was quiet when looked at early.
    """

    def __init__(
        self,
        cursor: Cursor,
        quiet: Judge,
        has_letter: Judge,
        passed_over: Callable[[LogRecord, bool], None],
    ) -> None:
        self.cursor, self._quiet, self._has_letter, self._passed_over = cursor, quiet, has_letter, passed_over
        self._ahead: deque[tuple[LogRecord, bool]] = deque()
        self.last_cause = -1

    def look_ahead(self) -> None:
        """Ask of the records behind the last cause whether they are quiet; stop at the first that is not."""
        while len(self._ahead) < _AHEAD and (record := self.cursor.peek()) is not None:
            refused = self._has_letter(record)
            if not refused and not self._quiet(record):
                return
            self.cursor.take()
            self._ahead.append((record, not refused))

    def cause(self, offset: int) -> LogRecord | None:
        """Walk to a cause and over everything before it; None when it is not there."""
        if not self._ahead and (record := self.cursor.take_at(offset)) is not None:
            self.last_cause = offset  # mostly nothing lies between
            return record
        self._walk(offset)
        found: LogRecord | None = None
        if self._ahead:
            if self._ahead[0][0].offset == offset:
                found = self._ahead.popleft()[0]
                # What was asked of those behind it was asked of another state.
                self.cursor.put_back([record for record, _ in self._ahead])
                self._ahead.clear()
        else:
            found = self.cursor.take_at(offset)
        self.last_cause = offset
        return found

    def finish(self, end: int) -> None:
        """Walk over everything before `end`."""
        self._walk(end)

    def _walk(self, end: int) -> None:
        while self._ahead and self._ahead[0][0].offset < end:
            self._passed_over(*self._ahead.popleft())
        if self._ahead:
            return
        while (record := self.cursor.peek()) is not None and record.offset < end:
            self.cursor.take()
            self._passed_over(record, False)  # noqa: FBT003 -- not looked at early
