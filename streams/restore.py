"""Bringing a partition's shard back from the log: snapshots of open trees, then the tail of facts.

The index of closed trees is written before the snapshots that leave those trees out, so it is never behind
them; when it is (it was deleted, or comes from elsewhere), everything is folded from the first fact.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from octolog.domain.errors import LogCorrupted
from octolog.domain.ids import TaskId
from octolog.domain.shard import Shard
from octolog.domain.upkeep import SnapshotCompleted, TreeSnapshot
from octolog.ports import LogReader, Positions
from schemas.codec import Codec, RecordedFact
from streams.closed_index import ClosedIndex
from streams.snapshots import Parts, opened, root_of
from streams.topics import SNAPSHOTS, TASKS

_FLUSH_EVERY = 50_000
"""Closed trees kept in memory during a rebuild of the index before they are written to it."""

_GC_THRESHOLDS: Final = (100_000, 50, 100)
"""States die by their reference counts; looking for cycles every 700 allocations found none and cost 10 %."""


@dataclass(slots=True)
class Restoring:
    """A partition on its way back.

    Attributes:
        shard: An empty shard, to be filled.
        index: Its closed trees.
        facts: Facts folded.
        snapshotted: Keys of the records in the topic, by tree.
    """

    shard: Shard
    index: ClosedIndex
    facts: int = 0
    snapshotted: dict[TaskId, set[bytes]] = field(default_factory=dict)


def restore(partitions: Mapping[int, Restoring], reader: LogReader, codec: Codec) -> None:
    """Fill empty shards from the log, all of them in one pass over it.

    Raises:
        LogCorrupted: When a fact cannot be read.
        BrokerUnavailable: When Kafka does not answer.
    """
    ends = reader.ends([TASKS, SNAPSHOTS])
    trees, completed = _snapshots(partitions, reader, codec, ends)
    start: Positions = {}
    for number, restoring in partitions.items():
        restoring.snapshotted = {root_id: set(parts.records) for root_id, parts in trees[number].items()}
        start[TASKS, number] = _begin(restoring, list(trees[number].values()), completed.get(number))
    _fold(partitions, reader, codec, start, ends)
    for restoring in partitions.values():
        restoring.shard.resume()


def keep_out_of_collections() -> None:
    """Restored trees and code live long: do not look through them at every collection."""
    gc.set_threshold(*_GC_THRESHOLDS)
    gc.collect()
    gc.freeze()


def _begin(restoring: Restoring, trees: list[Parts], completed: SnapshotCompleted | None) -> int:
    """Load what the snapshots hold; returns the offset from which facts must still be folded."""
    shard, index = restoring.shard, restoring.index
    start = completed.facts_offset if completed is not None else 0
    entries = [opened(record) for record in trees]
    if index.facts_offset() < start or None in entries:
        # The index is not the one these snapshots rely on, or another version wrote them: fold it all.
        index.clear()
        return 0
    if completed is not None and start:
        shard.position = completed.position
    for entry in entries:
        if entry is not None:
            shard.load(entry)
    return start


def _snapshots(
    partitions: Mapping[int, Restoring], reader: LogReader, codec: Codec, ends: Positions
) -> tuple[dict[int, dict[TaskId, Parts]], dict[int, SnapshotCompleted]]:
    trees: dict[int, dict[TaskId, Parts]] = {number: {} for number in partitions}
    completed: dict[int, SnapshotCompleted] = {}
    places = [(SNAPSHOTS, number) for number in partitions]
    for batch in reader.read(dict.fromkeys(places, 0), until={place: ends[place] for place in places}):
        for record in batch:
            key = record.key or b""
            if record.value is None:
                _forget(trees[record.partition], key)
                continue
            value = codec.decode(record.value)
            if isinstance(value, TreeSnapshot):
                trees[record.partition].setdefault(value.root_task_id, Parts()).records[key] = value
            elif isinstance(value, SnapshotCompleted):
                completed[record.partition] = value
    return trees, completed


def _forget(trees: dict[TaskId, Parts], key: bytes) -> None:
    parts = trees.get(root_of(key))
    if parts is not None:
        parts.records.pop(key, None)
        if not parts.records:
            del trees[root_of(key)]


def _fold(
    partitions: Mapping[int, Restoring], reader: LogReader, codec: Codec, start: Positions, ends: Positions
) -> None:
    for batch in reader.read(start, until={place: ends[place] for place in start}):
        for record in batch:
            recorded = codec.decode(record.value)
            if not isinstance(recorded, RecordedFact):
                where = f"{TASKS}/{record.partition}@{record.offset}"
                raise LogCorrupted(f"{where}: {type(recorded).__name__} is no fact")
            restoring = partitions[record.partition]
            restoring.shard.refold(recorded.fact, recorded.link, recorded.hash)
            restoring.facts += 1
        for restoring in partitions.values():
            if len(restoring.shard.just_closed) > _FLUSH_EVERY:
                # 0: not complete yet; a restart would begin again.
                restoring.index.put(restoring.shard.just_closed, 0)
                restoring.shard.just_closed.clear()
