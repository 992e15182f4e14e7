"""How `task show` and `task watch` show a tree: indented, operators with how far they are, wide ones collapsed."""

from __future__ import annotations

from typing import Any

import pytest

from octolog.cli.task_tree import from_core, from_rows, tree_rows
from octolog.domain.ids import TaskId
from octolog.domain.task.evolve import evolve
from octolog.domain.task.state import Tree, absent
from projections.analytics import queries
from projections.analytics.sink import AnalyticsProjection
from projections.duck import Store
from projections.tables import FOLLOWED
from streams.topics import TASKS
from tests.replay.log import World
from tests.replay.program_scenarios import program_of_every_operator, program_recovered, program_with_subtasks


def task(number: int, status: str) -> dict[str, Any]:
    return {
        "task_id": f"T/{number}",
        "parent_task_id": "T",
        "status": status,
        "operator": "ATOMIC",
        "made_as": "INNER",
        "parts": None,
        "attempts": 1,
        "arm": "a",
        "goal": "g",
    }


def root(parts: int) -> dict[str, Any]:
    return task(0, "WAITING") | {
        "task_id": "T",
        "parent_task_id": None,
        "operator": "MAP",
        "made_as": None,
        "parts": parts,
    }


def below(world: World) -> list[tuple[str, str, str]]:
    store = Store.open(None)
    projection = AnalyticsProjection(store, world.codec.ids)
    projection.apply([record for record in world.story if record.topic in FOLLOWED], {})
    found = queries.task(store, TaskId("task-1"))["below"]
    projection.close()
    return [
        (row["task"].removeprefix("task-1/"), row["operator"], row["status"])
        for row in tree_rows(from_rows(found))
    ]


def core(world: World, facts: int) -> Tree:
    tree = absent(TaskId("task-1"))
    for record in world.records[TASKS, 0][:facts]:
        evolve(tree, world.codec.decode(record.value).fact)
    return tree


def test_operators_stand_below_each_other_with_how_far_they_are() -> None:
    assert below(program_of_every_operator()) == [
        ("first", "atomic", "completed"),
        ("  a.argument", "atomic", "completed"),
        ("each", "map 2 of 2", "completed"),
        ("  x", "atomic", "completed"),
        ("  y", "atomic", "completed"),
        ("all", "reduce 2 of 2", "completed"),
        ("  x", "atomic", "completed"),
        ("  x.reduction", "atomic", "completed"),
        ("  y", "atomic", "completed"),
        ("  y.reduction", "atomic", "completed"),
    ]


def test_recoveries_and_subtasks_are_named() -> None:
    assert below(program_recovered())[:5] == [
        ("big", "atomic", "completed"),
        ("  recovery-1", "decomposition", "failed"),
        ("  recovery-2", "decomposition", "completed"),
        ("  decomposed-2", "map 2 of 2", "completed"),
        ("    left", "atomic", "completed"),
    ]
    assert below(program_with_subtasks())[1] == ("  subtask-1", "subtask", "completed")


def test_a_wide_map_shows_what_failed_and_works_and_counts_the_rest() -> None:
    parts = [task(number, "COMPLETED") for number in range(1_000)]
    parts[500] = task(500, "RUNNING")
    parts[900] = task(900, "FAILED")
    rows = tree_rows(from_rows([root(1_000), *parts]))
    assert len(rows) == 13
    assert (rows[0]["task"], rows[0]["operator"]) == ("T", "map 999 of 1000")
    assert [row["task"].strip() for row in rows if row["status"] in ("running", "failed")] == ["500", "900"]
    assert (rows[-1]["task"], rows[-1]["status"]) == ("  … 989 more", "989 completed")


def test_a_map_that_is_not_wide_is_shown_whole() -> None:
    rows = tree_rows(from_rows([root(12), *(task(number, "READY") for number in range(12))]))
    assert [row["task"].strip() for row in rows] == ["T", *map(str, range(12))]


@pytest.mark.parametrize("facts", [1, 2, 5, 14, 21])
def test_a_folded_tree_shows_every_task_that_is_in_it(facts: int) -> None:
    tree = core(program_of_every_operator(), facts)
    assert len(tree_rows(from_core(tree))) == len(tree.nodes)


def test_a_folded_tree_counts_what_has_left_it() -> None:
    world = program_of_every_operator()
    rows = tree_rows(from_core(core(world, len(world.records[TASKS, 0]) - 1)))
    assert rows[0]["operator"] == "sequential 3 of 3"
