"""The log as columns, made in a process of its own while this one stores them: reading is Python, storing is DuckDB.

In threads of one process the two wait for each other's interpreter lock, and take as long as one after the other.
"""

from __future__ import annotations

import gc
import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe
from typing import Any, Final

from octolog.app.ahead import ahead
from octolog.app.connection import Connection
from octolog.app.processes import die_with_parent
from octolog.app.settings import Settings
from octolog.domain.errors import BrokerUnavailable, OctologError
from octolog.ports import Positions
from projections.analytics.preparing import Prepared, Preparer
from projections.columnar import Columns, Refusal, frame_of, packed

_WORTH_A_PROCESS: Final = 50_000
"""Records whose reading takes longer than starting a process."""

_FRESH: Final = 5_000
"""Records taken apart together: few enough to be still in the processor's memory."""

_TOGETHER: Final = 100_000
"""Records stored together: each batch costs a transaction and some hundred statements."""

_AHEAD: Final = 3
"""Batches, some 100 MB each, that reading may be ahead of storing, which now and then writes all it has to disk."""


@contextmanager
def columns_of_log(connection: Connection, until: Positions) -> Iterator[Iterator[Prepared]]:
    """Every record up to some positions, in batches to be stored one after another.

    Raises, as they are taken:
        BrokerUnavailable: When the log cannot be read.
        Unavailable: When a schema cannot be looked up.
    """
    if sum(until.values()) < _WORTH_A_PROCESS:
        yield _prepared(connection, until)
        return
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(
        target=_send, args=(connection.settings.frozen_json(), until, theirs), daemon=True
    )
    process.start()
    theirs.close()
    with ours, ahead(_received(ours), _AHEAD) as batches:
        try:
            yield batches
        finally:  # it has ended by itself, or nobody wants what it has not sent
            process.kill()
            process.join()


def _prepared(connection: Connection, until: Positions) -> Iterator[Prepared]:
    batches = connection.reader(_FRESH).read(dict.fromkeys(until, 0), until=until)
    return Preparer(connection.schema_ids).prepare(batches, {}, _TOGETHER)


def _send(settings_json: str, until: Positions, pipe: Pipe) -> None:
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that stores is interrupted, and ends this one
    gc.freeze()
    gc.disable()  # a hundred thousand records at a time, none in a cycle: to look for some costs a third of the whole
    last: Any = None
    with Connection(Settings.model_validate_json(settings_json)) as connection:
        try:
            for batch in _prepared(connection, until):
                _send_batch(batch, pipe)
        except OctologError as error:
            last = error
        pipe.send(last)


def _send_batch(batch: Prepared, pipe: Pipe) -> None:
    """What it is made of, then its frames one by one: as Arrow, which is read without a copy."""
    parts = [(table, len(rows.frames), rows.refused) for table, rows in batch.columns]
    pipe.send((batch.positions, parts, batch.facts is not None))
    frames = [frame for _, rows in batch.columns for frame in rows.frames]
    for frame in frames if batch.facts is None else (*frames, batch.facts):
        pipe.send_bytes(packed(frame))


def _received(pipe: Pipe) -> Iterator[Prepared]:
    try:
        while (said := pipe.recv()) is not None:
            if isinstance(said, BaseException):
                raise said
            positions, parts, facts = said
            columns = [(table, _received_rows(pipe, *part)) for table, *part in parts]
            yield Prepared(positions, columns, frame_of(pipe.recv_bytes()) if facts else None)
    except (EOFError, OSError) as error:
        raise BrokerUnavailable("the process that reads the log ended before it was done") from error


def _received_rows(pipe: Pipe, frames: int, refused: list[Refusal]) -> Columns:
    return Columns([frame_of(pipe.recv_bytes()) for _ in range(frames)], refused=refused)
