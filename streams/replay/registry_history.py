"""The arm registry as of every offset of `octolog.arms`."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import replace

from octolog.domain.arm import ArmCallCounted
from octolog.domain.errors import UndecodableRecord
from octolog.domain.ids import ArmId
from octolog.domain.registry import Registry
from octolog.ports import LogRecord
from schemas.codec import Codec
from streams.registry_table import RegistryTable


class RegistryHistory:
    """Folds the registry's records, and gives the registry back as it was.

    Facts name the offset that was known when they were decided. From one fact of a partition to the next it
    may go back: a worker that takes a partition over may know less than the one before.

    Args:
        codec: Decodes the records.

    Attributes:
        refused: Records that are no registry facts.
        calls: What was counted for circuit breakers: partition -> position of the fact -> offset and count.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._table = RegistryTable(codec, _nothing, self._refused)
        self._offsets = [0]
        self._registries = [self._table.registry]
        self._latest = self._table.registry
        self.refused: list[LogRecord] = []
        self.calls: dict[int, dict[int, tuple[int, ArmCallCounted]]] = defaultdict(dict)

    @property
    def end(self) -> int:
        """Records before this offset are known."""
        return self._table.registry.offset

    def add(self, records: list[LogRecord]) -> None:
        """Fold records, in offset order."""
        for record in records:
            before = self._table.registry.breakers
            self._note_call(record)
            if self._table.apply([record]) or self._table.registry.breakers is not before:
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

    def _note_call(self, record: LogRecord) -> None:
        """Keep what was counted for circuit breakers by the fact it was counted with."""
        try:
            event = self._codec.decode(record.value)
        except UndecodableRecord:
            return
        if isinstance(event, ArmCallCounted):
            self.calls[event.partition][event.position] = record.offset, event

    def _refused(self, record: LogRecord, _: UndecodableRecord) -> None:
        self.refused.append(record)


def _nothing(_: ArmId) -> None:
    """A replay makes no topics."""
