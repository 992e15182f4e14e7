"""Folding the facts into state, without deciding anything, and a digest of that state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec

from octolog.domain.errors import LogCorrupted, UndecodableRecord
from octolog.domain.evaluator.program import Loaded
from octolog.domain.ids import TaskId
from octolog.domain.shard import ClosedTree, OpenTree, Shard
from octolog.domain.task.state import Tree, TreeStatus
from octolog.ports import LogReader, Positions, Progress
from schemas.codec import Codec, RecordedFact
from streams.closed_index import ClosedIndex
from streams.replay.shares import Told, in_processes
from streams.replay.source import Source
from streams.topics import TASKS

_FLUSH_EVERY: Final = 50_000
"""Closed trees kept in memory before they are written to disk."""


@dataclass(slots=True)
class _State:
    """What of an open tree enters the digest. Where a task is parked is found again, and does not."""

    tree: Tree
    seen: list[bytes]
    ready: dict[TaskId, tuple[int, int]]


def _operators(value: Any) -> Any:
    """A program in evaluation as what it is made of; the rest derives from it."""
    if isinstance(value, Loaded):
        return value.operators, value.context_json
    raise NotImplementedError(f"a {type(value).__name__} is no part of a tree")


_ENCODER: Final = msgspec.msgpack.Encoder(enc_hook=_operators)


class Digest:
    """SHA-256 over a partition's state, the same for every way that leads to it.

    Trees that end enter in the order in which they do; those that are open at the end, in the order of their
    ids. Both follow from the facts alone.
    """

    def __init__(self) -> None:
        self._over = sha256()

    def cause_done(self, shard: Shard) -> None:
        """Take in what is over of the trees that had a fact by the cause just done."""
        for root_id in shard.touched:
            closed = shard.just_closed.get(root_id)
            if closed is not None:
                self._over.update(_closed_line(root_id, closed))
        shard.touched.clear()

    def finish(self, shard: Shard) -> str:
        """The digest with all that is open, lowercase hex."""
        digest = self._over.copy()
        for root_id in sorted(shard.trees):
            digest.update(_open_line(shard.trees[root_id]))
        digest.update(b"position %d" % shard.position)
        return digest.hexdigest()


def state_digest(shard: Shard) -> str:
    """SHA-256 of what is open in a shard, lowercase hex: to compare a running one with its replay."""
    digest = sha256()
    for root_id in sorted(shard.trees):
        digest.update(_open_line(shard.trees[root_id]))
    return digest.hexdigest()


@dataclass(slots=True)
class PartitionState:
    """What the facts of one partition add up to.

    Attributes:
        partition: Which.
        facts: How many were folded.
        trees: Trees by status, those that hold refusals alone as `ABSENT`.
        open_trees: Trees still open.
        end_offset: Facts before this offset were folded.
        digest: SHA-256 of the state, hex; equal for two replays that came to the same.
    """

    partition: int
    facts: int = 0
    trees: Counter[str] = field(default_factory=Counter[str])
    open_trees: int = 0
    end_offset: int = 0
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What the facts of all partitions add up to.

    Attributes:
        partitions: By number.
    """

    partitions: tuple[PartitionState, ...]

    @property
    def facts(self) -> int:
        """Facts folded."""
        return sum(p.facts for p in self.partitions)

    @property
    def digest(self) -> str:
        """SHA-256 over the partitions' digests, hex."""
        return sha256("\n".join(f"{p.partition} {p.digest}" for p in self.partitions).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The summary as `octolog replay --json` prints it."""
        trees = sum((p.trees for p in self.partitions), Counter[str]())
        return {
            "facts": self.facts,
            "trees": dict(sorted(trees.items())),
            "open_trees": sum(p.open_trees for p in self.partitions),
            "digest": self.digest,
            "partitions": [msgspec.to_builtins(p) for p in self.partitions],
        }


def rebuild(
    source: Source, *, until: Positions | None = None, progress: Progress | None = None, processes: int = 1
) -> Rebuilt:
    """Fold every partition's facts, from the first.

    Args:
        source: The log.
        until: Facts before these offsets; None: all there are. From `reader.at_time([TASKS], ...)` for a time.
        progress: Called with offsets read and offsets there are.
        processes: How many processes share the partitions; with more than one, `source` is pickled.

    Raises:
        LogCorrupted: When a fact cannot be read, was edited, or is out of its place.
        BrokerUnavailable: When Kafka does not answer.
    """
    with closing(source.reader()) as reader:
        ends = {**reader.ends([TASKS]), **(until or {})}
    shares = sorted((partition, end) for (topic, partition), end in ends.items() if topic == TASKS)
    total, counts = sum(end for _, end in shares), dict[int, int]()

    def tell(partition: int, offset: int) -> None:
        counts[partition] = offset
        if progress is not None:
            progress(sum(counts.values()), total)

    return Rebuilt(tuple(in_processes(_fold_share, source, shares, tell, processes)))


def _fold_share(source: Source, shares: list[tuple[int, int]], tell: Told) -> list[PartitionState]:
    codec, states = source.codec(), []
    for number, end in shares:
        with TemporaryDirectory(prefix="octolog-replay-") as folder, closing(source.reader()) as reader:
            states.append(_fold(reader, codec, number, end, Path(folder), partial(tell, number)))
    return states


def _fold(
    reader: LogReader, codec: Codec, partition: int, end: int, folder: Path, tell: Callable[[int], None]
) -> PartitionState:
    with closing(ClosedIndex(folder / "closed.sqlite")) as index:
        folding = _Folding(partition, index)
        folding.state.end_offset = end
        for batch in reader.read({(TASKS, partition): 0}, until={(TASKS, partition): end}):
            for record in batch:
                place = f"{TASKS}/{partition}@{record.offset}"
                folding.add(checked(codec, record.value, folding.shard.position, place))
            tell(batch[-1].offset)
        tell(end)
        return folding.finish()


class _Folding:
    """One partition's state, fact by fact."""

    def __init__(self, partition: int, index: ClosedIndex) -> None:
        self.state = PartitionState(partition)
        self.shard = Shard(_decides_nothing, _decides_nothing, index)
        self._index, self._digest = index, Digest()
        self._cause = ("", -1)

    def add(self, recorded: RecordedFact) -> None:
        link = recorded.link
        cause = link.cause_topic, link.cause_offset
        if cause != self._cause:
            self._cause_done()
            self._cause = cause
        before = self._status(link.root_task_id) if link.seq else None
        self.shard.refold(recorded.fact, link, recorded.hash)
        self.state.facts += 1
        after = self._status(link.root_task_id)
        if before is not after:
            self.state.trees[after.value] += 1
            if before is not None:
                self.state.trees[before.value] -= 1

    def finish(self) -> PartitionState:
        self._cause_done()
        self.state.trees = +self.state.trees  # drops what counts zero
        self.state.open_trees = len(self.shard.trees)
        self.state.digest = self._digest.finish(self.shard)
        return self.state

    def _cause_done(self) -> None:
        self._digest.cause_done(self.shard)
        if len(self.shard.just_closed) > _FLUSH_EVERY:
            self._index.put(self.shard.just_closed, 0)
            self.shard.just_closed.clear()

    def _status(self, root_id: TaskId) -> TreeStatus:
        if root_id in self.shard.trees:
            return TreeStatus.OPEN
        closed = self.shard.just_closed.get(root_id) or self._index.get(root_id)
        return TreeStatus.ABSENT if closed is None else closed.status


def checked(codec: Codec, value: bytes | None, position: int, place: str) -> RecordedFact:
    """A fact as recorded, when its hash is right and it is the one that must come here.

    Raises:
        LogCorrupted: When it is not.
    """
    try:
        recorded = codec.decode(value)
    except UndecodableRecord as error:
        raise LogCorrupted(f"{place}: {error}") from error
    if not isinstance(recorded, RecordedFact):
        raise LogCorrupted(f"{place}: a {type(recorded).__name__} is no fact")
    if recorded.hash != recorded.computed:
        raise LogCorrupted(f"{place}: the fact was edited; its hash does not fit its bytes")
    if recorded.link.position != position:
        raise LogCorrupted(f"{place}: fact {recorded.link.position} of the partition, not {position}")
    return recorded


def _open_line(entry: OpenTree) -> bytes:
    # Dicts keep the order of the facts that filled them; a set has no order, so it goes in sorted.
    state = _ENCODER.encode(_State(replace(entry.tree, seen=set()), sorted(entry.tree.seen), entry.ready))
    return b"".join((entry.tree.root_id.encode(), b"\0open\0", b"%d\0" % entry.seq, entry.head, state))


def _closed_line(root_id: TaskId, closed: ClosedTree) -> bytes:
    text = f"{root_id}\0{closed.status}\0{closed.seq}\0".encode()
    return b"".join((text, closed.head, closed.seen))


def _decides_nothing(*_: object) -> Any:
    raise AssertionError("a fold decides nothing")
