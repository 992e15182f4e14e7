"""Building the tables anew from the log, by several processes, and telling whether they equal what is in use."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing.context import SpawnContext
from pathlib import Path
from typing import Any, Final

from octolog.app.connection import Connection
from octolog.app.knowledge.files import current_file, drop_file, use_file
from octolog.app.knowledge.reading import columns_of_log
from octolog.app.projector import read_on
from octolog.app.settings import Settings
from octolog.domain.errors import Refused
from octolog.ports import LogReader, Positions, Progress
from projections.analytics import settled
from projections.analytics.preparing import Prepared
from projections.analytics.queries import table_digests
from projections.analytics.sink import AnalyticsProjection
from projections.duck import Store, merge_stores
from schemas.registry import SchemaIds

_POLL_S: Final = 0.1
_FOLD: Final = 1_000_000
"""Records after which what is built is folded into the file; until then it lies in memory."""
_done: Any = None
"""In a building process: how many records each has read, shared with the one that started them."""


def build(settings: Settings, path: Path, processes: int, progress: Progress) -> int:
    """Build the tables from the log's beginning to its end as it is now, into a new file; returns the records read.

    Args:
        settings: Which log.
        path: The file.
        processes: So many, each with its share of the partitions; what they made is put together at the end.
        progress: Told of records read.

    Raises:
        Unavailable: When the log cannot be read.
        StoreUnavailable: When the disk or DuckDB refuses.
    """
    with Connection(settings) as connection:
        ends = connection.reader().ends(AnalyticsProjection.topics)
        total = sum(ends.values())
        if processes <= 1:
            return _build_alone(connection, path, ends, lambda done: progress(done, total))
    shares = [share for share in _shares(ends, processes) if share]
    parts = [path.with_name(f"{path.stem}.part{number}.duckdb") for number in range(len(shares))]
    try:
        read = _build_parts(settings, parts, shares, lambda done: progress(done, total))
        _put_together(settings, parts, path)
    finally:
        for part in parts:
            drop_file(part)
    return read


def equal_at_once(live: Store, built: AnalyticsProjection, store: Store, reader: LogReader) -> dict[str, int]:
    """Hold what was built against what is in use, at the same positions, while that goes on.

    Args:
        live: What is in use.
        built: The projection that fills what was built.
        store: Its store.
        reader: Reads the log up to where the live one is.

    Returns:
        Rows by table, of both.

    Raises:
        Refused: When a table differs; names it.
    """
    with live.snapshot() as then:
        positions = then.positions()
        read_on(built, reader, positions)
        theirs, ours = table_digests(then), table_digests(store)
    for name in sorted(theirs.keys() | ours.keys()):
        if theirs.get(name) != ours.get(name):
            raise Refused(f"table {name} as rebuilt differs from the one in use; nothing was changed")
    return {name: rows for name, (rows, _) in ours.items()}


def replace_file(settings: Settings, path: Path) -> dict[str, Any]:
    """Put a built file in the place of the one in use where no node runs, once it was found equal.

    Raises:
        Refused: When it differs; nothing was changed.
    """
    old_path = current_file(settings)
    store = Store.open(path)
    with Connection(settings) as connection:
        built, verified = AnalyticsProjection(store, connection.schema_ids, None), False
        try:
            if old_path.is_file():
                verified = _equal_to_file(old_path, built, store, connection)
            reader = connection.reader()
            read_on(built, reader, reader.ends(built.topics))
        finally:
            built.close()
    use_file(settings, path)
    drop_file(old_path)
    return {"verified": verified}


def _equal_to_file(path: Path, built: AnalyticsProjection, store: Store, connection: Connection) -> bool:
    """False when the file cannot be compared: another version made it, or it is ahead of nothing."""
    old = Store.open(path, read_only=True)
    try:
        reached = None if AnalyticsProjection.made_otherwise(old) else old.positions()
        if reached is None or any(reached.get(at, 0) < offset for at, offset in built.positions().items()):
            return False
        equal_at_once(old, built, store, connection.reader())
        return True
    finally:
        old.close()


def _shares(ends: Positions, processes: int) -> list[Positions]:
    """The partitions by process; all topics' partitions of one number together, for trees lie in one number."""
    shares: list[Positions] = [{} for _ in range(processes)]
    for (topic, partition), end in sorted(ends.items()):
        shares[partition % processes][topic, partition] = end
    return shares


def _build_alone(connection: Connection, path: Path, ends: Positions, done: Callable[[int], None]) -> int:
    drop_file(path)
    with columns_of_log(connection, ends) as batches:
        store = Store.build(path)  # while the process that reads starts
        projection = AnalyticsProjection(store, connection.schema_ids, None, settle_at=settled.ENOUGH_UNSEEN)
        try:
            return _stored(batches, projection, store, done)
        finally:
            projection.close()


def _stored(
    batches: Iterator[Prepared], projection: AnalyticsProjection, store: Store, done: Callable[[int], None]
) -> int:
    read = unfolded = 0
    for batch in batches:
        projection.store(batch)
        read, unfolded = read + projection.last.records, unfolded + projection.last.records
        done(read)
        if unfolded >= _FOLD:
            store.checkpoint()
            unfolded = 0
    return read


def _build_parts(settings: Settings, parts: list[Path], shares: list[Positions], done: Any) -> int:
    context = multiprocessing.get_context("spawn")
    counts = context.Array("q", len(parts))
    with _pool(context, len(parts), counts) as pool:
        running: list[Future[int]] = [
            pool.submit(_build_part, settings.frozen_json(), number, part, share)
            for number, (part, share) in enumerate(zip(parts, shares, strict=True))
        ]
        while not all(one.done() for one in running):
            done(sum(counts[:]))
            time.sleep(_POLL_S)
        return sum(one.result() for one in running)


def _pool(context: SpawnContext, count: int, counts: Any) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(count, mp_context=context, initializer=_share, initargs=(counts,))


def _share(counts: Any) -> None:
    global _done  # noqa: PLW0603 -- set once, as a building process begins
    _done = counts


def _build_part(settings_json: str, number: int, path: Path, ends: Mapping[tuple[str, int], int]) -> int:
    def told(read: int) -> None:
        _done[number] = read

    with Connection(Settings.model_validate_json(settings_json)) as connection:
        return _build_alone(connection, path, dict(ends), told)


def _put_together(settings: Settings, parts: list[Path], path: Path) -> None:
    drop_file(path)
    with Connection(settings) as connection:
        ids: SchemaIds = connection.schema_ids
        AnalyticsProjection(Store.open(path), ids, None).close()  # makes the tables
    merge_stores(parts, path)
