"""A partition that a worker owns: its shard, its closed trees, and when its open ones were last written down."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from octolog.domain.upkeep import TimerFired, TimerKind
from streams.closed_index import ClosedIndex
from streams.processors.task import TaskProcessor

_SNAPSHOT_S: Final = 10.0
_LONG_TAIL: Final = 1_000
_SOON_S: Final = 1.0
_BACKLOG_S: Final = 30.0
"""Longest wait for a backlog of results: whoever is silent now is given up in the end, whatever lies unread."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long no attempt of a partition is given up after the partition stood still.

    Attributes:
        until_s: At least until then, monotonic seconds.
        results_end: Until the results were read up to this offset; within bounds.
    """

    until_s: float
    results_end: int

    def is_over(self, results_read: Callable[[], int]) -> bool:
        """True once everybody who lives was heard."""
        now_s = time.monotonic()
        heard = now_s > self.until_s + _BACKLOG_S or results_read() >= self.results_end
        return now_s >= self.until_s and heard


@dataclass(slots=True)
class Partition:
    """A partition this worker owns.

    Attributes:
        processor: Its shard with codec and outputs.
        index: Its closed trees.
        snapshot_position: Facts of the partition at its last snapshot.
        snapshot_time_s: When that was, monotonic seconds.
        patience: Set while no attempt may be given up: its arm may have spoken in time, with nobody listening.
    """

    processor: TaskProcessor
    index: ClosedIndex
    snapshot_position: int
    snapshot_time_s: float
    patience: Patience | None

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

    def due(self, now_ms: int, results_read: Callable[[], int]) -> list[TimerFired]:
        """Timers to write now.

        Args:
            now_ms: The log's time.
            results_read: Says up to which offset the partition's results were read.
        """
        if self.patience is not None and self.patience.is_over(results_read):
            self.patience = None
        return [
            timer
            for timer in self.processor.shard.due(now_ms)
            if timer.kind is TimerKind.RETRY or self.patience is None  # it is due again a little later
        ]

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
