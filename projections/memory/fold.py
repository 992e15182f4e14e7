"""What an event of `octolog.memory` makes of a memory. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from octolog.domain.memory import (
    EmbeddingModelFixed,
    MemoryEvent,
    MemoryForgotten,
    MemoryRecorded,
    MemorySuperseded,
)
from projections.memory.point import Place, Point, replaced_point_id


def fold(current: Point | None, event: MemoryEvent, at: Place) -> tuple[Point, ...]:
    """The points to write, given the memory's current version; none when the event says nothing new.

    A replay of what is in the store changes nothing, whatever order batches had. A memory that ends before it was
    recorded does not end: the record lies later in the same partition, and so is newer.
    """
    if current is not None and at.offset <= current.last_offset:
        return ()
    match event:
        case MemoryRecorded():
            return _recorded(current, event, at)
        case MemorySuperseded():
            if current is None or current.superseded_at is not None:
                return ()
            why = {"superseded_at": at.offset, "superseded_by": event.superseded_by}
            return (current.closed(at, **why, reason=current.reason or event.reason),)
        case MemoryForgotten():
            if current is None or current.forgotten_at is not None:
                return ()
            return (current.closed(at, forgotten_at=at.offset, reason=current.reason or event.reason),)
        case EmbeddingModelFixed():
            return ()
        case _:
            assert_never(event)


def memory_id_of(event: MemoryEvent) -> str | None:
    """The memory an event is about; None for one about all of them."""
    match event:
        case MemoryRecorded():
            return event.memory.memory_id
        case MemorySuperseded() | MemoryForgotten():
            return event.memory_id
        case EmbeddingModelFixed():
            return None
        case _:
            assert_never(event)


def _recorded(current: Point | None, event: MemoryRecorded, at: Place) -> tuple[Point, ...]:
    new = Point.of(event, at)
    if current is None:
        return (new,)
    if current.digest == new.digest and current.closed_at > at.offset:
        return ()  # the same memory once more, as a producer that tried again writes it
    old = current.closed(at, replaced_at=at.offset)
    old = replace(old, point_id=replaced_point_id(current.memory.memory_id, current.recorded_at))
    return (old, new)
