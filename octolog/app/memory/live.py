"""Following the log into whichever collection of semantic memory is to be filled."""

from __future__ import annotations

from collections.abc import Sequence

from octolog.app.memory.collections import NAME, OpenMemory
from octolog.ports import DeadLetterSink, LogRecord, Positions
from projections.memory.sink import TOPIC, MemoryProjection
from schemas.codec import Codec


class LiveMemory:
    """The `Projection` that writes into the collection in use, or into the one that will take its place.

    Args:
        memory: Where.
        codec: Reads records.
        dead_letters: Told of every record that cannot be stored, but while a collection is filled anew: they were told
            of when the one in use was filled.
    """

    name: str = NAME
    topics: tuple[str, ...] = (TOPIC,)

    def __init__(self, memory: OpenMemory, codec: Codec, dead_letters: DeadLetterSink) -> None:
        self._memory, self._codec, self._dead_letters = memory, codec, dead_letters
        self.version = MemoryProjection.version

    def positions(self) -> Positions:
        """The next offset to read per partition."""
        return self._memory.filled.positions()

    def apply(self, records: Sequence[LogRecord], after: Positions) -> None:
        """Store what the records say, then `after`."""
        memory = self._memory
        with memory.writing:
            letters = None if memory.stale else self._dead_letters
            MemoryProjection(memory.filled, memory.embedder, self._codec, letters).apply(records, after)

    def reset(self) -> None:
        """Drop every memory, positions too."""
        with self._memory.writing:
            self._memory.filled.clear()

    def close(self) -> None:
        """Nothing: the memory is closed by who opened it."""
