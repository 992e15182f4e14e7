"""What every `Projection` must keep to, run against the DuckDB store in memory, on disk, and read one by one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from benches._history import History
from octolog.domain.errors import StoreUnavailable
from octolog.ports import LogRecord, Projection
from projections.analytics.queries import canonical_digest
from projections.analytics.sink import AnalyticsProjection
from projections.columnar import ColumnReader
from projections.duck import Store
from projections.tables import FOLLOWED, tables
from schemas.registry import MemorySchemaTopic, TopicSchemaIds


class Letters:
    """A dead-letter sink that keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[LogRecord, str, str]] = []

    def refuse(self, record: LogRecord, reason: str, error: str) -> None:
        self.told.append((record, reason, error))


@dataclasses.dataclass
class Case:
    """A history, and projections to read it with."""

    ids: TopicSchemaIds
    history: History
    open: Callable[[], AnalyticsProjection]
    store: Callable[[Projection], Store]
    letters: Letters

    @property
    def records(self) -> list[LogRecord]:
        return [record for record in self.history.records if record.topic in FOLLOWED]

    def feed(self, projection: Projection, size: int, records: Sequence[LogRecord] | None = None) -> None:
        every = self.records if records is None else list(records)
        for start in range(0, len(every), size):
            batch = every[start : start + size]
            projection.apply(batch, self.history.after(batch))

    def rows(self, projection: Projection) -> int:
        names = [table.name for table in tables()]
        store = self.store(projection)
        return sum(store.rows(f'SELECT count(*) AS n FROM "{name}"')[0]["n"] for name in names)


