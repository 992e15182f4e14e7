from __future__ import annotations

from itertools import islice

import polars as pl
import pytest

from octolog.domain.ids import TaskId
from projections.analytics import queries, settled
from projections.analytics.places import DDL, place_of
from projections.analytics.sink import AnalyticsProjection
from projections.analytics.state import attempts_of, nodes_of, tasks_of, tree_row
from projections.analytics.tree import read_tree
from projections.analytics.views import fact_tables
from projections.duck import Store
from projections.provenance.queries import provenance
from tests.unit.projections.conftest import Known

_BITS = 64
_TREES = 12
"""Every kind of tree that the history has, and each with other ends."""


@pytest.fixture(scope="module")
def roots(known: Known) -> list[TaskId]:
    rows = known.store.rows("SELECT root_task_id FROM trees ORDER BY root_task_id")
    return [TaskId(row["root_task_id"]) for row in islice(rows, _TREES)]


def test_a_tree_read_by_itself_says_what_the_views_say(known: Known, roots: list[TaskId]) -> None:
    store = known.store
    for root in roots:
        with store.snapshot() as now:
            tree = read_tree(now, root)
        assert tree is not None
        nodes = nodes_of(tree)
        assert sorted(map(str, nodes)) == sorted(map(str, _of(store, "task_nodes", root)))
        assert tasks_of(tree, nodes) == _of(store, "tasks", root, "ORDER BY seq, task_id")
        assert attempts_of(tree) == _of(store, "attempts", root, "ORDER BY assigned_seq")
        assert tree_row(tree) == _of(store, "trees", root)[0]


def test_custody_holds_every_fact_of_the_timeline(known: Known, roots: list[TaskId]) -> None:
    for root in roots:
        custody = provenance(known.store, root)
        assert custody.facts == len(queries.timeline(known.store, root))
        assert custody.faults == ()


def test_a_store_without_the_index_answers_the_same(known: Known, roots: list[TaskId]) -> None:
    store = Store.open(None)
    projection = AnalyticsProjection(store, known.ids)
    projection.apply(known.records, {})
    store.execute("DROP TABLE meta.tree_places")
    for root in roots[:3]:
        assert queries.task(store, root) == queries.task(known.store, root)
        assert provenance(store, root) == provenance(known.store, root)
        assert queries.root_of(store, root) == root
    projection.close()


def test_a_tree_whose_bytes_another_version_wrote_is_read_from_the_tables(
    known: Known, roots: list[TaskId]
) -> None:
    store = Store.open(None)
    projection = AnalyticsProjection(store, known.ids)
    projection.apply(known.records, {})
    store.execute("UPDATE meta.tree_records SET value = NULL WHERE log_offset % 5 = 0")
    for root in roots:
        assert queries.task(store, root) == queries.task(known.store, root)
        assert provenance(store, root) == provenance(known.store, root)
    projection.close()


@pytest.mark.parametrize(
    ("places", "spans"),
    [
        ([(0, 5), (9, 20)], ((0, 20),)),
        ([(700_000, 700_005), (0, 5), (3, 9)], ((0, 9), (700_000, 700_005))),
        ([(day * 100_000, day * 100_000 + 7) for day in range(30)], ((0, 2_900_007),)),
    ],
)
def test_a_tree_is_looked_for_where_it_lies_and_not_between(
    places: list[tuple[int, int]], spans: tuple[tuple[int, int], ...]
) -> None:
    store = Store.open(None)
    for ddl in ("CREATE SCHEMA meta", *DDL):
        store.execute(ddl)
    for first, last in places:
        store.execute("INSERT INTO meta.tree_places VALUES ('tree', 1, ?, ?, 3)", [first, last])
    with store.snapshot() as now:
        place = place_of(now, TaskId("tree"))
    assert place is not None
    assert (place.partitions, place.spans, place.beside) == ((1, 1), spans, {})
    store.close()


@pytest.mark.parametrize("size", [100_000, 1_500])
def test_trees_that_are_over_say_the_same_once_they_are_stored(
    known: Known, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settled, "ENOUGH", 1)
    store = Store.open(None)
    projection = AnalyticsProjection(store, known.ids)
    for start in range(0, len(known.records), size):
        projection.apply(known.records[start : start + size], {})
    assert store.rows("SELECT count(*) AS n FROM meta.settled_tasks")[0]["n"] > 0
    for view in ("tasks", "trees", "step_latency"):
        assert store.rows(f"FROM {view} ORDER BY ALL") == known.store.rows(f"FROM {view} ORDER BY ALL")
    projection.close()


def test_a_fact_that_comes_when_a_tree_is_over_opens_it_again(known: Known) -> None:
    store = Store.open(None)
    projection = AnalyticsProjection(store, known.ids)
    projection.apply(known.records, {})
    tree = pl.DataFrame(
        {
            "link_root_task_id": ["task-000001"],
            "link_seq": [9_999],
            "log_partition": [0],
            "log_offset": [10**9],
        },
        schema_overrides={"log_partition": pl.Int32},
    )
    settling = settled.Settling(store, enough=1)
    before = store.rows("FROM tasks ORDER BY ALL")
    for _ in range(2):
        with store.transaction():
            settling.store_batch([("retry_due", tree)], {})
        opened = store.rows(
            "SELECT DISTINCT root_task_id FROM meta.trees_open WHERE root_task_id = 'task-000001'"
        )
        assert len(opened) == 1
        assert store.rows("FROM tasks ORDER BY ALL") == before
        with store.transaction():
            settling.settle({})
        assert store.rows("FROM tasks ORDER BY ALL") == before
        stored = "SELECT count(*) AS n FROM meta.settled_trees WHERE root_task_id = 'task-000001'"
        assert store.rows(stored)[0]["n"] == 1
    projection.close()


def test_the_newest_of_a_status_are_found_among_stored_and_open_trees(
    known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, cut = Store.open(None), len(known.records) * 3 // 4
    monkeypatch.setattr(settled, "ENOUGH", 1)
    projection = AnalyticsProjection(store, known.ids)
    projection.apply(known.records[:cut], {})
    projection._settling = settled.Settling(store, enough=10**6)
    projection.apply(known.records[cut:], {})
    for table in ("settled_tasks", "trees_open"):
        assert store.rows(f"SELECT count(*) AS n FROM meta.{table}")[0]["n"] > 0
    every = known.store.rows("SELECT * FROM tasks ORDER BY submitted_at DESC, root_task_id, task_id")
    for status in ("failed", "completed", "cancelled", None):
        newest = [row for row in every if status is None or row["status"] == status.upper()]
        assert queries.tasks(store, 7, status) == newest[:7]
    projection.close()


def test_the_index_names_the_very_tables_that_hold_a_tree(known: Known, roots: list[TaskId]) -> None:
    for root in roots[:8]:
        with known.store.snapshot() as now:
            place = place_of(now, root)
        holding = {
            table.name
            for table in fact_tables()
            if known.store.rows(f"SELECT 1 FROM {table.name} WHERE link_root_task_id = ? LIMIT 1", [root])
        }
        assert place is not None
        assert place.tables == holding


def test_every_table_of_facts_has_a_bit_of_its_own() -> None:
    assert len(fact_tables()) <= _BITS


def _of(store: Store, view: str, root: TaskId, order: str = "") -> list[dict[str, object]]:
    return store.rows(f"SELECT * FROM {view} WHERE root_task_id = ? {order}", [root])
