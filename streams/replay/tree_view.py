"""One tree as it was: its facts folded up to an offset or a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from octolog.domain.chain import GENESIS
from octolog.domain.errors import LogCorrupted, NotFound, UndecodableRecord
from octolog.domain.evaluator.program import Loaded
from octolog.domain.ids import TaskId
from octolog.domain.task.evolve import evolve
from octolog.domain.task.state import Tree, absent
from octolog.ports import LogReader, LogRecord, Positions
from schemas.codec import Codec, RecordedFact
from streams.partitioner import partition_for
from streams.topics import TASKS


@dataclass(frozen=True, slots=True)
class TreeFact:
    """A fact of the tree, with its place in the log.

    Attributes:
        offset: Its offset.
        timestamp_ms: When the broker appended it.
        recorded: The fact, its link and its hash.
    """

    offset: int
    timestamp_ms: int
    recorded: RecordedFact


@dataclass(slots=True)
class TreeView:
    """A tree as of a point in its partition.

    Attributes:
        tree: Its state.
        partition: Where its facts lie.
        as_of_offset: The partition's last offset that was looked at: the one asked for, where the log has it.
        facts: Its facts up to there, in order.
        head: Hash of the last one.
    """

    tree: Tree
    partition: int
    as_of_offset: int
    facts: list[TreeFact]
    head: bytes = GENESIS

    def to_json(self) -> dict[str, Any]:
        """The view as `octolog task show --json` prints it, without the facts."""
        state: dict[str, Any] = msgspec.to_builtins(self.tree, enc_hook=_operators)
        del state["seen"]
        last = self.facts[-1]
        return {
            "task_id": self.tree.root_id,
            "status": str(self.tree.status),
            "topic": TASKS,
            "partition": self.partition,
            "as_of_offset": self.as_of_offset,
            "facts": len(self.facts),
            "first_offset": self.facts[0].offset,
            "last_offset": last.offset,
            "last_fact": type(last.recorded.fact).__name__,
            "last_ms": last.recorded.fact.at_ms,
            "head": self.head.hex(),
            "tree": state,
        }


def _operators(value: Any) -> Any:
    """A program in evaluation as the number of its operators; the program itself is in its fact."""
    if isinstance(value, Loaded):
        return {"operators": len(value.operators)}
    raise NotImplementedError(f"a {type(value).__name__} is no part of a tree")


def state_at(
    reader: LogReader, codec: Codec, root_id: TaskId, *, at: int | datetime | None = None
) -> TreeView:
    """A tree as of a point.

    Args:
        reader: Reads the log.
        codec: Decodes it.
        root_id: The root's task id.
        at: Facts up to and with this offset of the tree's partition, or appended before this time; None: all.

    Raises:
        NotFound: When the log has no fact of the tree up to there.
        LogCorrupted: When a fact of the tree was edited, or its chain is broken.
        BrokerUnavailable: When Kafka does not answer.
    """
    ends = reader.ends([TASKS])
    numbers = sorted(partition for _, partition in ends)
    home = partition_for(root_id, len(numbers))
    # A producer with a partitioner of its own puts a tree elsewhere, and there it stays.
    for partition in (home, *(n for n in numbers if n != home)):
        end = _end(reader, partition, ends, at)
        view = _fold(reader, codec, root_id, partition, end)
        if view.facts:
            return view
    until = "" if at is None else f" up to {at}"
    raise NotFound(f"no task {root_id} in this log{until}")


def _end(reader: LogReader, partition: int, ends: Positions, at: int | datetime | None) -> int:
    end = ends[TASKS, partition]
    if at is None:
        return end
    if isinstance(at, datetime):
        return min(end, reader.at_time([TASKS], int(at.timestamp() * 1_000))[TASKS, partition])
    return min(end, at + 1)


def _fold(reader: LogReader, codec: Codec, root_id: TaskId, partition: int, end: int) -> TreeView:
    view = TreeView(absent(root_id), partition, end - 1, [])
    key = root_id.encode()
    place = TASKS, partition
    if end <= 0:
        return view
    for batch in reader.read({place: 0}, until={place: end}):
        for record in batch:
            if record.key == key:
                _add(view, codec, record)
    return view


def _add(view: TreeView, codec: Codec, record: LogRecord) -> None:
    place = f"{TASKS}/{record.partition}@{record.offset}"
    try:
        recorded = codec.decode(record.value)
    except UndecodableRecord as error:
        raise LogCorrupted(f"{place}: {error}") from error
    if not isinstance(recorded, RecordedFact) or recorded.hash != recorded.computed:
        raise LogCorrupted(f"{place}: the fact was edited; its hash does not fit its bytes")
    if recorded.link.seq != len(view.facts) or recorded.link.prev_hash != view.head:
        raise LogCorrupted(
            f"{place}: the chain of {view.tree.root_id} is broken before its fact {recorded.link.seq}"
        )
    evolve(view.tree, recorded.fact)
    view.head = recorded.hash
    view.facts.append(TreeFact(record.offset, record.timestamp_ms, recorded))
