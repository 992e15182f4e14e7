"""Sharing the partitions of a replay among processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Protocol, TypeAlias, TypeVar

from octolog.domain.errors import NotFound
from octolog.ports import Positions
from streams.replay.source import Source
from streams.topics import TASKS

Told: TypeAlias = Callable[[int, int], None]
"""Called with a partition and the facts done in it."""


class Done(Protocol):
    """A report about a partition."""

    partition: int
    facts: int


S = TypeVar("S")
R = TypeVar("R", bound=Done)


def in_processes(
    work: Callable[[Source, list[S], Told], list[R]],
    source: Source,
    shares: list[S],
    tell: Told,
    processes: int,
) -> list[R]:
    """Do `work` on all shares at once, or with several processes on each of them in one of those.

    Args:
        work: A function of a module, so that other processes can call it.
        source: The log; pickled for other processes.
        shares: What to work on, one partition each.
        tell: Hears of progress; from other processes when a share is done.
        processes: How many, at most.

    Returns:
        The reports, by partition.
    """
    found: list[R] = []
    if processes < 2 or len(shares) < 2:  # noqa: PLR2004 -- alone
        found = work(source, shares, tell)
    else:
        context = multiprocessing.get_context(
            "spawn"
        )  # a fork would inherit the threads of open Kafka clients
        with ProcessPoolExecutor(min(processes, len(shares)), mp_context=context) as pool:
            for done in as_completed([pool.submit(work, source, [share], silent) for share in shares]):
                for report in done.result():
                    tell(report.partition, report.facts)
                    found.append(report)
    return sorted(found, key=lambda report: report.partition)


def ask_partitions(ends: Positions, partitions: Iterable[int] | None) -> list[int]:
    """The partitions of the facts that were asked for, in order.

    Raises:
        NotFound: When one is not there.
    """
    there = sorted(number for topic, number in ends if topic == TASKS)
    wanted = there if partitions is None else sorted(set(partitions))
    strange = [number for number in wanted if number not in there]
    if strange:
        raise NotFound(f"{TASKS} has no partition {strange[0]}; it has {len(there)}")
    return wanted


def silent(_: int, __: int) -> None:
    """Progress is told by the process that waits."""
