"""Folding the facts, and one tree as of a moment."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from octolog.domain.errors import LogCorrupted, NotFound
from octolog.domain.ids import TaskId
from octolog.domain.task.state import NodeStatus, TreeStatus
from octolog.ports import LogRecord
from streams.partitioner import partition_for
from streams.replay import rebuild, state_at
from streams.topics import TASKS
from tests.replay.log import MemoryReader, World
from tests.replay.scenarios import (
    plan_by_an_arm,
    priority_within_a_window,
    retry_until_it_works,
    waiting_for_the_registry,
)

ROOT = TaskId("task-1")


def _reader(world: World) -> MemoryReader:
    return world.source.reader()


def _edit(world: World, index: int, record: LogRecord) -> None:
    world.records[TASKS, 0][index] = record


def test_trees_are_counted_by_how_they_stand() -> None:
    found = rebuild(waiting_for_the_registry().source)
    assert found.to_json()["trees"] == {"COMPLETED": 2, "OPEN": 1}
    assert found.to_json()["open_trees"] == 1
    assert found.facts == len(waiting_for_the_registry().facts())


def test_two_replays_come_to_one_digest() -> None:
    first, second = (rebuild(tell().source) for tell in (plan_by_an_arm, plan_by_an_arm))
    assert first.digest == second.digest


def test_every_fact_changes_the_digest() -> None:
    world = priority_within_a_window()
    ends = [record.offset + 1 for record in world.records[TASKS, 0]]
    digests = {rebuild(world.source, until={(TASKS, 0): end}).digest for end in [0, *ends]}
    assert len(digests) == len(ends) + 1


def test_a_fold_refuses_an_edited_fact() -> None:
    world = plan_by_an_arm()
    record = world.records[TASKS, 0][3]
    value = bytearray(record.value or b"")
    value[-1] ^= 1
    _edit(world, 3, record._replace(value=bytes(value)))
    with pytest.raises(LogCorrupted, match=rf"{TASKS}/0@{record.offset}: the fact was edited"):
        rebuild(world.source)


def test_a_fold_refuses_a_gap() -> None:
    world = plan_by_an_arm()
    del world.records[TASKS, 0][3]
    with pytest.raises(LogCorrupted, match="fact 4 of the partition, not 3"):
        rebuild(world.source)


def test_a_tree_is_shown_as_it_is() -> None:
    world = plan_by_an_arm()
    view = state_at(_reader(world), world.codec, ROOT)
    assert view.tree.status is TreeStatus.COMPLETED
    assert view.head == world.facts()[-1].hash
    assert view.to_json()["facts"] == len(world.facts())
    assert view.to_json()["last_fact"] == "TaskCompleted"


def test_a_tree_is_shown_as_it_was_at_an_offset() -> None:
    world = plan_by_an_arm()
    planned = next(
        r.offset
        for r, f in zip(world.records[TASKS, 0], world.facts(), strict=True)
        if hasattr(f.fact, "steps")
    )
    before = state_at(_reader(world), world.codec, ROOT, at=planned - 1)
    after = state_at(_reader(world), world.codec, ROOT, at=planned)
    assert (len(before.tree.nodes), len(after.tree.nodes)) == (1, 3)
    assert after.tree.nodes[TaskId("task-1/one")].status is NodeStatus.READY


def test_a_tree_as_of_an_offset_has_that_fact_and_says_that_offset() -> None:
    world = plan_by_an_arm()
    for record in world.records[TASKS, 0]:
        said = state_at(_reader(world), world.codec, ROOT, at=record.offset).to_json()
        assert (said["as_of_offset"], said["last_offset"]) == (record.offset, record.offset)
    last = world.records[TASKS, 0][-1].offset
    for at in (None, last + 1_000):  # no state is known behind the end
        assert state_at(_reader(world), world.codec, ROOT, at=at).to_json()["as_of_offset"] == last


def test_a_tree_is_shown_as_it_was_at_a_time() -> None:
    world = retry_until_it_works()
    scheduled = next(fact.fact for fact in world.facts() if type(fact.fact).__name__ == "RetryScheduled")
    at = datetime.fromtimestamp((scheduled.at_ms + 1) / 1_000, UTC)
    assert state_at(_reader(world), world.codec, ROOT, at=at).tree.nodes[ROOT].status is NodeStatus.BACKOFF


def test_a_tree_that_is_not_there_yet_is_not_found() -> None:
    world = priority_within_a_window()
    with pytest.raises(NotFound, match="no task task-2 in this log up to 0"):
        state_at(_reader(world), world.codec, TaskId("task-2"), at=0)
    with pytest.raises(NotFound, match="no task task-9 in this log"):
        state_at(_reader(world), world.codec, TaskId("task-9"))


def test_a_tree_that_a_producer_put_elsewhere_is_found_there() -> None:
    world = plan_by_an_arm()
    elsewhere = (partition_for(ROOT, 4) + 1) % 4
    facts = [record._replace(partition=elsewhere) for record in world.records.pop((TASKS, 0))]
    world.records |= {(TASKS, n): facts if n == elsewhere else [] for n in range(4)}
    assert state_at(_reader(world), world.codec, ROOT).partition == elsewhere


def test_a_broken_chain_is_not_shown() -> None:
    world = plan_by_an_arm()
    del world.records[TASKS, 0][2]
    with pytest.raises(LogCorrupted, match="the chain of task-1 is broken before its fact 3"):
        state_at(_reader(world), world.codec, ROOT)
