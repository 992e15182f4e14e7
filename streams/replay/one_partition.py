"""The verification of one partition: its facts and its inputs, side by side."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from octolog.domain.chain import RULES
from octolog.domain.errors import InvalidContract, UndecodableRecord
from octolog.domain.ids import TaskId
from octolog.domain.rules import check_report
from octolog.domain.shard import ClosedTree
from octolog.ports import LogReader, LogRecord, Positions
from schemas.codec import Codec
from schemas.fact_bytes import Origin
from streams.closed_index import ClosedIndex
from streams.replay.counted_calls import CountedCalls
from streams.replay.cursor import Cursor
from streams.replay.dead_letters import PROCESSOR, DeadLetters, Letter
from streams.replay.fold import Digest
from streams.replay.inputs import InputWalk
from streams.replay.memories import MemoryIndex, RememberedMemories
from streams.replay.registry_history import RegistryHistory
from streams.replay.report import Difference, Lost, PartitionReport
from streams.replay.retrial import Differs, EndOfFacts, Retrial
from streams.topics import CONTRACTS, INPUTS, MEMORY, TASKS, TIMERS

_UPKEEP_EVERY: Final = 20_000
"""Causes after which what only a live processor needs is let go."""

_PROGRESS_EVERY: Final = 5_000

_MARKS: Final = 1 << 22
"""Bytes in which closed trees leave a mark: of 100,000 trees one in forty that is not among them asks the disk."""


@dataclass(frozen=True, slots=True)
class Ends:
    """How far to read.

    Attributes:
        ends: The end of every topic as it was at the start, facts cut where that was asked for.
        committed: Inputs before these offsets must be accounted for.
        cut: True when the facts are read up to a point and not to their end.
        cleared: By partition: facts before this offset have the hash that fits their bytes.
        everywhere: True when no partition of the facts is left out.
        memories: Whether the log has what was remembered; a bundle of a version before has not.
        copy: True for a copy of a log that went on behind its end.
    """

    ends: Positions
    committed: Positions
    cut: bool
    cleared: Mapping[int, int] = field(default_factory=dict[int, int])
    everywhere: bool = True
    memories: bool = True
    copy: bool = False


class _Closed(ClosedIndex):
    """The index of one run: a tree that it cannot have never asks the disk. Most are asked for as they begin."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._marks = bytearray(_MARKS)

    def get(self, root_id: TaskId) -> ClosedTree | None:
        """The tree, or None when it never was or is open."""
        return super().get(root_id) if self._marks[hash(root_id) % _MARKS] else None

    def put(self, trees: Mapping[TaskId, ClosedTree], facts_offset: int) -> None:
        """Add trees."""
        for root_id in trees:
            self._marks[hash(root_id) % _MARKS] = 1
        super().put(trees, facts_offset)


