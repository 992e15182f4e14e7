"""Following the log into a projection: read, store rows and positions, again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from octolog.domain.errors import BrokerUnavailable
from octolog.ports import LogReader, LogRecord, Positions, Progress, Projection

_PAUSE_S: Final = 0.5


@dataclass(slots=True)
class ProjectorState:
    """How far a projector is.

    Attributes:
        records: Records stored since the start.
        positions: The next offset per partition.
        caught_up: True when the last read brought nothing.
    """

    records: int = 0
    positions: Positions = field(default_factory=dict)
    caught_up: bool = False


def start_positions(projection: Projection, reader: LogReader) -> Positions:
    """Where to read on: the stored positions, and the beginning of partitions the store has not seen."""
    known = projection.positions()
    return {place: known.get(place, 0) for place in reader.ends(list(projection.topics))}


def follow(
    projection: Projection, reader: LogReader, state: ProjectorState, stop: Callable[[], bool]
) -> None:
    """Feed a projection until `stop()`; waits out a broker that is away.

    Raises:
        StoreUnavailable: When the store cannot take rows.
    """
    while not stop():
        try:
            _follow_once(projection, reader, state, stop)
        except BrokerUnavailable:
            state.caught_up = False
            time.sleep(_PAUSE_S)


def catch_up(projection: Projection, reader: LogReader, progress: Progress | None = None) -> int:
    """Feed a projection up to the log's end as it is now; returns the records read."""
    start = start_positions(projection, reader)
    ends = reader.ends(list(projection.topics))
    total = sum(max(0, end - start.get(place, 0)) for place, end in ends.items())
    read = 0
    for batch in reader.read(start, until=ends):
        projection.apply(batch, after(batch))
        read += len(batch)
        if progress is not None:
            progress(read, total)
    if progress is not None:
        progress(total, total)
    return read


def read_on(projection: Projection, reader: LogReader, until: Positions) -> int:
    """Feed a projection exactly up to some positions; returns the records read."""
    known, read = projection.positions(), 0
    start = {place: known.get(place, 0) for place in until}
    for batch in reader.read(start, until=until):
        projection.apply(batch, after(batch))
        read += len(batch)
    return read


def fill(
    projection: Projection,
    reader: LogReader,
    until: Positions,
    state: ProjectorState,
    stop: Callable[[], bool],
) -> bool:
    """Feed a projection up to some positions, past the marks of transactions too; waits out a broker that is away.

    Returns:
        False when it was told to stop before.
    """
    while not stop():
        try:
            known = projection.positions()
            for batch in reader.read({place: known.get(place, 0) for place in until}, until=until):
                if stop():
                    return False
                _store(projection, batch, state)
        except BrokerUnavailable:
            time.sleep(_PAUSE_S)
        else:
            return True
    return False


def fill_and_follow(
    projection: Projection,
    reader: LogReader,
    state: ProjectorState,
    stop: Callable[[], bool],
    take_over: Callable[[], None] | None = None,
) -> None:
    """Feed a projection until `stop()`; one that is filled beside another takes over once it has caught up.

    Args:
        projection: What is fed.
        reader: From which log.
        state: Told how far it is.
        stop: True: to end.
        take_over: Puts it in the other's place; None: there is no other.

    Raises:
        StoreUnavailable: When the store cannot take rows.
    """
    if take_over is not None:
        if not fill(projection, reader, reader.ends(projection.topics), state, stop):
            return
        take_over()
    follow(projection, reader, state, stop)


def covers(reached: Positions, wanted: Positions) -> bool:
    """True when nothing up to `wanted` is missing."""
    return all(reached.get(place, 0) >= offset for place, offset in wanted.items())


def after(batch: Iterable[LogRecord]) -> Positions:
    """The positions after a batch."""
    return {(record.topic, record.partition): record.offset + 1 for record in batch}


def _follow_once(
    projection: Projection, reader: LogReader, state: ProjectorState, stop: Callable[[], bool]
) -> None:
    start = start_positions(projection, reader)
    state.positions = dict(start)
    for batch in reader.read(start):
        if stop():
            return
        state.caught_up = not batch
        if batch:
            _store(projection, batch, state)


def _store(projection: Projection, batch: list[LogRecord], state: ProjectorState) -> None:
    positions = after(batch)
    projection.apply(batch, positions)
    state.records += len(batch)
    state.positions.update(positions)
