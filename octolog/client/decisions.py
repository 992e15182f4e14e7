"""What became of a request: following the facts of one tree until they say so.

The facts are the only answer there is. They lie in the partition of the same number as the request, because
commands and facts are co-partitioned, and each names the input that caused it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final, TypeVar, cast
from uuid import UUID

from octolog.domain.facts import (
    AttemptEnded,
    RequestRejected,
    TaskCancelled,
    TaskCompleted,
    TaskFailed,
    TaskSubmitted,
)
from octolog.domain.ids import TaskId
from octolog.domain.values import Amounts, BlobRef
from octolog.ports import LogReader, LogRecord, Positions
from octolog.safety import NOTHING_FOUND, Counts
from schemas.codec import Codec, RecordedFact
from streams.topics import CONTRACTS, TASKS

_CLOCK_SKEW_MS: Final = 600_000
"""How far a producer's clock may be ahead of the broker's and its UUIDv7 still finds its facts."""

_UUID_VERSION: Final = 7
Found = TypeVar("Found")

COMPLETED: Final = "completed"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
REJECTED: Final = "rejected"


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it lies in the log.

    Attributes:
        root_task_id: The tree it is about.
        topic: Its topic.
        partition: Its partition.
        offset: Its offset.
        timestamp_ms: When the broker appended it, milliseconds since the epoch.
        redacted: What was taken out before it was appended: how many of each kind, never what it was.
    """

    root_task_id: TaskId
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    redacted: Counts = field(default_factory=lambda: NOTHING_FOUND, kw_only=True, hash=False)