class PartitionCheck:
    """One partition.

    Args:
        partition: Which.
        open_reader: Makes readers; one for each topic.
        codec: Encodes and decodes.
        registry: The registry's history.
        letters: Dead letters of the whole log.
        folder: Where the index of closed trees may lie.
        ends: How far to read.
        remembered: What `octolog.memory` says of facts; None: it is not looked at.
    """

    def __init__(
        self,
        partition: int,
        open_reader: Callable[[], LogReader],
        codec: Codec,
        registry: RegistryHistory,
        letters: DeadLetters,
        folder: Path,
        ends: Ends,
        remembered: MemoryIndex | None = None,
    ) -> None:
        self.report = PartitionReport(partition)
        self._registry, self._letters, self._ends = registry, letters, ends
        self._index = _Closed(folder / f"closed-{partition}.sqlite")
        self._digest = Digest()
        self._facts = Cursor(open_reader, TASKS, partition, ends.ends.get((TASKS, partition), 0))
        self._calls = CountedCalls(registry.calls.get(partition, {}))
        self._memories: RememberedMemories | None = None
        if remembered is not None:
            everywhere = ends.everywhere and not ends.cut
            self._memories = RememberedMemories(
                remembered,
                codec,
                open_reader,
                self.report,
                refused=letters.places(MEMORY),
                everywhere=everywhere,
                copy=ends.copy,
            )
        self._retrial = Retrial(
            partition,
            codec,
            self._facts,
            self._index,
            self.report,
            cut=ends.cut,
            cleared=ends.cleared.get(partition, 0),
            calls=self._calls,
            memories=self._memories,
        )
        self._walks = {topic: self._walk(open_reader, topic, partition) for topic in INPUTS}
        self._contracts = self._walks[CONTRACTS]
        self._letters_left = {topic: letters.of(topic, partition) for topic in INPUTS}

    def run(self, progress: Callable[[int], None]) -> PartitionReport:
        """Check everything; `progress` is called with the number of facts now and then."""
        collects = gc.isenabled()
        gc.disable()  # states are trees without cycles; what has some is collected now and then
        try:
            whole = self._decide(progress)
            if self._memories is not None:
                self._remembered(self._memories, whole=whole)
        finally:
            if collects:
                gc.enable()
            self.report.open_trees = len(self._retrial.shard.trees)
            self._facts.close()
            for walk in self._walks.values():
                walk.cursor.close()
            self._index.close()
        return self.report

    def _decide(self, progress: Callable[[int], None]) -> bool:
        """Decide every fact again, and account for every input; False when a difference ended the work."""
        try:
            self._all_causes(progress)
            self._account_for_the_rest()
            for miscounted in self._calls.without_end(self._retrial.shard.position):
                self.report.add_difference(miscounted)
            self.report.state_digest = self._digest.finish(self._retrial.shard)
        except Differs as differs:
            self.report.add_difference(differs.difference)
            return False
        except EndOfFacts:
            pass
        return True

    def _remembered(self, memories: RememberedMemories, *, whole: bool) -> None:
        memories.finish()
        if whole:
            retrial = self._retrial
            memories.without_fact(
                retrial.shard.position, self._ends.ends, lambda root_id: retrial.tree(root_id) is not None
            )

    def _walk(self, open_reader: Callable[[], LogReader], topic: str, partition: int) -> InputWalk:
        cursor = Cursor(open_reader, topic, partition, self._ends.ends.get((topic, partition), 0))
        return InputWalk(cursor, self._retrial.quiet, self._has_letter, self._passed_over)

    def _all_causes(self, progress: Callable[[int], None]) -> None:
        shard, shown = self._retrial.shard, 0
        self._contracts.look_ahead()
        while (found := self._retrial.expected(shard.position)) is not None:
            self._one_cause(*found)
            self.report.causes += 1
            if self.report.causes % _UPKEEP_EVERY == 0:
                self._let_go()
            if self.report.facts - shown >= _PROGRESS_EVERY:
                shown = self.report.facts
                progress(shown)

    def _one_cause(self, first: LogRecord, origin: Origin) -> None:
        shard, walk, offset = self._retrial.shard, self._walks.get(origin.cause_topic), origin.cause_offset
        before = shard.position
        if walk is None:
            raise self._no_cause(first, origin, "is no input of the task processor")
        if offset <= walk.last_cause:
            raise self._no_cause(
                first, origin, f"was decided before, or after its successor @{walk.last_cause}"
            )
        cause = walk.cause(offset)
        if cause is None:
            raise self._no_cause(
                first, origin, "is not in the log (was it edited, or its retention too short?)"
            )
        settings = origin.settings
        registry = self._registry.as_of(settings.registry_offset)
        if registry is None:
            raise self._no_cause(
                first, origin, f"knew octolog.arms@{settings.registry_offset}, which is not in the log"
            )
        if settings.rules != RULES:
            raise self._no_cause(
                first, origin, f"was decided by rules {settings.rules}; this octolog knows {RULES}"
            )
        letters = self._seen(cause)
        self._retrial.set_as(settings)
        try:
            shard.react(cause.topic, offset, cause.timestamp_ms, self._retrial.command(cause), registry)
        except (UndecodableRecord, InvalidContract) as error:
            raise self._no_cause(first, origin, f"cannot be used: {error}") from error
        if shard.position == before:
            kind = type(self._retrial.recorded(first).fact).__name__
            raise self._no_cause(first, origin, f"leads to nothing; {kind} is recorded")
        if letters and _by_processor(letters):
            self._letter_fault(cause, "is about an input that has facts")
        self._digest.cause_done(shard)
        if walk is self._contracts:
            walk.look_ahead()  # elsewhere quiet comes late and stays: nothing of an attempt counts after it

    def _no_cause(self, first: LogRecord, origin: Origin, why: str) -> Differs:
        try:
            link = self._retrial.recorded(first).link  # an edited fact may name anything
        except Differs as differs:
            return differs
        message = f"the cause {origin.cause_topic}/{first.partition}@{origin.cause_offset} {why}"
        return Differs(
            Difference(TASKS, first.partition, first.offset, link.root_task_id, link.seq, "no-cause", message)
        )

    def _let_go(self) -> None:
        """Closed trees, from memory to disk."""
        shard = self._retrial.shard
        self._index.put(shard.just_closed, 0)
        shard.just_closed.clear()
        gc.collect(1)

    # Inputs without facts

    def _account_for_the_rest(self) -> None:
        for topic, walk in self._walks.items():
            end = self._ends.committed.get((topic, self.report.partition), walk.last_cause + 1)
            walk.finish(end)
            for offset, letters in self._letters_left[topic].items():
                if offset < end and topic != TIMERS:  # timers are not kept for ever
                    for letter in letters:
                        message = f"names {topic}/{self.report.partition}@{offset}, which is not in the log"
                        self._add_letter_fault(letter.partition, letter.offset, message)

    def _has_letter(self, record: LogRecord) -> bool:
        return _by_processor(self._letters.about(record))

    def _seen(self, record: LogRecord) -> list[Letter] | None:
        """Count an input and the letters about it; returns those."""
        self.report.inputs_checked += 1
        left = self._letters_left[record.topic]
        if not left or (letters := left.pop(record.offset, None)) is None:
            return None
        self.report.dead_letters += len(letters)
        for difference in self._letters.differences(record):
            self.report.add_difference(difference)
        return letters

    def _passed_over(self, record: LogRecord, was_quiet: bool) -> None:  # noqa: FBT001 -- a callback
        self._seen(record)
        if was_quiet:
            return
        if self._has_letter(record):
            fault = self._wrongly_refused(record)
            if fault is not None:
                self._letter_fault(record, fault)
            return
        try:
            command = self._retrial.command(record)
        except UndecodableRecord as error:
            self._lost(record, f"has no dead letter, and cannot be used: {error}")
            return
        if not self._retrial.quiet(record):
            self._lost(record, f"a {type(command).__name__} without a fact, and no repeat of one that has")

    def _wrongly_refused(self, record: LogRecord) -> str | None:
        """Why a record with a dead letter should have been used; None when it was refused rightly."""
        try:
            command = self._retrial.command(record)
            if record.topic not in (CONTRACTS, TIMERS):
                check_report(command)  # type: ignore[arg-type]  # the topic carries reports alone
        except (UndecodableRecord, InvalidContract):
            return None
        letters = self._letters.about(record)
        if any(letter.reason.startswith(("TASK_NOT_FOUND", "INVALID_TASK_ID")) for letter in letters):
            return None  # the tree may have come later
        return f"refuses a {type(command).__name__} that can be used"

    def _lost(self, record: LogRecord, reason: str) -> None:
        tree = None if record.key is None else record.key.decode(errors="replace")
        self.report.add_lost(Lost(record.topic, record.partition, record.offset, tree, reason))

    def _letter_fault(self, record: LogRecord, message: str) -> None:
        for letter in self._letters.about(record):
            self._add_letter_fault(letter.partition, letter.offset, message)

    def _add_letter_fault(self, partition: int, offset: int, message: str) -> None:
        self.report.add_difference(
            Difference("octolog.dead-letters", partition, offset, None, None, "dead-letter", message)
        )


def _by_processor(letters: list[Letter]) -> bool:
    """Whether the task processor refused what the letters are about."""
    return any(letter.consumer == PROCESSOR for letter in letters) if letters else False
