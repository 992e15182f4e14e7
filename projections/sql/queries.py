"""One read-only statement in SQL, within bounds of time and size, that can be cancelled.

Four walls, each enough alone against what it is for. DuckDB's own parser says what kind of statement it is. Table
functions are those known to look at nothing but their arguments and the catalog. The transaction is read-only,
because a `WITH` may hide an INSERT. And the store was opened without access to files and extensions, and with its
settings locked (`projections.duck`).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import duckdb
import pyarrow as pa

from octolog.domain.errors import Refused
from projections.duck import Connection, Store, one_line

_READS: Final = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
"""DESCRIBE, SHOW, SUMMARIZE, FROM and VALUES are SELECTs to DuckDB's parser."""

_ALLOWED: Final = "SELECT, WITH, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN"
_FILE_ACCESS: Final = re.compile(r"disabled by configuration")
_FILES: Final = "files, other databases and extensions are not readable here: only the tables of the log"
_PURE: Final = re.compile(
    "generate_series|range|repeat|repeat_row|unnest|json_each|json_tree|summary|icu_calendar_names|pg_timezone_names|"
    "duckdb_(columns|constraints|databases|functions|indexes|keywords|memory|schemas|settings|tables|types|views)|"
    "pragma_(database_size|platform|show|table_info|user_agent|version)"
)
"""Table functions that may be called. Any other that this DuckDB has is refused, those of later versions too."""
_NAME: Final = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([\w$]+))')
_ROWS_AT_A_TIME: Final = 2_048
_AGAIN_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """Bounds of one query.

    Attributes:
        timeout_s: Longest run, reading the answer included, seconds.
        max_rows: Rows after which the answer is cut off.
        max_bytes: Size of the answer, in memory, beyond which it is refused.
    """

    timeout_s: float = 30.0
    max_rows: int = 100_000
    max_bytes: int = 256 << 20


DEFAULT_LIMITS: Final = QueryLimits()


@dataclass(frozen=True, slots=True)
class QueryResult:
    """An answer.

    Attributes:
        table: The rows.
        truncated: True when there were more than the limit; these are then some of them.
    """

    table: pa.Table
    truncated: bool


class Cancellation:
    """Stops a query from another thread, before it begins too."""

    def __init__(self) -> None:
        self._cursor: Connection | None = None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self.reason = ""

    @property
    def begun(self) -> bool:
        """True once the query was handed to DuckDB."""
        return self._cursor is not None or self._over.is_set()

    def cancel(self, reason: str = "the query was cancelled") -> None:
        """Stop it; the first reason counts. Returns at once."""
        with self._lock:
            first, self.reason = not self.reason, self.reason or reason
            if first and self._cursor is not None:
                threading.Thread(target=self._insist, args=(self._cursor,), daemon=True).start()

    def _insist(self, cursor: Connection) -> None:
        """DuckDB forgets an interruption that comes just before it begins."""
        cursor.interrupt()
        while not self._over.wait(_AGAIN_S):
            cursor.interrupt()

    @contextmanager
    def over(self, cursor: Connection) -> Iterator[None]:
        """While it can be stopped.

        Raises:
            Refused: When it was, already.
        """
        with self._lock:
            if self.reason:
                raise Refused(self.reason)
            self._cursor = cursor
        try:
            yield
        finally:
            self._over.set()


def run_query(
    store: Store, sql: str, limits: QueryLimits = DEFAULT_LIMITS, cancellation: Cancellation | None = None
) -> QueryResult:
    """The answer to one statement that only reads.

    Args:
        store: What is asked.
        sql: The statement.
        limits: Its bounds.
        cancellation: What may stop it before.

    Raises:
        Refused: For anything but one reading statement, for one that DuckDB does not understand, for one that takes
            too long or too much memory, and for one that was cancelled; the message is one line.
    """
    stop = cancellation or Cancellation()
    cursor = store.cursor()
    expired = f"the query took longer than {limits.timeout_s:g} s; narrow it or raise the limit"
    timer = threading.Timer(limits.timeout_s, stop.cancel, (expired,))
    timer.daemon = True
    try:
        statement = _checked(cursor, sql)
        cursor.execute("BEGIN TRANSACTION READ ONLY")
        with stop.over(cursor):
            timer.start()
            return _read(cursor, statement, limits)
    except (duckdb.Error, pa.ArrowException, RuntimeError) as error:
        raise Refused(stop.reason or _reason(error)) from error
    finally:
        timer.cancel()
        cursor.close()  # ends the transaction, if one was begun


def _checked(cursor: Connection, sql: str) -> Any:
    statements = cursor.extract_statements(sql)
    if len(statements) != 1:
        raise Refused(f"one statement at a time; this is {len(statements)}")
    (statement,) = statements
    try:
        kind = statement.type
    except ValueError:  # a kind that DuckDB's parser has and its Python library has no name for
        raise Refused(f"this statement is not allowed here: only {_ALLOWED}") from None
    if kind not in _READS:
        raise Refused(f"{kind.name} is not allowed here: only {_ALLOWED}")
    forbidden = _called(sql) & _table_functions(cursor)
    if forbidden:
        raise Refused(f"{min(forbidden)}() is not allowed here; {_FILES}")
    return statement


def _called(sql: str) -> set[str]:
    """Names that stand before a parenthesis, outside texts and comments."""
    text = sql.encode()
    tokens = [(at, kind) for at, kind in duckdb.tokenize(sql) if kind is not duckdb.token_type.comment]
    found = set[str]()
    for (at, _), (after, _) in pairwise(tokens):
        name = _NAME.match(text[at:after].decode(errors="replace"))
        if name and text[after : after + 1] == b"(":
            found.add((name[1].replace('""', '"') if name[1] is not None else name[2]).lower())
    return found


def _table_functions(cursor: Connection) -> set[str]:
    """Those of this DuckDB that may not be called."""
    rows = cursor.execute(
        "SELECT DISTINCT lower(function_name) FROM duckdb_functions() WHERE function_type IN ('table', 'pragma')"
    ).fetchall()
    return {name for (name,) in rows if not _PURE.fullmatch(name)}


def _read(cursor: Connection, statement: Any, limits: QueryLimits) -> QueryResult:
    reader: Any = cursor.sql(statement).to_arrow_reader(_ROWS_AT_A_TIME)
    batches: list[pa.RecordBatch] = []
    rows = size_bytes = 0
    for batch in reader:
        batches.append(batch)
        rows += batch.num_rows
        size_bytes += batch.nbytes
        if size_bytes > limits.max_bytes:
            raise Refused(
                f"the answer is larger than {limits.max_bytes >> 20} MiB; ask for fewer columns or rows"
            )
        if rows > limits.max_rows:
            break
    table = pa.Table.from_batches(batches, schema=reader.schema)
    return QueryResult(table.slice(0, limits.max_rows), rows > limits.max_rows)


def _reason(error: BaseException) -> str:
    if _FILE_ACCESS.search(str(error)):
        return _FILES
    if isinstance(error, duckdb.OutOfMemoryException):
        return "the query needs more memory than the store may use; narrow it"
    if isinstance(error, duckdb.TransactionException):
        return f"a statement that writes is not allowed here: only {_ALLOWED}"
    if isinstance(error, duckdb.BinderException | duckdb.CatalogException):
        return f"{one_line(error)}; `octolog tables` lists tables and columns"
    return one_line(error)
