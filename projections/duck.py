"""The DuckDB file `knowledge.duckdb`: one writer, readers beside it in the same process.

One file holds what analytics, provenance and the registry know, for three reasons. They are views of one set
of tables, filled in one transaction, so that two answers never contradict each other. DuckDB lets one process
write a file: three files would be three locks to hold and to lose. And a question across them is one join.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import duckdb
import polars as pl
import pyarrow as pa

from octolog.domain.errors import StoreUnavailable
from octolog.ports import Positions
from projections.tables import literal

Connection: TypeAlias = duckdb.DuckDBPyConnection
StoreError: Final = duckdb.Error
FILE_NAME: Final = "knowledge.duckdb"
_PLAIN_WORDS: Final = "SET disabled_compression_methods='dict_fsst'"
"""Columns of words without a compressed dictionary. To read one value of such a column, DuckDB prepares the dictionary
of 122,880 rows, which is half the time of a point lookup. The file has 2.5 times the size (`benches/analytics.py`).
"""
_BUILT: Final = "built"
_CLOSE_TRIES: Final = 100
_CLOSE_PAUSE_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """What the store may use.

    Attributes:
        memory_limit_mb: Memory for data and queries together, megabytes; beyond it DuckDB spills to disk.
        threads: Threads for queries and inserts together.
        checkpoint_mb: Size of the write-ahead log at which it is folded into the file, megabytes. Larger
            than DuckDB's 16: a rebuild writes gigabytes, and each checkpoint waits for the disk.
    """

    memory_limit_mb: int = 1_024
    threads: int = 2
    checkpoint_mb: int = 256


DEFAULT_SETTINGS: Final = StoreSettings()


class Store:
    """An open file.

    Attributes:
        path: The file; None for a store in memory.
    """

    def __init__(self, connection: Connection, path: Path | None, *, attached: bool = False) -> None:
        self._connection, self.path, self._attached = connection, path, attached

    @classmethod
    def open(
        cls, path: Path | None, settings: StoreSettings = DEFAULT_SETTINGS, *, read_only: bool = False
    ) -> Store:
        """Open a file, made when it is not there; None: in memory.

        Raises:
            StoreUnavailable: When another process writes it, or it cannot be read.
        """
        try:
            if path is not None and not read_only:
                path.parent.mkdir(parents=True, exist_ok=True)
            connection = duckdb.connect(":memory:" if path is None else str(path), read_only=read_only)
            _configure(connection, settings)
        except (duckdb.Error, OSError) as error:
            raise StoreUnavailable(_why(path, error)) from error
        return cls(connection, path)

    @classmethod
    def build(cls, path: Path, settings: StoreSettings = DEFAULT_SETTINGS) -> Store:
        """Make a new file without a write-ahead log: it has what `checkpoint` or `close` has folded into it, no more.

        For a file that is dropped and built again when its building is cut short.

        Raises:
            StoreUnavailable: When it cannot be made.
        """
        connection = duckdb.connect()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection.execute(f"SET temp_directory={literal(f'{path}.tmp')}")
            connection.execute(f"ATTACH {literal(str(path))} AS {_BUILT} (RECOVERY_MODE no_wal_writes)")
            connection.execute(f"USE {_BUILT}")
            _configure(connection, settings)
        except (duckdb.Error, OSError) as error:
            raise StoreUnavailable(_why(path, error)) from error
        return cls(connection, path, attached=True)

    def checkpoint(self) -> None:
        """Fold into the file what was stored since the last time."""
        self._connection.execute("CHECKPOINT")

    def cursor(self) -> Connection:
        """A connection of its own to the same data, for another thread or a query beside the writer."""
        cursor = self._connection.cursor()
        if self._attached:
            cursor.execute(f"USE {_BUILT}")
        return cursor

    def execute(self, sql: str, values: list[Any] | None = None) -> Connection:
        """Run one statement on the writer's connection."""
        return self._connection.execute(sql, values)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """What is stored now, to be asked several times while the writer goes on."""
        cursor = self.cursor()
        try:
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            yield Snapshot(cursor)
        except duckdb.Error as error:
            raise StoreUnavailable(one_line(error)) from error
        finally:
            cursor.close()

    def positions(self) -> Positions:
        """How far in the log it is filled."""
        with self.snapshot() as now:
            return now.positions()

    def rows(self, sql: str, values: list[Any] | dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """What a query answers, on a connection of its own; values by place (`?`) or by name (`$name`).

        Raises:
            StoreUnavailable: When DuckDB refuses.
        """
        cursor = self.cursor()
        try:
            return _rows(cursor, sql, values)
        except duckdb.Error as error:
            raise StoreUnavailable(one_line(error)) from error
        finally:
            cursor.close()

    def insert(self, table: str, frame: pl.DataFrame) -> None:
        """Append a frame's columns to the columns of the same names; others take their default."""
        self.execute_on(as_arrow(frame), f"INSERT INTO {table} BY NAME SELECT * FROM incoming")  # noqa: S608 -- our name

    def execute_on(self, frame: object, sql: str) -> int:
        """Run one statement that reads a frame as `incoming`, on the writer's connection.

        Returns:
            The number it answers: of an INSERT that of the rows.
        """
        self._connection.register("incoming", frame)
        try:
            rows = self._connection.execute(sql).fetchall()
            return int(rows[0][0]) if rows else 0
        finally:
            with suppress(duckdb.Error):  # an aborted transaction takes the name with it
                self._connection.unregister("incoming")

    def rows_of(self, frame: object, sql: str) -> list[dict[str, Any]]:
        """What a query that reads a frame as `incoming` answers, on the writer's connection."""
        self._connection.register("incoming", frame)
        try:
            return _rows(self._connection, sql, None)
        finally:
            with suppress(duckdb.Error):
                self._connection.unregister("incoming")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing.

        Raises:
            StoreUnavailable: When DuckDB refuses a statement or the commit; nothing was stored then.
        """
        self._connection.begin()
        try:
            yield
            self._connection.commit()
        except BaseException as error:
            self._roll_back()
            if isinstance(error, duckdb.Error):
                raise StoreUnavailable(_why(self.path, error)) from error
            raise

    def _roll_back(self) -> None:
        with suppress(duckdb.Error):  # a failed commit has rolled back already
            self._connection.rollback()

    def close(self) -> None:
        """Fold the write-ahead log into the file and release it; waits a moment for calls that are just ending."""
        for _ in range(_CLOSE_TRIES):
            try:
                self._connection.close()
                return
            except duckdb.OperationalError:  # another thread is inside it; DuckDB refuses instead of waiting
                time.sleep(_CLOSE_PAUSE_S)
        self._connection.interrupt()
        self._connection.close()


def as_arrow(frame: pl.DataFrame) -> pa.Table:
    """A frame in Arrow's terms without a copy: words stay views, which older readers of Arrow do not know."""
    return frame.to_arrow(compat_level=pl.CompatLevel.newest())


class Snapshot:
    """One moment of a store."""

    def __init__(self, cursor: Connection) -> None:
        self._cursor = cursor

    def begin_again(self) -> None:
        """Go on after a query that DuckDB refused, with what is stored now."""
        self._cursor.execute("ROLLBACK")
        self._cursor.execute("BEGIN TRANSACTION READ ONLY")

    def positions(self) -> Positions:
        """How far in the log it was filled."""
        rows = self.rows("SELECT topic, partition, next_offset FROM meta.positions")
        return {(row["topic"], row["partition"]): row["next_offset"] for row in rows}

    def rows(self, sql: str, values: list[Any] | dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """What a query answers."""
        return _rows(self._cursor, sql, values)


def merge_stores(parts: Sequence[Path], into: Path) -> None:
    """Append the tables of several closed files, positions too, to those of one that has the same tables.

    Raises:
        StoreUnavailable: When DuckDB refuses; the file is not to be used then.
    """
    try:
        with duckdb.connect(str(into)) as connection:
            connection.execute("SET preserve_insertion_order=false")
            connection.execute(_PLAIN_WORDS)
            for number, part in enumerate(parts):
                escaped = str(part).replace("'", "''")
                connection.execute(f"ATTACH '{escaped}' AS part{number} (READ_ONLY)")
                _append(connection, f"part{number}")
                connection.execute(f"DETACH part{number}")
    except duckdb.Error as error:
        raise StoreUnavailable(_why(into, error)) from error


def _append(connection: Connection, part: str) -> None:
    names = connection.execute(
        """SELECT schema_name, table_name FROM duckdb_tables()
           WHERE database_name = ? AND table_name <> 'projections'""",
        [part],
    ).fetchall()
    for schema, table in names:
        place = f'"{schema}"."{table}"'
        connection.execute(f"INSERT INTO {place} BY NAME SELECT * FROM {part}.{place}")  # noqa: S608 -- our names


def _rows(cursor: Connection, sql: str, values: Any) -> list[dict[str, Any]]:
    result = cursor.execute(sql, values)
    names = [column[0] for column in result.description or []]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def one_line(error: BaseException) -> str:
    """DuckDB's message without its drawing of where in the text it was."""
    lines = [
        line.strip() for line in str(error).splitlines() if line.strip() and not line.strip().startswith("^")
    ]
    kept = [line for line in lines if not line.startswith("LINE ")]
    return " ".join(kept) or type(error).__name__


def _configure(connection: Connection, settings: StoreSettings) -> None:
    """Set what the store may use, then forbid files, extensions and any change of these settings."""
    connection.execute(f"SET memory_limit='{settings.memory_limit_mb}MB'")
    connection.execute(f"SET threads={settings.threads}")
    connection.execute(f"SET checkpoint_threshold='{settings.checkpoint_mb}MB'")
    connection.execute(_PLAIN_WORDS)
    connection.execute("SET preserve_insertion_order=false")  # no table has an order of its own
    connection.execute("SET python_enable_replacements=false")
    connection.execute("SET TimeZone='UTC'")
    connection.execute("SET autoinstall_known_extensions=false")
    connection.execute("SET autoload_known_extensions=false")
    connection.execute("SET enable_external_access=false")
    connection.execute("SET lock_configuration=true")


def _why(path: Path | None, error: BaseException) -> str:
    where = FILE_NAME if path is None else str(path)
    if "lock" in str(error).lower() and isinstance(error, duckdb.IOException):
        return f"{where} is written by another process; ask the running node, or stop it first"
    return f"{where}: {one_line(error)}"
