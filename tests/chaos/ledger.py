"""What a log must say of itself after any failure: every tree over once, every attempt settled once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from octolog.app.connection import Connection
from octolog.domain import facts as f
from octolog.domain.upkeep import DeadLetter
from octolog.ports import LogReader
from schemas.codec import Codec, RecordedFact
from streams.topics import ASSIGNMENTS, DEAD_LETTERS, TASKS

ENDS = (f.TaskCompleted, f.TaskFailed, f.TaskCancelled)


@dataclass(slots=True)
class Ledger:
    """Counts over all facts of a log.

    Attributes:
        facts: How many facts.
        submitted: Acceptances by root.
        outcomes: Names of the ends of each root's own task.
        ended: Ends by tree and task; a task has one.
        assigned: Assignments by attempt.
        settled: Ends by attempt.
        rejected: Codes of refused requests by root.
        lost_attempts: Attempts whose lease ran out.
        failures: Why tasks and attempts of each root failed, in order, one line each.
        gaps: Trees whose facts are not numbered 0, 1, 2, ...
    """

    facts: int = 0
    submitted: Counter[str] = field(default_factory=Counter)
    outcomes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    ended: Counter[tuple[str, str]] = field(default_factory=Counter)
    assigned: Counter[str] = field(default_factory=Counter)
    settled: Counter[str] = field(default_factory=Counter)
    rejected: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    lost_attempts: int = 0
    failures: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    gaps: list[str] = field(default_factory=list)
    _seq: Counter[str] = field(default_factory=Counter)

    def add(self, recorded: RecordedFact) -> None:
        """Count one fact, in the order of its partition."""
        fact, root_id = recorded.fact, recorded.link.root_task_id
        self.facts += 1
        if recorded.link.seq != self._seq[root_id]:
            self.gaps.append(f"{root_id}: {recorded.link.seq} after {self._seq[root_id] - 1}")
        self._seq[root_id] = recorded.link.seq + 1
        if isinstance(fact, ENDS):
            self.ended[root_id, fact.task_id] += 1
            if fact.task_id == root_id:
                self.outcomes[root_id].append(type(fact).__name__)
        match fact:
            case f.TaskSubmitted():
                self.submitted[root_id] += 1
            case f.AttemptAssigned():
                self.assigned[fact.attempt_id] += 1
            case f.AttemptEnded():
                self.settled[fact.attempt_id] += 1
                self.lost_attempts += fact.outcome in (f.Outcome.LOST, f.Outcome.TIMED_OUT)
                if fact.outcome is not f.Outcome.SUCCESS:
                    self.failures[root_id].append(
                        f"{fact.at_ms} {fact.attempt_id}: {fact.outcome} {fact.error_code} {fact.error}"
                    )
            case f.TaskFailed():
                self.failures[root_id].append(
                    f"{fact.at_ms} {fact.task_id} failed: {fact.code} {fact.message}"
                )
            case f.RequestRejected():
                self.rejected[root_id].append(fact.code)
            case _:
                pass

    def decided_twice(self) -> list[str]:
        """Whatever happened twice and must happen once."""
        doubled = [f"{root} was accepted {n} times" for root, n in self.submitted.items() if n > 1]
        doubled += [f"{place} ended {n} times" for place, n in self.ended.items() if n > 1]
        doubled += [f"{attempt} was assigned {n} times" for attempt, n in self.assigned.items() if n > 1]
        return doubled + [f"{attempt} was settled {n} times" for attempt, n in self.settled.items() if n > 1]

    def unsettled(self) -> list[str]:
        """Attempts that hold an allowance."""
        return [attempt for attempt in self.assigned if not self.settled[attempt]]

    def told(self, roots: Iterable[str]) -> str:
        """How far these trees are, in one line."""
        wanted = set(roots)
        submitted = sum(root in wanted for root in self.submitted)
        open_attempts = len(self.unsettled())
        return (
            f"{submitted} of these are submitted; of {len(self.assigned)} attempts {open_attempts} are unsettled, "
            f"{self.lost_attempts} ran out; {self.facts} facts"
        )

    def lost(self, roots: Iterable[str]) -> list[str]:
        """Roots that have no outcome."""
        return [root for root in roots if not self.outcomes.get(root)]


def read_ledger(reader: LogReader, codec: Codec) -> Ledger:
    """The ledger of a whole log.

    Raises:
        UndecodableRecord: For a fact that is none.
    """
    ledger = Ledger()
    ends = reader.ends([TASKS])
    for batch in reader.read(dict.fromkeys(ends, 0), until=ends):
        for record in batch:
            ledger.add(codec.decode(record.value))
    return ledger


def assigned_records(reader: LogReader, codec: Codec, arm_id: str) -> Counter[str]:
    """How often each attempt was handed to an arm: assignments are committed with their facts, so once."""
    found: Counter[str] = Counter()
    ends = reader.ends([ASSIGNMENTS + arm_id])
    for batch in reader.read(dict.fromkeys(ends, 0), until=ends):
        for record in batch:
            command = codec.decode(record.value)
            found[command.attempt_id] += type(command).__name__ == "AttemptAssignment"
    return found


def dead_letters(connection: Connection) -> list[DeadLetter]:
    """Every dead letter of the log."""
    reader, codec = connection.reader(), connection.codec()
    ends = reader.ends([DEAD_LETTERS])
    batches = reader.read(dict.fromkeys(ends, 0), until=ends)
    return [codec.decode(record.value) for batch in batches for record in batch]
