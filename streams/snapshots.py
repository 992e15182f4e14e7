"""Open trees as bytes and back: the state inside a `TreeSnapshot`."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from octolog.domain.ids import TaskId
from octolog.domain.shard import OpenTree
from octolog.domain.task.state import STATE_VERSION, Tree
from octolog.domain.upkeep import TreeSnapshot


@dataclass(slots=True)
class _State:
    """What a snapshot holds beside seq and head."""

    tree: Tree
    ready: dict[TaskId, tuple[int, int]]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_State)


def snapshot(entry: OpenTree) -> TreeSnapshot:
    """The tree as a record. Parked tasks are ready tasks; where they wait is found again."""
    state = _ENCODER.encode(_State(entry.tree, entry.ready))
    return TreeSnapshot(entry.tree.root_id, entry.seq, STATE_VERSION, state, entry.head)


def opened(record: TreeSnapshot) -> OpenTree | None:
    """The tree of a record; None when another version of octolog wrote it."""
    if record.state_version != STATE_VERSION:
        return None
    state = _DECODER.decode(record.state)
    return OpenTree(state.tree, record.seq, record.head, state.ready)
