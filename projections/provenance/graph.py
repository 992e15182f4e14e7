"""Where something came from and what became of it, as a graph: the words that every export and the picture share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from octolog.domain.ids import TaskId


class Kind(StrEnum):
    """What a thing is."""

    PERSON = "person"
    TASK = "task"
    ATTEMPT = "attempt"
    ARM = "arm"
    MODEL = "model"
    SOURCE = "source"
    OUTPUT = "output"
    MEMORY = "memory"


class How(StrEnum):
    """How the first thing of a relation stands to the second."""

    ASKED_BY = "asked by"
    PART_OF = "part of"
    ATTEMPT_AT = "attempt at"
    DONE_BY = "done by"
    ANSWERED_BY = "answered by"
    USED = "used"
    MADE_BY = "made by"
    DERIVED_FROM = "derived from"
    RECORDED_BY = "recorded by"
    SUPERSEDES = "supersedes"


class Ref(NamedTuple):
    """A thing's name in the graph."""

    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class Thing:
    """A thing.

    Attributes:
        ref: Its name; unique by kind.
        label: The same for people.
        begun_at: When it began or came to be, UTC; None when the log does not say.
        ended_at: When it ended, UTC.
        details: What else the log says of it; nothing that is None.
    """

    ref: Ref
    label: str
    begun_at: datetime | None = None
    ended_at: datetime | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


class Relation(NamedTuple):
    """How one thing stands to another.

    Attributes:
        how: The relation.
        subject: What is told of: an attempt *used* a source, an output was *made by* an attempt.
        object: The other.
        at: When, UTC; None when the log does not say.
    """

    how: How
    subject: Ref
    object: Ref
    at: datetime | None = None


@dataclass(slots=True)
class Lineage:
    """The graph around one task: all that it and the tasks below it did, what they used and who used theirs.

    Attributes:
        root_task_id: Its tree.
        task_id: The task.
        things: Every thing by its name, in the order they were found.
        relations: Each once; both ends are among the things.
    """

    root_task_id: TaskId
    task_id: TaskId
    things: dict[Ref, Thing] = field(default_factory=dict)
    relations: dict[tuple[How, Ref, Ref], Relation] = field(default_factory=dict)

    def add(self, thing: Thing) -> Ref:
        """Add a thing; the first word on it stays."""
        self.things.setdefault(thing.ref, thing)
        return thing.ref

    def relate(self, how: How, subject: Ref, other: Ref, at: datetime | None = None) -> None:
        """Add a relation; a repeat changes nothing."""
        self.relations.setdefault((how, subject, other), Relation(how, subject, other, at))

    def of(self, kind: Kind) -> Iterator[Thing]:
        """The things of a kind."""
        return (thing for thing in self.things.values() if thing.ref.kind is kind)

    def about(self, subject: Ref, how: How) -> list[Ref]:
        """The other ends of a thing's relations of one sort."""
        return [
            told.object for told in self.relations.values() if told.how is how and told.subject == subject
        ]
