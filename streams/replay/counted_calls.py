"""What was counted for circuit breakers, held against the facts that ended the attempts."""

from __future__ import annotations

from collections.abc import Iterator

from octolog.domain.arm import ArmCallCounted
from octolog.domain.breaker import counts
from octolog.domain.chain import Link
from octolog.domain.facts import AttemptEnded
from octolog.ports import LogRecord
from streams.replay.report import Difference
from streams.topics import ARMS, TASKS


class CountedCalls:
    """The counts of one partition.

    Each is written in one transaction with its fact. Logs of a version without circuit breakers have none, so
    failures must have been counted from the first count on.

    Args:
        calls: By position of the fact; the offset in `octolog.arms`, and what was counted.
    """

    def __init__(self, calls: dict[int, tuple[int, ArmCallCounted]]) -> None:
        self._calls = dict(calls)
        self._first = min(calls, default=None)

    def fault(self, record: LogRecord, fact: AttemptEnded, link: Link) -> Difference | None:
        """What is wrong with the count of an attempt's end; None when nothing is."""
        if self._first is None:
            return None
        failed, (offset, call) = counts(fact), self._calls.pop(link.position, (-1, None))
        if call is None:
            if not failed or link.position < self._first:
                return None
            kind, message = "missing", f"the failure of {fact.arm_id} was not counted in {ARMS}"
        elif failed is call.failed and (call.arm_id, call.attempt_id) == (fact.arm_id, fact.attempt_id):
            return None
        else:
            kind = "decided-differently"
            message = f"{ARMS}@{offset} counts {call.attempt_id} otherwise than it ended"
        place = record.partition, record.offset, link.root_task_id, link.seq
        return Difference(TASKS, *place, kind, message)

    def without_end(self, position: int) -> Iterator[Difference]:
        """Counts that stand for no attempt's end, of facts before `position`."""
        for at, (offset, call) in self._calls.items():
            if at < position:
                message = (
                    f"counts {call.attempt_id}, whose end is not fact {at} of partition {call.partition}"
                )
                yield Difference(ARMS, 0, offset, None, None, "no-cause", message)
