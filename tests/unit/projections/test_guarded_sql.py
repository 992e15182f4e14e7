"""`run_query`: one statement that reads, within bounds; everything else is refused in one line."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from octolog.domain.errors import Refused, StoreUnavailable
from projections.analytics.queries import canonical_digest
from projections.duck import Store, StoreSettings
from projections.sql.queries import Cancellation, QueryLimits, run_query

READS = {
    "SELECT": "SELECT count(*) AS n FROM tasks",
    "WITH": "WITH a AS (SELECT 1 AS x) SELECT x FROM a",
    "FROM": "FROM attempts LIMIT 3",
    "DESCRIBE": "DESCRIBE tasks",
    "SHOW": "SHOW TABLES",
    "SUMMARIZE": "SUMMARIZE cost_per_arm_day",
    "EXPLAIN": "EXPLAIN SELECT * FROM tasks",
    "a trailing semicolon": "SELECT 1 AS x;",
    "functions that compute": "SELECT * FROM range(3) AS r, unnest([1, 2]) AS u(x), generate_series(1, 2) AS g",
    "a text that looks like a call": "SELECT 'read_csv(1)' AS x -- read_csv(",
    "the catalog": "SELECT table_name FROM duckdb_tables()",
    "a comment": "-- how many\nSELECT count(*) AS n FROM timeline",
}


@pytest.mark.parametrize("what", READS)
def test_what_reads_is_answered(known: Any, what: str) -> None:
    result = run_query(known.store, READS[what])
    assert result.table.num_rows > 0
    assert not result.truncated


WRITES = {
    "INSERT": ("INSERT INTO meta.positions VALUES ('a', 'b', 1, 2)", "INSERT is not allowed"),
    "INSERT inside WITH": (
        "WITH x AS (INSERT INTO meta.positions VALUES ('a', 'b', 1, 2) RETURNING *) SELECT * FROM x",
        "writes is not allowed",
    ),
    "DELETE inside WITH": (
        "WITH x AS (DELETE FROM attempt_ended RETURNING *) SELECT count(*) FROM x",
        "writes is not allowed",
    ),
    "INSERT inside EXPLAIN ANALYZE": (
        "EXPLAIN ANALYZE INSERT INTO meta.positions VALUES ('a', 'b', 1, 2)",
        "writes is not allowed",
    ),
    "UPDATE": ("UPDATE attempt_ended SET settled_tokens = 0", "UPDATE is not allowed"),
    "DELETE": ("DELETE FROM attempt_ended", "DELETE is not allowed"),
    "DROP": ("DROP TABLE attempt_ended", "DROP is not allowed"),
    "CREATE": ("CREATE TABLE x AS SELECT 1", "CREATE is not allowed"),
    "COPY": ("COPY tasks TO 'x.csv'", "COPY is not allowed"),
    "EXPORT": ("EXPORT DATABASE 'x'", "is not allowed"),
    "ATTACH": ("ATTACH 'x.duckdb'", "ATTACH is not allowed"),
    "INSTALL": ("INSTALL httpfs", "LOAD is not allowed"),
    "LOAD": ("LOAD httpfs", "LOAD is not allowed"),
    "PRAGMA": ("PRAGMA database_size", "PRAGMA is not allowed"),
    "SET": ("SET threads = 1", "SET is not allowed"),
    "CALL": ("CALL pragma_version()", "CALL is not allowed"),
    "CHECKPOINT": ("CHECKPOINT", "CALL is not allowed"),
    "BEGIN": ("BEGIN", "TRANSACTION is not allowed"),
    "two statements": ("SELECT 1; DELETE FROM attempt_ended", "one statement at a time; this is 2"),
    "no statement": ("-- nothing", "one statement at a time; this is 0"),
    "read_csv": ("SELECT * FROM read_csv('/etc/passwd')", "files, other databases"),
    "read_text": ("SELECT content FROM read_text('/etc/passwd')", "files, other databases"),
    "pointers": ("SELECT * FROM arrow_scan(1, 2, 3)", "arrow_scan"),
    "a file as a table": ("SELECT * FROM '/etc/passwd.csv'", "files, other databases"),
    "glob": ("SELECT * FROM glob('/*')", "files, other databases"),
    "read_parquet": ("SELECT * FROM read_parquet('/x.parquet')", "read_parquet"),
    "read_json": ("SELECT * FROM read_json('/etc/passwd')", "read_json"),
    "read_blob": ("SELECT * FROM read_blob('/etc/passwd')", "read_blob"),
    "sniff_csv": ("SELECT * FROM sniff_csv('/etc/passwd')", "sniff_csv"),
    "parquet_metadata": ("SELECT * FROM parquet_metadata('/x.parquet')", "parquet_metadata"),
    "another database": ("SELECT * FROM read_duckdb('/tmp/other.duckdb')", "read_duckdb"),
    "an address": ("SELECT * FROM 'https://example.com/x.parquet'", "files, other databases"),
    "a quoted name": ("SELECT * FROM \"READ_text\" /* ( */ ('/etc/passwd')", "read_text"),
    "a qualified name": ("SELECT * FROM system.main.read_text ('/etc/passwd')", "read_text"),
    "a name after letters that take more bytes": ("SELECT 'äöü' FROM read_text('/etc/passwd')", "read_text"),
    "SQL inside SQL": ("SELECT * FROM query('SELECT 1')", r"query\(\)"),
    "a table by its name as text": ("SELECT * FROM query_table('/etc/passwd.csv')", "query_table"),
    "SQL as JSON": ("SELECT * FROM json_execute_serialized_sql('{}')", "json_execute_serialized_sql"),
    "EXPLAIN ANALYZE of a COPY": ("EXPLAIN ANALYZE COPY tasks TO '/tmp/x.csv'", "files, other databases"),
    "EXPLAIN ANALYZE of a file": ("EXPLAIN ANALYZE SELECT * FROM read_text('/etc/passwd')", "read_text"),
    "DESCRIBE of a file": ("DESCRIBE '/etc/passwd.csv'", "files, other databases"),
    "COPY FROM": ("COPY tasks FROM '/etc/passwd'", "COPY is not allowed"),
    "COPY of a query": ("COPY (SELECT 1) TO '/tmp/x.csv'", "COPY is not allowed"),
    "IMPORT": ("IMPORT DATABASE '/tmp'", "is not allowed"),
    "ATTACH in memory": ("ATTACH ':memory:' AS m", "ATTACH is not allowed"),
    "DETACH": ("DETACH knowledge", "DETACH is not allowed"),
    "USE": ("USE memory", "is not allowed"),
    "LOAD of a file": ("LOAD '/tmp/x.duckdb_extension'", "LOAD is not allowed"),
    "INSTALL from an address": ("INSTALL httpfs FROM 'http://example.com'", "LOAD is not allowed"),
    "UPDATE EXTENSIONS": ("UPDATE EXTENSIONS", "is not allowed"),
    "unlocking the settings": ("SET lock_configuration = false", "SET is not allowed"),
    "opening the outside": ("SET enable_external_access = true", "SET is not allowed"),
    "RESET": ("RESET memory_limit", "SET is not allowed"),
    "a settings function": ("SELECT * FROM enable_logging()", "enable_logging"),
    "a checkpoint function": ("SELECT * FROM checkpoint()", "checkpoint"),
    "a secret": ("CREATE SECRET (TYPE s3)", "CREATE is not allowed"),
    "PREPARE": ("PREPARE p AS DELETE FROM attempt_ended", "PREPARE is not allowed"),
    "EXECUTE": ("EXECUTE p", "EXECUTE is not allowed"),
    "a temporary table": ("CREATE TEMP TABLE x AS SELECT 1", "CREATE is not allowed"),
    "a macro": ("CREATE MACRO f() AS 1", "CREATE is not allowed"),
    "a view": ("CREATE OR REPLACE VIEW tasks AS SELECT 1", "CREATE is not allowed"),
    "ALTER": ("ALTER TABLE attempt_ended ADD COLUMN x INTEGER", "ALTER is not allowed"),
    "MERGE": (
        "MERGE INTO attempt_ended USING attempt_ended AS o ON true WHEN MATCHED THEN DELETE",
        "MERGE_INTO",
    ),
    "TRUNCATE": ("TRUNCATE attempt_ended", "DELETE is not allowed"),
    "VACUUM": ("VACUUM", "VACUUM is not allowed"),
    "a write between two reads": (
        "SELECT 1; SET threads = 1; SELECT 2",
        "one statement at a time; this is 3",
    ),
    "nonsense": ("SELEKT 1", "syntax error"),
    "no such table": ("SELECT * FROM nowhere", "nowhere"),
    "a variable of ours": ("SELECT * FROM known", "known"),
}


@pytest.fixture(scope="module")
def untouched(known: Any) -> Iterator[None]:
    """Whatever was tried in between: the store is what it was."""
    before = canonical_digest(known.store)
    yield
    assert canonical_digest(known.store) == before


@pytest.mark.parametrize("what", WRITES)
@pytest.mark.usefixtures("untouched")
def test_what_writes_or_looks_outside_is_refused_in_one_line(known: Any, what: str) -> None:
    sql, reason = WRITES[what]
    with pytest.raises(Refused, match=reason) as caught:
        run_query(known.store, sql)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "sql",
    [
        "WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r) SELECT max(i) FROM r",
        "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE (a.range * b.range) % 7 = 3",
    ],
)
def test_what_would_never_end_is_stopped_in_time(known: Any, sql: str) -> None:
    begun = time.monotonic()
    with pytest.raises(Refused, match=r"longer than 0\.3 s"):
        run_query(known.store, sql, QueryLimits(timeout_s=0.3))
    assert time.monotonic() - begun < 60, "either would take for ever"
    assert run_query(known.store, "SELECT 1 AS x").table.to_pylist() == [{"x": 1}]


def test_a_query_is_cancelled_from_another_thread_and_before_it_begins(known: Any) -> None:
    sql = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE (a.range * b.range) % 7 = 3"
    cancellation = Cancellation()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run_query, known.store, sql, QueryLimits(timeout_s=60), cancellation)
        while not cancellation.begun:
            assert not running.done()
        cancellation.cancel()
        with pytest.raises(Refused, match="was cancelled"):
            running.result(60)
    with pytest.raises(Refused, match="was cancelled"):
        run_query(known.store, "SELECT 1", cancellation=cancellation)


def test_an_answer_is_cut_at_the_limit_and_says_so(known: Any) -> None:
    result = run_query(known.store, "SELECT range AS x FROM range(10000)", QueryLimits(max_rows=100))
    assert (result.table.num_rows, result.truncated) == (100, True)
    whole = run_query(known.store, "SELECT range AS x FROM range(100)", QueryLimits(max_rows=100))
    assert (whole.table.num_rows, whole.truncated) == (100, False)


def test_an_answer_too_large_is_refused(known: Any) -> None:
    with pytest.raises(Refused, match="larger than 1 MiB"):
        run_query(known.store, "SELECT repeat('x', 3000000) AS x", QueryLimits(max_bytes=1 << 20))


def test_a_query_beyond_the_memory_is_refused_and_the_store_goes_on() -> None:
    store = Store.open(None, StoreSettings(memory_limit_mb=64))
    with pytest.raises(Refused, match="more memory than the store may use"):
        run_query(store, "SELECT list(range) AS x FROM range(1000000000)")
    assert run_query(store, "SELECT 1 AS x").table.num_rows == 1
    store.close()


def test_queries_run_while_the_writer_is_in_a_transaction(known: Any) -> None:
    sql = "SELECT count(*) AS n FROM attempt_ended"
    before = run_query(known.store, sql).table.to_pylist()
    known.store.execute("BEGIN")
    known.store.execute("DELETE FROM attempt_ended")
    during = run_query(known.store, sql).table.to_pylist()
    known.store.execute("ROLLBACK")
    assert during == before == run_query(known.store, sql).table.to_pylist()


def test_a_file_opened_to_read_answers_and_takes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "knowledge.duckdb"
    store = Store.open(path)
    store.execute("CREATE TABLE t AS SELECT 7 AS x")
    store.close()
    reader = Store.open(path, read_only=True)
    assert run_query(reader, "SELECT x FROM t").table.to_pylist() == [{"x": 7}]
    with pytest.raises(StoreUnavailable), reader.transaction():
        reader.execute("DELETE FROM t")
    reader.close()


def test_what_is_no_database_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "knowledge.duckdb"
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreUnavailable, match=r"knowledge\.duckdb") as caught:
        Store.open(path)
    assert "\n" not in str(caught.value)
