"""The query service, `octolog.connect`, and stores that replace each other while they are asked."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pyarrow as pa
import pytest

import octolog
from octolog.app.knowledge.live_store import LiveStore
from octolog.app.knowledge.server import QueryServer
from octolog.app.projector import ProjectorState
from octolog.domain.errors import NotFound, Refused
from projections.analytics.queries import table_digests
from projections.analytics.sink import AnalyticsProjection
from projections.duck import Store, merge_stores

ENDLESS = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE (a.range * b.range) % 7 = 3"


@pytest.fixture(scope="module")
def service(known: Any) -> Iterator[httpx.Client]:
    server = QueryServer(LiveStore(known.store), lambda: ProjectorState(positions={("t", 0): 7}))
    with httpx.Client(base_url=server.start(), timeout=60) as client:
        yield client
    server.stop()


def filled(known: Any, path: Path | None, keep: Any = lambda _: True) -> tuple[Store, AnalyticsProjection]:
    store = Store.open(path)
    projection = AnalyticsProjection(store, known.ids)
    projection.apply([record for record in known.records if keep(record)], {})
    return store, projection


# The service


def test_sql_is_answered_as_an_arrow_stream(service: httpx.Client) -> None:
    answer = service.post("/sql", json={"sql": "SELECT 1 AS x UNION ALL SELECT 2 ORDER BY 1", "max_rows": 1})
    assert (answer.status_code, answer.headers["X-Truncated"]) == (200, "1")
    assert pa.ipc.open_stream(answer.content).read_all().to_pylist() == [{"x": 1}]


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/sql", {"sql": "DELETE FROM attempt_ended"}, "DELETE is not allowed"),
        ("/sql", {"sql": "SELECT 1", "timeout_s": 1e9}, "timeout_s"),
        ("/sql", {"sql": "SELECT 1", "max_rows": 0}, "max_rows"),
        ("/sql", {}, "sql"),
        ("/sql", [], "no such question"),
        ("/call", {"method": "drop"}, "no question named drop"),
        ("/call", {"method": "task", "args": {"nope": 1}}, "no such question"),
        ("/swap", {"file": "knowledge-2.duckdb"}, "nothing can be put in place here"),
        ("/swap", {"file": "../../etc/passwd"}, "file"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_one_line(
    service: httpx.Client, path: str, body: Any, said: str
) -> None:
    answer = service.post(path, json=body)
    assert answer.status_code == 400
    assert said in answer.json()["message"]
    assert "\n" not in answer.json()["message"]


def test_what_a_page_in_a_browser_can_send_is_refused(service: httpx.Client) -> None:
    answer = service.post("/sql", content='{"sql": "SELECT 1"}', headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415


def test_who_goes_away_has_cancelled_the_query(known: Any) -> None:
    live = LiveStore(known.store)
    server = QueryServer(live, ProjectorState)
    url = httpx.URL(server.start())
    body = json.dumps({"sql": ENDLESS, "timeout_s": 3_000}).encode()
    head = f"POST /sql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection((url.host, url.port or 0)) as client:
        client.sendall(head.encode() + body)
        while live._current.count == 0:
            pass
    given_up = threading.Event()
    live.replace(known.store, given_up.set)
    assert given_up.wait(60), "the query still has the store"
    server.stop()


# Replacing a store


def test_a_store_is_given_up_once_the_last_who_has_it_is_done(known: Any) -> None:
    live, given_up = LiveStore(known.store), threading.Event()
    other = Store.open(None)
    with live.lease() as first, live.lease():
        live.replace(other, given_up.set)
        assert first is known.store
        assert not given_up.is_set()
        with live.lease() as now:
            assert now is other
    assert given_up.is_set()
    other.close()


def test_tables_built_in_parts_and_put_together_equal_those_built_at_once(known: Any, tmp_path: Path) -> None:
    parts = [tmp_path / "part0.duckdb", tmp_path / "part1.duckdb"]
    for number, path in enumerate(parts):
        filled(known, path, lambda record, number=number: record.partition == number)[1].close()
    whole = tmp_path / "knowledge-2.duckdb"
    AnalyticsProjection(Store.open(whole), known.ids).close()
    merge_stores(parts, whole)
    store = Store.open(whole, read_only=True)
    assert table_digests(store) == table_digests(known.store)
    assert store.positions() == known.store.positions()
    store.close()


def test_a_table_that_lost_or_changed_a_row_has_another_digest(known: Any) -> None:
    store, projection = filled(known, None)
    before = table_digests(store)
    assert before == table_digests(known.store)
    store.execute("UPDATE attempt_ended SET settled_tokens = settled_tokens + 1 WHERE link_seq = 5")
    store.execute("DELETE FROM task_completed WHERE link_root_task_id = 'task-000001'")
    after = table_digests(store)
    assert {name for name in before if before[name] != after[name]} == {"attempt_ended", "task_completed"}
    projection.close()


def test_a_store_made_by_another_version_or_layout_says_so(known: Any) -> None:
    store, projection = filled(known, None)
    assert AnalyticsProjection.made_otherwise(store) is None
    store.execute("UPDATE meta.projections SET layout = 'x'")
    assert AnalyticsProjection.made_otherwise(store) == "its tables have another layout"
    store.execute("UPDATE meta.projections SET version = 0")
    assert "its version is 0" in (AnalyticsProjection.made_otherwise(store) or "")
    projection.close()


# From Python


def test_connect_gives_rows_as_arrow_polars_pandas_and_tuples(known: Any, tmp_path: Path) -> None:
    path = tmp_path / "copy.duckdb"
    filled(known, path)[1].close()
    with octolog.connect(file=path) as log:
        found = log.sql("SELECT 1 AS x, 'a' AS y UNION ALL SELECT 2, 'b' ORDER BY 1")
        assert found.arrow().to_pylist() == [{"x": 1, "y": "a"}, {"x": 2, "y": "b"}]
        assert found.pl().equals(
            pl.DataFrame({"x": [1, 2], "y": ["a", "b"]}, schema_overrides={"x": pl.Int32})
        )
        assert found.df().to_dict("list") == {"x": [1, 2], "y": ["a", "b"]}
        assert (found.fetchall(), found.columns, len(found)) == ([(1, "a"), (2, "b")], ["x", "y"], 2)
        assert log.sql("FROM tasks", max_rows=2).truncated
        assert {row["name"] for row in log.tables()} >= {"tasks", "memory_growth"}
        with pytest.raises(Refused, match="not allowed"):
            log.sql("DROP TABLE attempt_ended")


def test_connecting_to_nothing_says_so_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such file"):
        octolog.connect(file=tmp_path / "nope.duckdb")
    with pytest.raises(NotFound, match="nothing is projected"):
        octolog.connect(tmp_path)