@dataclass(frozen=True, slots=True)
class Submitted(Sent):
    """A contract as it lies in the log.

    Attributes:
        task_id: The task.
        minted: True when the id was made for this call, so that nothing about it is older.
        digest: The contract's digest; tells a repeat from a clash.
    """

    task_id: TaskId
    minted: bool
    digest: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended.

    Attributes:
        task_id: The task.
        status: `completed`, `failed`, `cancelled` or `rejected`.
        result: The output, parsed; None when there is none, or it is a blob.
        result_blob: Where a large output lies.
        error: Why it did not complete, one line.
        code: Upper snake case, e.g. BUDGET_EXCEEDED.
        used: What the tree used; None where the fact does not say.
    """

    task_id: TaskId
    status: str
    result: object = None
    result_blob: BlobRef | None = None
    error: str | None = None
    code: str | None = None
    used: Amounts | None = None


@dataclass(slots=True)
class _Ending:
    """Folds a tree's facts until one of its tasks is over.

    Attributes:
        task_id: The task.
        root_id: Its tree.
        submitted: The contract that is waited for, where it is known.
        outputs: Outputs of attempts that ended well, by attempt id.
    """

    task_id: TaskId
    root_id: TaskId
    submitted: Submitted | None
    outputs: dict[str, tuple[str, BlobRef | None]] = field(default_factory=dict)

    def fold(self, recorded: RecordedFact) -> Outcome | None:
        """The outcome, once this fact tells it."""
        match recorded.fact:
            case AttemptEnded(task_id=self.task_id) as ended:
                self.outputs = {ended.attempt_id: (ended.output, ended.output_blob)}
            case TaskCompleted(task_id=self.task_id) as done:
                return self._completed(done)
            case TaskFailed(task_id=task_id) as failed if task_id in (self.task_id, self.root_id):
                return Outcome(self.task_id, FAILED, error=failed.message, code=failed.code, used=failed.used)
            case TaskCancelled() as cancelled:
                return Outcome(
                    self.task_id, CANCELLED, error=cancelled.reason, code="CANCELLED", used=cancelled.used
                )
            case TaskSubmitted() as other if self._clashes(other):
                return Outcome(
                    self.task_id,
                    REJECTED,
                    error=f"task_id: {self.task_id} exists with other content",
                    code="DUPLICATE_TASK_ID",
                )
            case RequestRejected() as refused if self._is_ours(recorded):
                why = f"{refused.field}: {refused.message}" if refused.field else refused.message
                return Outcome(self.task_id, REJECTED, error=why, code=refused.code)
            case _:
                pass
        return None

    def _clashes(self, other: TaskSubmitted) -> bool:
        """True for another contract of the same id: it came first, and so ours is refused, now or later."""
        ours = self.submitted
        if ours is None or other.contract.task_id != ours.task_id:
            return False
        return other.contract_digest != ours.digest

    def _is_ours(self, recorded: RecordedFact) -> bool:
        cause = recorded.link.cause_topic, recorded.link.cause_offset
        return self.submitted is not None and cause == (self.submitted.topic, self.submitted.offset)

    def _completed(self, done: TaskCompleted) -> Outcome:
        output, blob = done.output, done.output_blob
        if not output and blob is None:
            output, blob = self.outputs.get(done.attempt_id or "", ("", None))
        result = json.loads(output) if output else None
        return Outcome(self.task_id, COMPLETED, result=result, result_blob=blob)


def outcome_of(
    reader: LogReader, codec: Codec, task: Submitted | TaskId, root_id: TaskId, timeout_s: float
) -> Outcome | None:
    """Follow the facts of a tree until a task is over; None when it is not within `timeout_s` seconds.

    Args:
        reader: Reads `octolog.tasks`.
        codec: Decodes it.
        task: What was submitted, or the id of a task that somebody else submitted.
        root_id: Its tree.
        timeout_s: Longest wait, seconds.
    """
    submitted = task if isinstance(task, Submitted) else None
    task_id = task if submitted is None else submitted.task_id
    ending = _Ending(cast("TaskId", task_id), root_id, submitted)
    start = _first_facts(reader, ending, submitted)
    return _follow(reader, codec, start, root_id, ending.fold, timeout_s)


def answer_to(reader: LogReader, codec: Codec, sent: Sent, timeout_s: float) -> RecordedFact | None:
    """The first fact that a request caused; None when there is none within `timeout_s` seconds.

    A request that changes nothing, because the same was asked before, causes no fact.
    """

    def caused(recorded: RecordedFact) -> RecordedFact | None:
        link = recorded.link
        return recorded if (link.cause_topic, link.cause_offset) == (CONTRACTS, sent.offset) else None

    place = TASKS, sent.partition
    start: Positions = {place: _since(reader, sent.timestamp_ms)[place]}
    return _follow(reader, codec, start, sent.root_task_id, caused, timeout_s)


def facts_from(reader: LogReader, root_id: TaskId) -> Positions:
    """Where the facts of a tree can begin."""
    return _since(reader, _made_ms(root_id))


def _first_facts(reader: LogReader, ending: _Ending, submitted: Submitted | None) -> Positions:
    """Where the tree's facts can begin: a task submitted twice may have ended long ago."""
    if submitted is None:
        return facts_from(reader, ending.root_id)
    fresh = submitted.minted
    starts = _since(reader, submitted.timestamp_ms) if fresh else facts_from(reader, ending.root_id)
    return {place: offset for place, offset in starts.items() if place[1] == submitted.partition}


def _since(reader: LogReader, timestamp_ms: int) -> Positions:
    """Where facts written at or after a time begin.

    The ends are taken first: a fact that is written between the two questions would else lie before the end
    that stands for "none yet", and would be passed over.
    """
    ends = reader.ends([TASKS])
    found = reader.at_time([TASKS], timestamp_ms)
    return {place: min(offset, ends[place]) for place, offset in found.items()}


def _made_ms(task_id: str) -> int:
    """Before when no fact about a task can be: a UUIDv7 carries its time; other ids may be of any age."""
    try:
        made = UUID(task_id)
    except ValueError:
        return 0
    return max(0, (made.int >> 80) - _CLOCK_SKEW_MS) if made.version == _UUID_VERSION else 0


def _follow(
    reader: LogReader,
    codec: Codec,
    start: Positions,
    root_id: TaskId,
    fold: Callable[[RecordedFact], Found | None],
    timeout_s: float,
) -> Found | None:
    key = root_id.encode()
    deadline = time.monotonic() + timeout_s
    batches = cast("Generator[list[LogRecord], None, None]", reader.read(start))
    with closing(batches):
        for batch in batches:
            for record in batch:
                if record.key == key and (found := fold(codec.decode(record.value))) is not None:
                    return found
            if time.monotonic() >= deadline:
                return None
    return None