@pytest.fixture(params=["memory", "file", "one by one"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    ids = TopicSchemaIds(MemorySchemaTopic())
    history = History(ids)
    history.grow(1_000)
    history.dead_letter()
    stores: dict[int, Store] = {}
    letters = Letters()

    def opened() -> AnalyticsProjection:
        path = tmp_path / f"{len(stores)}.duckdb" if request.param == "file" else None
        store = Store.open(path)
        reader = ColumnReader(ids, single=request.param == "one by one")
        projection = AnalyticsProjection(store, ids, letters, reader=reader)
        stores[id(projection)] = store
        return projection

    yield Case(ids, history, opened, lambda projection: stores[id(projection)], letters)
    for store in stores.values():
        store.close()


def test_a_new_store_has_no_position(case: Case) -> None:
    assert case.open().positions() == {}


def test_every_record_of_a_followed_topic_is_a_row(case: Case) -> None:
    projection = case.open()
    case.feed(projection, 400)
    assert case.rows(projection) == len(case.records)
    assert case.letters.told == []


def test_positions_are_those_of_the_reader(case: Case) -> None:
    projection = case.open()
    case.feed(projection, 400)
    assert projection.positions() == case.history.after(case.records)


def test_positions_pass_over_offsets_without_a_record(case: Case) -> None:
    projection = case.open()
    projection.apply([], {("octolog.tasks", 0): 17})
    assert projection.positions() == {("octolog.tasks", 0): 17}


def test_the_same_batch_twice_counts_once(case: Case) -> None:
    projection = case.open()
    case.feed(projection, 400)
    before = canonical_digest(case.store(projection))
    case.feed(projection, 400)
    assert canonical_digest(case.store(projection)) == before


def test_a_batch_that_overlaps_the_last_one_adds_only_what_is_new(case: Case) -> None:
    projection = case.open()
    records = case.records
    case.feed(projection, 400, records[:400])
    case.feed(projection, 400, records[200:600])
    assert case.rows(projection) == 600


def test_a_record_twice_in_one_batch_counts_once(case: Case) -> None:
    projection = case.open()
    first = case.records[0]
    projection.apply([first, first], {(first.topic, first.partition): first.offset + 1})
    assert case.rows(projection) == 1


def test_positions_never_go_back(case: Case) -> None:
    projection = case.open()
    case.feed(projection, 400)
    before = projection.positions()
    case.feed(projection, 400, case.records[:400])
    assert projection.positions() == before


def test_a_failure_in_the_middle_leaves_neither_rows_nor_positions(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    projection = case.open()
    store = case.store(projection)
    case.feed(projection, 400, case.records[:400])
    before = canonical_digest(store), projection.positions()
    insert, calls = store.insert, 0

    def failing(table: str, frame: pl.DataFrame) -> None:
        nonlocal calls
        calls += 1
        insert(table if calls < 3 else "no_such_table", frame)

    monkeypatch.setattr(store, "insert", failing)
    with pytest.raises(StoreUnavailable, match="no_such_table") as caught:
        case.feed(projection, 400, case.records[400:800])
    assert "\n" not in str(caught.value)
    assert calls == 3
    assert (canonical_digest(store), projection.positions()) == before
    monkeypatch.undo()
    case.feed(projection, 400)
    assert case.rows(projection) == len(case.records)


def test_reset_drops_rows_and_positions_and_the_store_can_be_filled_again(case: Case) -> None:
    projection = case.open()
    case.feed(projection, 400)
    before = canonical_digest(case.store(projection))
    projection.reset()
    assert projection.positions() == {}
    assert case.rows(projection) == 0
    case.feed(projection, 400)
    assert canonical_digest(case.store(projection)) == before


@pytest.mark.parametrize("size", [1_000_000, 97])
def test_a_rebuild_equals_the_live_store_however_it_was_batched(case: Case, size: int) -> None:
    live, rebuilt = case.open(), case.open()
    case.feed(live, 400)
    case.feed(rebuilt, size)
    assert canonical_digest(case.store(rebuilt)) == canonical_digest(case.store(live))


def test_one_row_more_or_other_is_another_digest(case: Case) -> None:
    projection = case.open()
    case.feed(projection, 400)
    store = case.store(projection)
    before = canonical_digest(store)
    store.execute("UPDATE attempt_ended SET settled_tokens = settled_tokens + 1 WHERE link_seq = 5")
    assert canonical_digest(store) != before


def test_a_bad_record_becomes_a_dead_letter_and_the_rest_lands(case: Case) -> None:
    projection = case.open()
    records = [
        dataclass_record for dataclass_record in case.records if dataclass_record.topic == "octolog.tasks"
    ]
    cut = records[50]._replace(value=(records[50].value or b"")[:-7])
    case.feed(projection, 10_000, [*records[:50], cut, *records[51:]])
    assert case.rows(projection) == len(records) - 1
    assert [(letter[0], letter[2]) for letter in case.letters.told] == [(cut, "UndecodableRecord")]
    assert projection.positions() == case.history.after(records)


def test_a_record_is_refused_before_the_positions_pass_it(case: Case) -> None:
    projection = case.open()

    class Broken:
        def refuse(self, record: LogRecord, reason: str, error: str) -> None:
            raise StoreUnavailable("the log does not answer")

    projection._dead_letters = Broken()
    with pytest.raises(StoreUnavailable, match="does not answer"):
        projection.apply([LogRecord("octolog.tasks", 0, 0, 1, b"k", b"")], {("octolog.tasks", 0): 1})
    assert projection.positions() == {}


def test_a_file_keeps_rows_and_positions(tmp_path: Path) -> None:
    ids = TopicSchemaIds(MemorySchemaTopic())
    history = History(ids)
    records = [record for record in history.grow(1_000) if record.topic in FOLLOWED]
    path = tmp_path / "knowledge.duckdb"
    first = AnalyticsProjection(Store.open(path), ids)
    first.apply(records, history.after(records))
    first.close()
    store = Store.open(path)
    second = AnalyticsProjection(store, ids)
    assert second.positions() == history.after(records)
    assert store.rows("SELECT count(*) AS n FROM timeline")[0]["n"] > 100
    second.close()


def test_a_store_of_another_layout_is_emptied_and_follows_from_the_beginning(tmp_path: Path) -> None:
    ids = TopicSchemaIds(MemorySchemaTopic())
    history = History(ids)
    records = [record for record in history.grow(500) if record.topic in FOLLOWED]
    path = tmp_path / "knowledge.duckdb"
    store = Store.open(path)
    first = AnalyticsProjection(store, ids)
    first.apply(records, history.after(records))
    store.execute("UPDATE meta.projections SET layout = 'older'")
    store.execute("CREATE TABLE left_over (x INTEGER)")
    first.close()
    store = Store.open(path)
    assert AnalyticsProjection(store, ids).positions() == {}
    assert {"name": "left_over"} not in store.rows("SHOW TABLES")
    store.close()


def fields(projection: Any) -> tuple[str, int, tuple[str, ...]]:
    return projection.name, projection.version, projection.topics


def test_it_says_what_it_follows(case: Case) -> None:
    assert fields(case.open()) == ("analytics", 1, FOLLOWED)
