"""One read-only statement in SQL, within bounds of time and size.

Three walls, each enough alone against what it is for. DuckDB's own parser says what kind of statement it is.
The transaction is read-only, because a `WITH` may hide an INSERT. And the store was opened without access to
files and extensions, and with its settings locked (`projections.duck`).
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import pyarrow as pa

from octolog.domain.errors import Refused
from projections.duck import Connection, Store, one_line

_READS: Final = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
"""DESCRIBE, SHOW, SUMMARIZE, FROM and VALUES are SELECTs to DuckDB's parser."""

_ALLOWED: Final = "SELECT, WITH, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN"
_FILE_ACCESS: Final = re.compile(r"disabled by configuration")
_ROWS_AT_A_TIME: Final = 2_048


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


def run_query(store: Store, sql: str, limits: QueryLimits = DEFAULT_LIMITS) -> QueryResult:
    """The answer to one statement that only reads.

    Raises:
        Refused: For anything but one reading statement, for one that DuckDB does not understand, and for one
            that takes too long or too much memory; the message is one line.
    """
    cursor = store.cursor()
    expired = threading.Event()
    timer = threading.Timer(limits.timeout_s, _interrupt, (cursor, expired))
    timer.daemon = True
    try:
        statement = _checked(cursor, sql)
        cursor.execute("BEGIN TRANSACTION READ ONLY")
        timer.start()
        return _read(cursor, statement, limits)
    except (duckdb.Error, pa.ArrowException, RuntimeError) as error:
        if expired.is_set():
            raise Refused(
                f"the query took longer than {limits.timeout_s:g} s; narrow it or raise the limit"
            ) from error
        raise Refused(_reason(error)) from error
    finally:
        timer.cancel()
        if timer.ident is not None:
            timer.join()  # it holds the cursor
        cursor.close()  # ends the transaction, if one was begun


def _checked(cursor: Connection, sql: str) -> Any:
    statements = cursor.extract_statements(sql)
    if len(statements) != 1:
        raise Refused(f"one statement at a time; this is {len(statements)}")
    (statement,) = statements
    if statement.type not in _READS:
        raise Refused(f"{statement.type.name} is not allowed here: only {_ALLOWED}")
    return statement


def _interrupt(cursor: Connection, expired: threading.Event) -> None:
    expired.set()
    cursor.interrupt()


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
        return "files, other databases and extensions are not readable here: only the tables of the log"
    if isinstance(error, duckdb.OutOfMemoryException):
        return "the query needs more memory than the store may use; narrow it"
    if isinstance(error, duckdb.TransactionException):
        return f"a statement that writes is not allowed here: only {_ALLOWED}"
    return one_line(error)
