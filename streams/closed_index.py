"""Trees that are over, on disk: so that memory grows with open trees and not with history.

One SQLite file per partition. It can be deleted: the next start folds the facts from the first one and writes
it anew. Losing its last writes is harmless, so it does not wait for the disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from octolog.domain.errors import StoreUnavailable
from octolog.domain.ids import TaskId
from octolog.domain.shard import ClosedTree
from octolog.domain.task.state import STATE_VERSION, TreeStatus

_SCHEMA = """
create table if not exists closed (
    root_task_id text primary key, status text not null, seq integer not null, head blob not null, seen blob not null
) without rowid;
create table if not exists position (
    one integer primary key check (one = 1), facts_offset integer not null, state_version integer not null
);
"""


class ClosedIndex:
    """The closed trees of one partition, by root task id.

    Args:
        path: The file; made with its folders when missing.

    Raises:
        StoreUnavailable: When the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = self._open()
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(
                f"{path}: {error}; free the disk or delete the file, it is rebuilt"
            ) from error

    def get(self, root_id: TaskId) -> ClosedTree | None:
        """The tree, or None when it never was or is open."""
        query = "select status, seq, head, seen from closed where root_task_id = ?"
        row = self._db.execute(query, (root_id,)).fetchone()
        return None if row is None else ClosedTree(TreeStatus(row[0]), row[1], row[2], row[3])

    def facts_offset(self) -> int:
        """Facts before this offset are in the index; 0 when it must be rebuilt."""
        row = self._db.execute("select facts_offset, state_version from position").fetchone()
        return row[0] if row is not None and row[1] == STATE_VERSION else 0

    def put(self, trees: Mapping[TaskId, ClosedTree], facts_offset: int) -> None:
        """Add trees, and the offset up to which the index is complete, in one transaction."""
        rows = [(root, str(t.status), t.seq, t.head, t.seen) for root, t in trees.items()]
        try:
            with self._db:
                self._db.executemany("insert or replace into closed values (?, ?, ?, ?, ?)", rows)
                self._db.execute(
                    "insert or replace into position values (1, ?, ?)", (facts_offset, STATE_VERSION)
                )
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{self._path}: {error}") from error

    def clear(self) -> None:
        """Forget everything, before a rebuild."""
        with self._db:
            self._db.execute("delete from closed")
            self._db.execute("delete from position")

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def _open(self) -> sqlite3.Connection:
        try:
            return self._prepared()
        except sqlite3.DatabaseError:
            # A torn file after a power cut: the log has it all.
            self._path.unlink(missing_ok=True)
            return self._prepared()

    def _prepared(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=5.0, cached_statements=16)
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = off")
        db.execute("pragma cache_size = -4096")
        db.executescript(_SCHEMA)
        return db
