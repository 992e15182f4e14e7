"""octolog's own decisions inside a peer's engine: the same shard, the same codec, the same bytes.

The engine stores a tree as octolog's snapshots store it (MessagePack); a tree that is over shrinks to what octolog's
index keeps of it. A partition's `Shard` lives as long as the process, holds no tree between two records, and numbers
the partition's facts. So for the same inputs in the same order the facts are equal to octolog's byte for byte, hash
chain included, which the bench checks.

What a peer is spared: assignments for arms, event headers, timers, snapshots beside its own store, and positions that
survive a restart.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from decider import Decide, Decision, Record

from octolog.domain.chain import Link
from octolog.domain.facts import Fact
from octolog.domain.ids import TaskId
from octolog.domain.registry import Registry, evolve_registry
from octolog.domain.shard import ClosedTree, OpenTree, Shard
from octolog.domain.task.state import Tree
from schemas import catalog
from schemas.codec import Codec

_OPEN: Final = b"o"
_CLOSED: Final = b"c"


class _State(msgspec.Struct):
    """An open tree as it is stored; octolog's snapshot with its record's fields."""

    tree: Tree
    ready: dict[TaskId, tuple[int, int]]
    seq: int
    head: bytes


_ENCODER: Final = msgspec.msgpack.Encoder()
_OPEN_DECODER: Final = msgspec.msgpack.Decoder(_State)
_CLOSED_DECODER: Final = msgspec.msgpack.Decoder(ClosedTree)


class _KnownIds:
    """The schema ids of the cluster, as the bench found them."""

    def __init__(self, ids: Mapping[str, int]) -> None:
        self._ids, self._names = ids, {number: name for name, number in ids.items()}

    def register(self, subject: str, _schema: object) -> int:
        return self._ids[subject]

    def by_id(self, schema_id: int) -> tuple[str, str]:
        name = self._names[schema_id]
        return name, catalog.schema_json(name)


class _Index:
    """The closed trees of a partition: the one that the engine just read from its store."""

    def __init__(self) -> None:
        self.tree: ClosedTree | None = None

    def get(self, _root_id: TaskId) -> ClosedTree | None:
        return self.tree


class _Partition:
    """One partition's shard; its outputs are collected."""

    def __init__(self, codec: Codec, registry: Registry, window: int, lease_ms: int) -> None:
        self._codec, self._registry = codec, registry
        self._facts: list[bytes] = []
        self._index = _Index()
        self._shard = Shard(self._record, _dropped, self._index, window=window, lease_ms=lease_ms)

    def decide(self, topic: str, stored: bytes | None, record: Record) -> Decision:
        """Load the tree, decide, take it out again."""
        shard = self._shard
        root_id = TaskId(record.key.decode())
        self._index.tree = None
        if stored is not None and stored[:1] == _OPEN:
            state = _OPEN_DECODER.decode(stored[1:])
            shard.load(OpenTree(state.tree, state.seq, state.head, state.ready))
        elif stored is not None:
            self._index.tree = _CLOSED_DECODER.decode(stored[1:])
        shard.react(topic, record.offset, record.at_ms, self._codec.decode(record.value), self._registry)
        facts = tuple(self._facts)
        self._facts.clear()
        return Decision(self._taken_out(root_id), facts)

    def _taken_out(self, root_id: TaskId) -> bytes:
        shard = self._shard
        shard.touched.clear()
        entry = shard.trees.pop(root_id, None)
        if entry is not None:
            return _OPEN + _ENCODER.encode(_State(entry.tree, entry.ready, entry.seq, entry.head))
        return _CLOSED + _ENCODER.encode(shard.just_closed.pop(root_id, self._index.tree))

    def _record(self, fact: Fact, link: Link) -> bytes:
        value, digest = self._codec.encode_fact(fact, link)
        self._facts.append(value)
        return digest


def deciding(context: Path, topics: Mapping[str, str]) -> Decide:
    """Return octolog's decider.

    Args:
        context: A JSON file: schema ids by name, the registry's first entry in hex, window, lease.
        topics: octolog's names of the topics that the engine reads.
    """
    known = json.loads(context.read_text())
    codec = Codec(_KnownIds(known["ids"]))  # type: ignore[arg-type]  # a codec asks for nothing else
    registry = evolve_registry(Registry(), codec.decode(bytes.fromhex(known["arm"])), 0)
    partitions: dict[int, _Partition] = {}

    def decide(stored: bytes | None, record: Record) -> Decision:
        partition = partitions.get(record.partition)
        if partition is None:
            partition = partitions[record.partition] = _Partition(
                codec, registry, known["window"], known["lease_ms"]
            )
        return partition.decide(topics[record.topic], stored, record)

    return decide


def _dropped(_command: object) -> None:
    """Assignments: a peer's engine writes facts alone."""
