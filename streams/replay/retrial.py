"""The task processor with a record of what was decided before it: it compares instead of writing."""

from __future__ import annotations

from typing import Any, Final

from octolog.domain import facts as f
from octolog.domain.chain import HASH_BYTES, Link
from octolog.domain.defaults import LEASE_MS, WINDOW
from octolog.domain.errors import UndecodableRecord
from octolog.domain.ids import TaskId
from octolog.domain.reports import AttemptHeartbeat, AttemptStarted
from octolog.domain.shard import ClosedTrees, Input, Shard
from octolog.domain.task.decide import decide
from octolog.domain.task.ledger import RESOURCES, ZERO, Vector, add, bounds, vector
from octolog.domain.task.state import Tree
from octolog.domain.upkeep import TimerFired, TimerKind
from octolog.ports import LogRecord
from schemas.codec import Codec, RecordedFact
from schemas.fact_bytes import Origin, Origins, Settings
from schemas.json_schema import fault_in
from streams.processors.task import TaskProcessor
from streams.replay.counted_calls import CountedCalls
from streams.replay.cursor import Cursor
from streams.replay.memories import RememberedMemories
from streams.replay.report import Difference, PartitionReport, fields_that_differ
from streams.topics import TASKS

_UNKNOWN: Final = Origin("", -1, Settings(0, 0, 0, 0), None, 0)

_BOOKED: Final = frozenset(
    {f.AttemptEnded, f.TaskCompleted, f.TaskFailed, f.TaskCancelled, f.MemoriesAccepted}
)
"""Facts that the books of a tree depend on, or that records in other topics follow from."""

_TASK_ENDS: Final = (f.TaskCompleted, f.TaskFailed, f.TaskCancelled)

_SIGNS_OF_LIFE: Final = (AttemptStarted, AttemptHeartbeat)
"""Inputs that mostly lead to nothing: what they mean depends on the moment, which only a fact records."""


class Differs(Exception):
    """The log and its inputs disagree; ends the work on a partition."""

    def __init__(self, difference: Difference) -> None:
        super().__init__(difference)
        self.difference = difference


class EndOfFacts(Exception):
    """More follows from an input than lies before the end asked for."""


