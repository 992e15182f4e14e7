from __future__ import annotations

from itertools import islice

import pytest

from octolog.domain.ids import TaskId
from projections.analytics import queries
from projections.analytics.places import place_of
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


def test_the_newest_of_a_status_are_found_among_the_newest_of_all(
    known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_all = {
        status: queries.tasks(known.store, 5, status) for status in ("failed", "completed", "cancelled")
    }
    monkeypatch.setattr(queries, "_FIRST_LOOK", 100)
    assert {status: queries.tasks(known.store, 5, status) for status in of_all} == of_all


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
