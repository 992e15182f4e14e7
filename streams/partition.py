"""A partition that a worker owns: its shard, its closed trees, and when its open ones were last written down."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from octolog.domain.upkeep import TimerFired, TimerKind
from streams.closed_index import ClosedIndex
from streams.patience import Patience
from streams.processors.task import TaskProcessor

_SNAPSHOT_S: Final = 10.0
_LONG_TAIL: Final = 1_000
_SOON_S: Final = 1.0


@dataclass(slots=True)
class Partition:
    """A partition this worker owns.

    Attributes:
        processor: Its shard with codec and outputs.
        index: Its closed trees.
        snapshot_position: Facts of the partition at its last snapshot.
        snapshot_time_s: When that was, monotonic seconds.
        patience: Says when an attempt may be given up.
    """

    processor: TaskProcessor
    index: ClosedIndex
    snapshot_position: int
    snapshot_time_s: float
    patience: Patience

    @classmethod
    def restored(
        cls, processor: TaskProcessor, index: ClosedIndex, facts: int, patience: Patience
    ) -> Partition:
        """One whose last `facts` facts were folded just now.

        A long tail is written down soon, so that another restart need not fold it again.
        """
        age_s = _SNAPSHOT_S - _SOON_S if facts > _LONG_TAIL else 0.0
        position = processor.shard.position - facts
        return cls(processor, index, position, time.monotonic() - age_s, patience)

    def due(self, now_ms: int, ask_end: Callable[[], tuple[int, int]]) -> list[TimerFired]:
        """Timers to write now; of those that give attempts up none before all arms were heard.

        Args:
            now_ms: The log's time.
            ask_end: Asks Kafka for the end of the partition's results, and of its resources.
        """
        timers = list(self.processor.shard.due(now_ms))
        if all(timer.kind is TimerKind.RETRY for timer in timers) or self.patience.is_over(ask_end):
            return timers
        return [timer for timer in timers if timer.kind is TimerKind.RETRY]  # the others come again soon

    def snapshot_due(self, now_s: float, enough_facts: int) -> bool:
        """True after `enough_facts` new facts, or with any new fact after ten seconds."""
        fresh = self.processor.shard.position - self.snapshot_position
        return fresh >= enough_facts or (fresh > 0 and now_s - self.snapshot_time_s > _SNAPSHOT_S)

    def write_index(self, facts_end: int) -> None:
        """Write closed trees down, before the snapshots that leave them out."""
        shard = self.processor.shard
        self.index.put(shard.just_closed, facts_end)
        shard.just_closed.clear()

    def snapshot(self) -> None:
        """Write the open trees into the open transaction."""
        self.processor.write_snapshots(self.index.facts_offset())
        self.snapshot_position = self.processor.shard.position
        self.snapshot_time_s = time.monotonic()
