"""Open trees as snapshot records and back; a tree with programs, and one that is larger than a record."""

from __future__ import annotations

from dataclasses import replace

import pytest

from octolog.domain.ids import TaskId
from octolog.domain.operators import ATOMIC, Operator, Role
from octolog.domain.shard import OpenTree
from octolog.domain.tasksystem import AtomicTaskSubtype, TaskType
from octolog.domain.upkeep import TreeSnapshot
from octolog.testing import ArmsTopic, ShardLog, capability, submit, success
from streams import snapshots
from streams.snapshots import Parts, opened, program_snapshot, root_of, snapshot, snapshot_key

ROOT = TaskId("task-1")


def entry(steps: int) -> OpenTree:
    """A map of which one step has ended."""
    root = Operator("", -1, Role.ROOT, TaskType.MAP, AtomicTaskSubtype.NONE)
    program = (root, *(replace(ATOMIC, name=f"s{n}", parent=0, role=Role.STEP) for n in range(steps)))
    log = ShardLog(ArmsTopic(capability("arm-a")))
    log.send(submit(operators=program, context_json='{"a":"b"}'))
    log.send(success(log.take_assignments()[0], '"first"'))
    return log.shard.trees[ROOT]


def records(of: OpenTree) -> list[TreeSnapshot]:
    return [*snapshot(of), *(r for program in of.tree.programs for r in program_snapshot(of, program))]


def parts(of: list[TreeSnapshot]) -> Parts:
    return Parts({snapshot_key(record): record for record in of})


def test_a_tree_with_a_program_comes_back_as_it_was() -> None:
    before = entry(5)
    after = opened(parts(records(before)))
    assert after is not None
    assert (after.tree.nodes, after.ready, after.seq) == (before.tree.nodes, before.ready, before.seq)
    assert after.tree.programs[ROOT].operators == before.tree.programs[ROOT].operators
    assert after.tree.programs[ROOT].context == {"a": "b"}


def test_a_value_larger_than_a_record_is_divided_and_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "_PART_BYTES", 500)
    before = entry(300)
    found = records(before)
    assert len(found) > 4
    assert {root_of(snapshot_key(record)) for record in found} == {ROOT}
    after = opened(parts(found))
    assert after is not None
    assert after.tree.nodes == before.tree.nodes


@pytest.mark.parametrize("lost", range(3))
def test_with_a_record_missing_the_facts_are_folded_instead(
    monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    monkeypatch.setattr(snapshots, "_PART_BYTES", 2_000)
    found = records(entry(300))
    assert len(found) > 2
    del found[lost]
    assert opened(parts(found)) is None


def test_a_part_of_an_older_value_is_no_part_of_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "_PART_BYTES", 2_000)
    found = records(entry(300))
    found[1] = replace(found[1], seq=found[1].seq - 1)
    assert opened(parts(found)) is None
