"""Bringing a partition's shard back from the log: snapshots of open trees, then the tail of facts.

The index of closed trees is written before the snapshots that leave those trees out, so it is never behind
them; when it is (it was deleted, or comes from elsewhere), everything is folded from the first fact.
"""

from __future__ import annotations

from dataclasses import dataclass

from octolog.domain.errors import LogCorrupted
from octolog.domain.ids import TaskId
from octolog.domain.shard import Shard
from octolog.domain.upkeep import SnapshotCompleted, TreeSnapshot
from octolog.ports import LogReader, Positions
from schemas.codec import Codec, RecordedFact
from streams.closed_index import ClosedIndex
from streams.snapshots import opened
from streams.topics import SNAPSHOTS, TASKS

_FLUSH_EVERY = 50_000
"""Closed trees kept in memory during a rebuild of the index before they are written to it."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did.

    Attributes:
        facts: Facts folded.
        open_trees: Trees open at the end.
        facts_offset: The next offset of the partition's facts.
        snapshotted: Trees that have a snapshot in the topic.
    """

    facts: int
    open_trees: int
    facts_offset: int
    snapshotted: set[TaskId]


def restore(shard: Shard, partition: int, reader: LogReader, codec: Codec, index: ClosedIndex) -> Restored:
    """Fill an empty shard from the log.

    Raises:
        LogCorrupted: When a fact of the partition cannot be read.
        BrokerUnavailable: When Kafka does not answer.
    """
    ends = reader.ends([TASKS, SNAPSHOTS])
    trees, completed = _snapshots(partition, reader, codec, ends)
    start = completed.facts_offset if completed is not None else 0
    if index.facts_offset() < start:
        index.clear()
        start = 0
        trees_used: dict[TaskId, TreeSnapshot] = {}
    else:
        trees_used = trees
    if completed is not None and start:
        shard.position = completed.position
    for record in trees_used.values():
        entry = opened(record)
        if entry is None:  # another version's state: fold it all
            return _from_first(shard, partition, reader, codec, index, ends, set(trees))
        shard.load(entry)
    facts = _fold(shard, partition, reader, codec, index, start, ends)
    shard.resume()
    return Restored(facts, len(shard.trees), ends[TASKS, partition], set(trees))


def _from_first(
    shard: Shard,
    partition: int,
    reader: LogReader,
    codec: Codec,
    index: ClosedIndex,
    ends: Positions,
    snapshotted: set[TaskId],
) -> Restored:
    index.clear()
    shard.trees.clear()
    shard.position = 0
    facts = _fold(shard, partition, reader, codec, index, 0, ends)
    shard.resume()
    return Restored(facts, len(shard.trees), ends[TASKS, partition], snapshotted)


def _snapshots(
    partition: int, reader: LogReader, codec: Codec, ends: Positions
) -> tuple[dict[TaskId, TreeSnapshot], SnapshotCompleted | None]:
    trees: dict[TaskId, TreeSnapshot] = {}
    completed: SnapshotCompleted | None = None
    place = SNAPSHOTS, partition
    for batch in reader.read({place: 0}, until={place: ends[place]}):
        for record in batch:
            if record.value is None:
                trees.pop(TaskId((record.key or b"").decode()), None)
                continue
            value = codec.decode(record.value)
            if isinstance(value, TreeSnapshot):
                trees[value.root_task_id] = value
            elif isinstance(value, SnapshotCompleted):
                completed = value
    return trees, completed


def _fold(
    shard: Shard,
    partition: int,
    reader: LogReader,
    codec: Codec,
    index: ClosedIndex,
    start: int,
    ends: Positions,
) -> int:
    facts = 0
    place = TASKS, partition
    for batch in reader.read({place: start}, until={place: ends[place]}):
        for record in batch:
            recorded = codec.decode(record.value)
            if not isinstance(recorded, RecordedFact):
                raise LogCorrupted(
                    f"{TASKS}/{partition}@{record.offset}: {type(recorded).__name__} is no fact"
                )
            shard.refold(recorded.fact, recorded.link, recorded.hash)
            facts += 1
        if len(shard.just_closed) > _FLUSH_EVERY:
            index.put(shard.just_closed, 0)  # 0: not complete yet; a restart begins again
            shard.just_closed.clear()
    return facts