class Retrial(TaskProcessor):
    """One partition, decided again.

    Args:
        partition: Which.
        codec: Encodes and decodes.
        facts: The facts as recorded.
        closed: Trees that are over.
        report: Counts.
        cut: True when the facts are read up to a point and not to their end.
        cleared: Facts before this offset have the hash that fits their bytes.
        calls: What was counted for circuit breakers.
        memories: What was remembered; None: nothing of it is looked at.
    """

    def __init__(  # noqa: PLR0913 -- one for each thing that decisions are held against
        self,
        partition: int,
        codec: Codec,
        facts: Cursor,
        closed: ClosedTrees,
        report: PartitionReport,
        *,
        cut: bool,
        cleared: int,
        calls: CountedCalls,
        memories: RememberedMemories | None = None,
    ) -> None:
        # What the engine was set to comes with every fact.
        super().__init__(partition, codec, _never, closed, window=WINDOW, lease_ms=LEASE_MS)
        self.shard = Shard(
            self._record,
            None,
            closed,
            fault_in=fault_in,
            remember=None if memories is None else memories.expect,
        )
        self._facts, self._closed_trees, self._report, self._cut = facts, closed, report, cut
        self._cleared, self._calls, self._memories = cleared, calls, memories
        self._settled: dict[TaskId, Vector] = {}
        self._origins = Origins(codec)
        self._first: LogRecord | None = None
        self._origin = _UNKNOWN
        self._settings: Settings | None = None
        self._looked_at: dict[str, tuple[int, Input]] = {}

    def command(self, record: LogRecord) -> Input:
        """The input as the processor reads it; one that `quiet` looked at is not read again.

        Raises:
            UndecodableRecord: For what the processor would refuse.
        """
        known = self._looked_at.get(record.topic)
        return known[1] if known is not None and known[0] == record.offset else self._command(record)

    def quiet(self, record: LogRecord) -> bool:
        """True when nothing follows from an input now: it repeats one that had its effect, or is a sign of life."""
        try:
            command = self.command(record)
        except UndecodableRecord:
            return False
        self._looked_at[record.topic] = record.offset, command
        if isinstance(command, _SIGNS_OF_LIFE) or _is_news(command):
            return True
        tree = self.tree(command.root_task_id)
        if tree is None:  # a request starts it or is refused, a report is a dead letter
            return isinstance(command, TimerFired)
        return next(decide(tree, command, record.timestamp_ms), None) is None

    def tree(self, root_id: TaskId) -> Tree | None:
        """A tree as it is now; of one that is over, only what refuses repeats; None when it has no fact."""
        entry = self.shard.trees.get(root_id)
        return entry.tree if entry is not None else self._over(root_id)

    def expected(self, position: int) -> tuple[LogRecord, Origin] | None:
        """The next fact's record and origin; None at the end. Its bytes are compared once it was decided again.

        Raises:
            Differs: When it cannot be read, or is not the partition's fact number `position`.
        """
        record = self._facts.peek()
        if record is None:
            return None
        if record.offset < self._cleared and record.value is not None:  # its number is right
            origin = self._origins.of(record.value)
        else:
            recorded = self.recorded(record)
            link = recorded.link
            if link.position != position:
                raise Differs(out_of_place(record, recorded, position))
            settings = Settings(link.registry_offset, link.rules, link.window, link.lease_ms)
            origin = Origin(link.cause_topic, link.cause_offset, settings, None, 0)
        self._first, self._origin = record, origin
        return record, origin

    def set_as(self, settings: Settings) -> None:
        """Decide from here on as the engine was set for a fact."""
        if settings is not self._settings:
            self.shard.configure(window=settings.window, lease_ms=settings.lease_ms)
            self._settings = settings

    def _over(self, root_id: TaskId) -> Tree | None:
        known = self.shard.just_closed.get(root_id) or self._closed_trees.get(root_id)
        if known is None:
            return None
        seen = {known.seen[i : i + 8] for i in range(0, len(known.seen), 8)}
        return Tree(root_id, known.status, seen=seen)

    def _record(self, fact: f.Fact, link: Link) -> bytes:
        record = self._facts.take()
        if record is None:
            if self._cut:
                raise EndOfFacts
            raise Differs(self._missing(fact, link))
        if record.offset < self._cleared and self._is_same(record, fact, link):
            digest = record.value[-HASH_BYTES:]  # type: ignore[index]  # it has a value
        else:
            digest = self._compared(record, fact, link)
        report = self._report
        report.facts += 1
        if not link.seq:
            report.trees += 1
        if type(fact) in _BOOKED:
            self._settle(record, fact, link)
        return digest

    def _is_same(self, record: LogRecord, fact: f.Fact, link: Link) -> bool:
        """True when a recorded fact, whose hash and place were checked, has the bytes that it must have."""
        value, origin = record.value or b"", self._origin
        if origin.middle is None:
            return False
        try:
            if record is self._first:  # what comes from its own link needs no comparison but whose it is
                same = record.key == link.root_task_id.encode()
                return same and self._origins.is_first(value, fact, origin)
            return self._origins.is_fact(value, fact, link, origin.middle)
        except Exception:  # noqa: BLE001 -- whatever keeps it from being written, the closer look says it
            return False

    def _compared(self, record: LogRecord, fact: f.Fact, link: Link) -> bytes:
        """The hash of a recorded fact; the same fact by another version's schema is right, whatever its bytes."""
        value, digest = self._codec.encode_fact(fact, link)
        if record.value == value and record.key == link.root_task_id.encode():
            return digest
        recorded = self.recorded(record)
        if recorded.link.position != link.position:
            raise Differs(out_of_place(record, recorded, link.position))
        if recorded.fact == fact and recorded.link == link:
            if record.key != link.root_task_id.encode():
                raise Differs(
                    _difference(record, recorded, "edited", f"the key is not {link.root_task_id!r}")
                )
            return recorded.hash
        fields = (
            *fields_that_differ(recorded.link, link, "link."),
            *fields_that_differ(recorded.fact, fact),
        )
        names = ", ".join(field.field for field in fields)
        message = (
            f"{type(fact).__name__} follows from {link.cause_topic}@{link.cause_offset}; differs in {names}"
        )
        raise Differs(_difference(record, recorded, "decided-differently", message, fields))

    def recorded(self, record: LogRecord) -> RecordedFact:
        """A fact as recorded.

        Raises:
            Differs: When it cannot be read, or its hash does not fit its bytes.
        """
        try:
            recorded = self._codec.decode(record.value)
            if not isinstance(recorded, RecordedFact):
                raise UndecodableRecord(f"a {type(recorded).__name__} is no fact")
        except UndecodableRecord as error:
            raise Differs(
                Difference(
                    TASKS, record.partition, record.offset, _name(record.key), None, "undecodable", str(error)
                )
            ) from error
        if recorded.hash != recorded.computed:
            said, found = recorded.hash.hex()[:16], recorded.computed.hex()[:16]
            message = f"the fact says its hash is {said}..., its bytes give {found}..."
            raise Differs(_difference(record, recorded, "edited", message))
        return recorded

    def _missing(self, fact: f.Fact, link: Link) -> Difference:
        what = (
            f"{type(fact).__name__} follows from {link.cause_topic}@{link.cause_offset} and is not in the log"
        )
        return Difference(
            TASKS, self.partition, self._facts.end, link.root_task_id, link.seq, "missing", what
        )

    def _settle(self, record: LogRecord, fact: f.Fact, link: Link) -> None:
        root_id = link.root_task_id
        if isinstance(fact, f.AttemptEnded):
            self._settled[root_id] = add(self._settled.get(root_id, ZERO), vector(fact.settled))
            miscounted = self._calls.fault(record, fact, link)
            if miscounted is not None:
                self._report.add_difference(miscounted)
        elif isinstance(fact, f.MemoriesAccepted):
            if self._memories is not None:
                self._memories.of(record, link.seq)
        elif isinstance(fact, _TASK_ENDS) and fact.task_id == root_id:
            tree = self.shard.trees[root_id].tree  # filed as over once all facts of this decision are out
            fault = self._account(tree, self._settled.pop(root_id, ZERO))
            if fault is not None:
                self._report.add_difference(
                    Difference(TASKS, record.partition, record.offset, root_id, link.seq, "settlement", fault)
                )

    def _account(self, tree: Tree, settled: Vector) -> str | None:
        """What is wrong with the books of a tree that ends now."""
        ledger = tree.ledger
        if ledger.reserved != ZERO:
            return f"the tree ended with {ledger.reserved} reserved"
        if ledger.settled != settled:
            return f"{ledger.settled} is settled, its attempts' ends add up to {settled}"
        over = [
            f"{resource.lower()} {used} of {limit}"
            for resource, used, limit in zip(RESOURCES, settled, bounds(ledger.limits), strict=True)
            if limit is not None and used > limit
        ]
        self._report.overspent_trees += bool(over)
        if over and ledger.exhausted is None:
            return f"overspent and not ended for it: {', '.join(over)}"
        return None


def out_of_place(record: LogRecord, recorded: RecordedFact, position: int) -> Difference:
    """A fact that is not the one that must come here."""
    link = recorded.link
    if link.position > position:
        count = link.position - position
        message = (
            f"facts {position} to {link.position - 1} of the partition ({count}) are missing before this one"
        )
        return _difference(record, recorded, "missing", message)
    message = f"fact {link.position} of the partition stands here again; fact {position} must come here"
    return _difference(record, recorded, "repeated", message)


def _difference(
    record: LogRecord, recorded: RecordedFact, kind: str, message: str, fields: tuple[Any, ...] = ()
) -> Difference:
    link = recorded.link
    return Difference(
        TASKS, record.partition, record.offset, link.root_task_id, link.seq, kind, message, fields
    )


def _name(key: bytes | None) -> str | None:
    return None if key is None else key.decode(errors="replace")


def _never(*_: object) -> None:
    raise AssertionError("a replay writes nothing")


def _is_news(command: Input) -> bool:
    """True for the word that the registry changed: which registry was read then, only a fact records."""
    return isinstance(command, TimerFired) and command.kind is TimerKind.REGISTRY
