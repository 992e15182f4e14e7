"""What a verification found."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Final

KEPT: Final = 100
"""Lost inputs and differences that are named in a report; all of them are counted."""

_SHOWN_CHARS: Final = 2_000
"""How much of a differing value a report repeats."""


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """One field that was recorded in one way and decided in another.

    Attributes:
        field: Its name; `link.` stands before those of the link.
        recorded: What the log says.
        decided: What follows from the inputs.
    """

    field: str
    recorded: str
    decided: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A place where the log contradicts itself.

    Attributes:
        topic: The record's topic; `octolog.tasks` for a fact.
        partition: Its partition.
        offset: Its offset; where a record is missing, the offset where the log ends or goes on.
        tree: Root task id, where it is known.
        seq: The fact's number in its tree, where it is known.
        kind: `edited`, `undecodable`, `missing`, `repeated`, `moved`, `decided-differently`, `no-cause`,
            `settlement`, `dead-letter`, `memory-missing`, `chain`, `checkpoint`, `damaged`.
        message: What is wrong, one line.
        fields: What was recorded and what was decided, field by field.
    """

    topic: str
    partition: int
    offset: int
    tree: str | None
    seq: int | None
    kind: str
    message: str
    fields: tuple[FieldDifference, ...] = ()


@dataclass(frozen=True, slots=True)
class Lost:
    """An input that was passed over: it has no fact, is no repeat, and is no dead letter.

    Attributes:
        topic: Where it lies.
        partition: Where it lies.
        offset: Where it lies.
        tree: Root task id; None when it cannot be read.
        reason: What should have followed.
    """

    topic: str
    partition: int
    offset: int
    tree: str | None
    reason: str


@dataclass(slots=True)
class PartitionReport:
    """What the verification of one partition found.

    Attributes:
        partition: Which.
        facts: Facts that were checked and found right.
        trees: Trees those facts are about.
        open_trees: Trees still open after the last.
        causes: Inputs that led to facts.
        inputs_checked: Inputs looked at, those without facts included.
        dead_letters: Dead letters compared with their source.
        checkpoints: Signed checkpoints whose root was found again.
        overspent_trees: Trees that used more than a limit, and were ended for it.
        memories: Memories that facts asked for and that are in the log as they must be.
        direct_memories: Memories of its trees that somebody recorded directly; no fact asks for them.
        state_digest: SHA-256 of the state after the last fact, hex; None where a difference ended the work.
        lost_count: Inputs that were passed over.
        lost: The first of them.
        difference_count: Differences found; one in the facts ends the work on a partition.
        differences: The first of them.
        unasked: While the work goes on: memories that no fact of this partition asked for.
        claimed_elsewhere: While the work goes on: places of memories whose trees usually lie in another partition.
    """

    partition: int
    facts: int = 0
    trees: int = 0
    open_trees: int = 0
    causes: int = 0
    inputs_checked: int = 0
    dead_letters: int = 0
    checkpoints: int = 0
    overspent_trees: int = 0
    memories: int = 0
    direct_memories: int = 0
    state_digest: str | None = None
    lost_count: int = 0
    lost: list[Lost] = field(default_factory=list[Lost])
    difference_count: int = 0
    differences: list[Difference] = field(default_factory=list[Difference])
    unasked: list[Difference] = field(default_factory=list[Difference])
    claimed_elsewhere: set[tuple[int, int]] = field(default_factory=set[tuple[int, int]])

    def add_lost(self, lost: Lost) -> None:
        """Count a lost input, and keep it while there is room."""
        self.lost_count += 1
        if len(self.lost) < KEPT:
            self.lost.append(lost)

    def add_difference(self, difference: Difference) -> None:
        """Count a difference, and keep it while there is room."""
        self.difference_count += 1
        if len(self.differences) < KEPT:
            self.differences.append(difference)


@dataclass(frozen=True, slots=True)
class Report:
    """What a verification found in all its partitions.

    Attributes:
        partitions: One report each, by number.
        seconds: How long it took.
    """

    partitions: tuple[PartitionReport, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """True when nothing was lost and nothing differs."""
        return not any(p.lost_count or p.difference_count for p in self.partitions)

    @property
    def facts(self) -> int:
        """Facts checked and found right."""
        return sum(p.facts for p in self.partitions)

    @property
    def lost(self) -> tuple[Lost, ...]:
        """Inputs that were passed over, as far as they are named."""
        return tuple(lost for p in self.partitions for lost in p.lost)

    @property
    def first_difference(self) -> Difference | None:
        """The first difference of the lowest partition that has one; a fact's before any other."""
        found = [d for p in self.partitions for d in p.differences]
        return min(found, key=lambda d: (d.topic != "octolog.tasks", d.partition, d.offset), default=None)

    def to_json(self) -> dict[str, Any]:
        """The report as `octolog replay --verify --json` prints it."""
        first = self.first_difference
        totals = (
            "trees",
            "open_trees",
            "causes",
            "inputs_checked",
            "dead_letters",
            "checkpoints",
            "overspent_trees",
            "memories",
            "direct_memories",
        )
        return {
            "ok": self.ok,
            "partitions": [_plain(p) for p in self.partitions],
            "facts": self.facts,
            **{name: sum(getattr(p, name) for p in self.partitions) for name in totals},
            "lost": [dataclasses.asdict(lost) for lost in self.lost],
            "lost_count": sum(p.lost_count for p in self.partitions),
            "first_difference": None if first is None else dataclasses.asdict(first),
            "difference_count": sum(p.difference_count for p in self.partitions),
            "seconds": round(self.seconds, 3),
            "facts_per_s": round(self.facts / self.seconds) if self.seconds else 0,
        }


def _plain(report: PartitionReport) -> dict[str, Any]:
    kept = dataclasses.asdict(report)
    for name in ("lost", "differences", "unasked", "claimed_elsewhere"):
        del kept[name]
    return kept


def fields_that_differ(recorded: Any, decided: Any, prefix: str = "") -> tuple[FieldDifference, ...]:
    """The fields in which two records differ; their class is one of them."""
    if type(recorded) is not type(decided):
        return (FieldDifference(f"{prefix}type", type(recorded).__name__, type(decided).__name__),)
    return tuple(
        FieldDifference(f"{prefix}{field.name}", _shown(ours), _shown(theirs))
        for field in dataclasses.fields(recorded)
        if (ours := getattr(recorded, field.name)) != (theirs := getattr(decided, field.name))
    )


def _shown(value: object) -> str:
    text = value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}... ({len(text)} characters)"
