"""Deciding the whole log again: all partitions, in one process or several."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from octolog.ports import LogReader, LogRecord, Positions, Progress
from schemas.codec import Codec
from streams.replay.dead_letters import DeadLetters
from streams.replay.hash_pass import HashesReport, verify_hashes
from streams.replay.memories import MemoryIndex, memory_ends, settle
from streams.replay.one_partition import Ends, PartitionCheck
from streams.replay.registry_history import RegistryHistory
from streams.replay.report import PartitionReport, Report
from streams.replay.shares import Told, ask_partitions, in_processes
from streams.replay.source import Source
from streams.topics import ARMS, DEAD_LETTERS, INPUTS, MEMORY, TASKS

__all__ = ["verify"]


def verify(
    source: Source,
    *,
    partitions: Iterable[int] | None = None,
    until: Positions | None = None,
    committed: Positions | None = None,
    progress: Progress | None = None,
    processes: int = 1,
    memories: bool = True,
    copy: bool = False,
) -> Report:
    """Decide every fact again from its cause, compare byte for byte, and account for every input.

    Before that, hashes, chains, positions and checkpoints are checked from the bytes alone (`verify_hashes`).
    Each fact's bytes hold its link, the hash of the fact before and its own hash: equal bytes prove all of
    them. The work on a partition ends at the first fact that differs, because what follows hangs on it.

    Args:
        source: The log.
        partitions: Which; None: all.
        until: Facts before these offsets; None: all there are.
        committed: The task processor's positions: inputs before them must be accounted for. None, or with
            `until`: those up to the last cause of each topic. Read them before the call, while it runs on.
        progress: Called with facts checked and an estimate of how many there are.
        processes: How many processes share the partitions; with more than one, `source` is pickled.
        memories: Whether memories that facts ask for are decided again too.
        copy: True for a copy of a log that went on: memories of facts behind its end are no fault.

    Raises:
        NotFound: When a topic or a partition is not there.
        BrokerUnavailable: When Kafka does not answer.
    """
    started_s = time.monotonic()
    ends = _ends(source, until, committed)
    wanted = ask_partitions(ends.ends, partitions)
    everywhere = len(wanted) == sum(topic == TASKS for topic, _ in ends.ends)
    ends = replace(ends, everywhere=everywhere, memories=memories, copy=copy)
    total = sum(ends.ends[TASKS, number] for number in wanted)
    counts: dict[int, int] = {}

    def tell(partition: int, facts: int) -> None:
        counts[partition] = facts
        if progress is not None:
            progress(sum(counts.values()), total)

    hashes = verify_hashes(source, partitions=wanted, until=until, processes=processes)
    ends = replace(ends, cleared={said.partition: said.right_before for said in hashes.partitions})
    reports = in_processes(partial(check_partitions, ends=ends), source, wanted, tell, processes)
    _take_in(hashes, reports)
    settle(reports)
    return Report(tuple(reports), time.monotonic() - started_s)


def _take_in(hashes: HashesReport, reports: list[PartitionReport]) -> None:
    """Add what the hashes alone tell; where deciding again finds a fault too, it says more of it."""
    by_number = {report.partition: report for report in reports}
    for said in hashes.partitions:
        report = by_number[said.partition]
        report.checkpoints = said.checkpoints
        # Where a memory is missing, the work went on behind the fact that asked for it.
        found = {
            difference.offset
            for difference in report.differences
            if difference.topic == TASKS and difference.kind != "memory-missing"
        }
        if said.difference is not None and said.difference.offset < min(
            found, default=said.difference.offset + 1
        ):
            report.add_difference(said.difference)
    if reports and reports[0].partition == 0:  # what is about no partition is told once
        for fault in hashes.faults:
            reports[0].add_difference(fault)


def check_partitions(
    source: Source, partitions: list[int], tell: Told, *, ends: Ends
) -> list[PartitionReport]:
    """Check some partitions, one after the other, in this process."""
    codec = source.codec()
    letters, registry = DeadLetters(codec), RegistryHistory(codec)
    of_registry = PartitionReport(-1)
    with closing(source.reader()) as reader:
        _each(reader, DEAD_LETTERS, ends.ends, letters.add)
        for difference in letters.undecodable:
            of_registry.add_difference(difference)
        for batch in _batches(reader, ARMS, ends.ends):
            registry.add(batch)
            for record in batch:
                for difference in letters.differences(record):
                    of_registry.add_difference(difference)
        for difference in registry.faults:
            of_registry.add_difference(difference)
        remembered = _remembered(reader, codec, ends)
    reports = []
    for partition in partitions:
        with TemporaryDirectory(prefix="octolog-verify-") as folder:
            check = PartitionCheck(
                partition, source.reader, codec, registry, letters, Path(folder), ends, remembered
            )
            report = check.run(lambda facts, partition=partition: tell(partition, facts))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        tell(partition, report.facts)
        reports.append(report)
    if reports and 0 in partitions:  # what is about no partition is told once
        for difference in of_registry.differences:
            reports[0].add_difference(difference)
    return reports


def _remembered(reader: LogReader, codec: Codec, ends: Ends) -> MemoryIndex | None:
    """What was remembered, read to its end as it is now: the facts that asked for it were there before."""
    if not ends.memories:
        return None
    index = MemoryIndex(codec, sum(topic == TASKS for topic, _ in ends.ends))
    _each(reader, MEMORY, memory_ends(reader), index.add)
    return index


def _ends(source: Source, until: Positions | None, committed: Positions | None) -> Ends:
    with closing(source.reader()) as reader:
        ends = reader.ends([TASKS])
        for place, end in (until or {}).items():
            ends[place] = min(end, ends.get(place, 0))
        ends |= reader.ends([*INPUTS, ARMS, DEAD_LETTERS])
    return Ends(ends, committed if committed is not None and until is None else {}, until is not None)


def _batches(reader: LogReader, topic: str, ends: Positions) -> Iterable[list[LogRecord]]:
    start = {place: 0 for place in ends if place[0] == topic}
    until = {place: end for place, end in ends.items() if place[0] == topic and end > 0}
    return reader.read(start, until=until) if until else []


def _each(reader: LogReader, topic: str, ends: Positions, use: Callable[[list[LogRecord]], None]) -> None:
    for batch in _batches(reader, topic, ends):
        use(batch)
