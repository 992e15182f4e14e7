"""The arm registry as of every offset of `octolog.arms`."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import replace

from octolog.domain.arm import ArmBreakerChanged, ArmCallCounted, BreakerState
from octolog.domain.errors import UndecodableRecord
from octolog.domain.ids import ArmId
from octolog.domain.registry import Registry
from octolog.ports import LogRecord
from schemas.codec import Codec
from streams.registry_table import RegistryTable
from streams.replay.report import Difference
from streams.topics import ARMS


class RegistryHistory:
    """Folds the registry's records, and gives the registry back as it was.

    Facts name the offset that was known when they were decided. From one fact of a partition to the next it
    may go back: a worker that takes a partition over may know less than the one before.

    Args:
        codec: Decodes the records.

    Attributes:
        refused: Records that are no registry facts.
        faults: Changes of circuit breakers that follow from nothing.
        calls: What was counted for circuit breakers: partition -> position of the fact -> offset and count.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._table = RegistryTable(codec, _nothing, self._refused)
        self._offsets = [0]
        self._registries = [self._table.registry]
        self._latest = self._table.registry
        self.refused: list[LogRecord] = []
        self.faults: list[Difference] = []
        self._moves: dict[tuple[ArmId, int], BreakerState] = {}
        self.calls: dict[int, dict[int, tuple[int, ArmCallCounted]]] = defaultdict(dict)

    @property
    def end(self) -> int:
        """Records before this offset are known."""
        return self._table.registry.offset

    def add(self, records: list[LogRecord]) -> None:
        """Fold records, in offset order."""
        for record in records:
            before = self._table.registry
            changed = self._table.apply([record])
            self._note(record, before)
            if changed or self._table.registry.breakers is not before.breakers:
                self._offsets.append(record.offset + 1)
                self._registries.append(self._table.registry)

    def as_of(self, offset: int) -> Registry | None:
        """The registry when every record before `offset` was known; None when the topic does not reach so far."""
        if offset == self._latest.offset:
            return self._latest
        if offset > self.end:
            return None
        self._latest = replace(self._registries[bisect_right(self._offsets, offset) - 1], offset=offset)
        return self._latest

    def _note(self, record: LogRecord, before: Registry) -> None:
        """Keep what was counted for circuit breakers by its fact, and hold what is said of them against the fold."""
        try:
            event = self._codec.decode(record.value)
        except UndecodableRecord:
            return
        if isinstance(event, ArmCallCounted):
            self.calls[event.partition][event.position] = record.offset, event
        elif isinstance(event, ArmBreakerChanged):
            found = self._moves.get((event.arm_id, event.cause_offset))
            if event.state is not found and (event.state, found) != (
                BreakerState.HALF_OPEN,
                BreakerState.OPEN,
            ):
                message = (
                    f"the breaker of {event.arm_id} is said to be {event.state} by @{event.cause_offset}"
                )
                self.faults.append(
                    Difference(ARMS, 0, record.offset, None, None, "decided-differently", message)
                )
            return
        after = self._table.registry.arms
        if after is not before.arms:
            for arm_id, arm in after.items():
                was = before.arms.get(arm_id)
                if was is not None and was.breaker is not arm.breaker:
                    self._moves[arm_id, record.offset] = arm.breaker

    def _refused(self, record: LogRecord, _: UndecodableRecord) -> None:
        self.refused.append(record)


def _nothing(_: ArmId) -> None:
    """A replay makes no topics."""
