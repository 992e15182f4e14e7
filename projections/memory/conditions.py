"""What a search is limited to, in words that every store can be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from octolog.domain.memory import EntityType
from projections.memory.point import OPEN


@dataclass(frozen=True, slots=True)
class Equals:
    """A field has this value; of a list, one of its items."""

    field: str
    value: str | int


@dataclass(frozen=True, slots=True)
class Between:
    """A number lies within bounds, both included; None: no bound."""

    field: str
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True, slots=True)
class AnyOf:
    """All conditions of at least one group hold."""

    groups: tuple[tuple[Equals | Between, ...], ...]


Condition: TypeAlias = Equals | Between | AnyOf


@dataclass(frozen=True, slots=True)
class AsOf:
    """A moment of the log; exactly one attribute is set.

    Attributes:
        offset: Every partition as it was once this offset was read; partitions end where they end.
        positions: The same with an offset for each partition; one that is missing was not read at all.
        time_ms: What the broker had appended by then, milliseconds since the epoch.
    """

    offset: int | None = None
    positions: Mapping[int, int] = field(default_factory=dict)
    time_ms: int | None = None

    def conditions(self) -> tuple[Condition, ...]:
        """Recorded by then, and not ended by then."""
        if self.offset is not None:
            return _valid("recorded_at", "closed_at", self.offset)
        if self.time_ms is not None:
            return _valid("recorded_ms", "closed_ms", self.time_ms)
        groups = tuple(
            (Equals("partition", partition), *_valid("recorded_at", "closed_at", offset))
            for partition, offset in sorted(self.positions.items())
        )
        return (AnyOf(groups),)


@dataclass(frozen=True, slots=True)
class Where:
    """Limits of a search; what is None or empty does not limit.

    Attributes:
        entity_type: What a memory is about.
        source: The arm that made it.
        tags: It has all of these.
        min_confidence: It is at least so sure, 0.0 to 1.0.
        since_ms: Made then or later, milliseconds since the epoch.
        until_ms: Made then or earlier.
        task_id: The task it comes from.
        as_of: When it counted. None: now.
    """

    entity_type: EntityType | None = None
    source: str | None = None
    tags: tuple[str, ...] = ()
    min_confidence: float | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    task_id: str | None = None
    as_of: AsOf | None = None

    def conditions(self) -> tuple[Condition, ...]:
        """All of them hold."""
        found: list[Condition] = []
        if self.entity_type is not None:
            found.append(Equals("entity_type", self.entity_type.value))
        if self.source is not None:
            found.append(Equals("source", self.source))
        if self.task_id is not None:
            found.append(Equals("task_id", self.task_id))
        found += [Equals("tags", tag) for tag in self.tags]
        if self.min_confidence is not None:
            found.append(Between("confidence", least=self.min_confidence))
        if self.since_ms is not None or self.until_ms is not None:
            found.append(Between("timestamp_ms", self.since_ms, self.until_ms))
        moment = (Equals("closed_at", OPEN),) if self.as_of is None else self.as_of.conditions()
        return (*found, *moment)


def _valid(begin: str, end: str, at: int) -> tuple[Between, Between]:
    return Between(begin, most=at), Between(end, least=at + 1)
