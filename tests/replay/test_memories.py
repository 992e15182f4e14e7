"""Memories that facts ask for are in `octolog.memory` once, as they must be; what nothing asked for is found."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import fastavro
import pytest

from octolog.app.audit.bundle_log import decide_again
from octolog.app.audit.export import export_bundle
from octolog.client.memory import memory_record, oblivion, supersession
from octolog.domain.arm import ArmRegistered
from octolog.domain.ids import TaskId
from octolog.domain.memory import EntityType, MemoryProposal, MemoryRecorded
from octolog.ports import LogRecord, Positions
from octolog.testing import capability, submit, success
from octolog.verifier.verify import verify_bundle
from streams.dead_letters import dead_letter
from streams.replay import Difference, Report, verify
from streams.topics import DEAD_LETTERS, MEMORY, TASKS
from tests.replay.log import CODEC, MemoryReader, MemorySource, World

PLACE = MEMORY, 0
ASKED = '{"remember":true}'


def _world(trees: int = 2, partition: int = 0) -> World:
    """Every tree remembers two things."""
    world = World(partition=partition)
    world.arm(ArmRegistered(capability("arm-a", "work"), "tester"))
    for number in range(1, trees + 1):
        world.send(submit(f"task-{number}", constraints_json=ASKED))
        proposals = tuple(MemoryProposal(EntityType.FACT, f"{word} {number}", 0.9) for word in ("one", "two"))
        world.send(success(world.next_attempt(), '"text"', memories=proposals))
    return world


def _verified(world: World, **options: Any) -> Report:
    return verify(world.source, **{"committed": world.committed, **options})


def _only(world: World) -> Difference:
    report = _verified(world)
    assert report.to_json()["difference_count"] == 1, report.to_json()
    assert report.first_difference is not None
    return report.first_difference


def _recorded(world: World, index: int) -> MemoryRecorded:
    value = CODEC.decode(world.records[PLACE][index].value)
    assert isinstance(value, MemoryRecorded)
    return value


def _set(world: World, index: int, change: Callable[[MemoryRecorded], MemoryRecorded]) -> None:
    value = CODEC.encode(change(_recorded(world, index)))
    world.records[PLACE][index] = world.records[PLACE][index]._replace(value=value)


def _append(world: World, event: Any, key: str) -> LogRecord:
    return world._append(MEMORY, 0, key.encode(), CODEC.encode(event))


def _of_memory(memory: MemoryRecorded, **changes: Any) -> MemoryRecorded:
    return replace(memory, memory=replace(memory.memory, **changes))


def _accepting(world: World) -> list[int]:
    """Offsets of the facts that accept memories."""
    records = world.records[TASKS, 0]
    names = [type(fact.fact).__name__ for fact in world.facts()]
    return [record.offset for record, name in zip(records, names, strict=True) if name == "MemoriesAccepted"]


def test_memories_that_facts_asked_for_are_counted_and_found_right() -> None:
    report = _verified(_world())
    assert report.ok, report.to_json()
    assert (report.to_json()["memories"], report.to_json()["direct_memories"]) == (4, 0)


def test_trees_that_a_producer_put_into_another_partition_ask_for_theirs() -> None:
    report = _verified(_world(partition=1))
    assert report.ok, report.to_json()
    assert report.partitions[0].memories == 4


def test_what_somebody_records_replaces_or_forgets_directly_is_legal() -> None:
    world = _world()
    known, newest = _recorded(world, 0).memory.memory_id, ""
    for memory_id in (None, known):  # a new one, and another version of one that a fact asked for
        direct = memory_record(
            "told",
            entity_type="FACT",
            source="arm-a",
            task_id="task-1",
            root_task_id=None,
            confidence=1.0,
            validated=True,
            memory_id=memory_id,
            tags=(),
            metadata={"attempt_id": "x"},
        )
        newest = direct.memory.memory_id
        _append(world, direct, newest)
    _append(world, supersession(known, newest, "newer"), known)
    _append(world, oblivion(known, "asked for", "ada"), known)
    world._append(MEMORY, 0, b"nobody", b"no record")
    report = _verified(world)
    assert report.ok, report.to_json()
    assert (report.to_json()["memories"], report.to_json()["direct_memories"]) == (4, 2)


@pytest.mark.parametrize("index", range(4))
def test_a_missing_memory_is_named_at_the_fact_that_asked_for_it(index: int) -> None:
    world = _world()
    lost = _recorded(world, index)
    del world.records[PLACE][index]
    found = _only(world)
    place = found.topic, found.partition, found.offset, found.tree
    assert place == (TASKS, 0, _accepting(world)[index // 2], lost.root_task_id)
    assert found.kind == "memory-missing"
    assert lost.memory.memory_id in found.message
    assert f"of task {lost.task_id}" in found.message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("content", "something else"),
        ("source", "arm-b"),
        ("confidence", 0.1),
        ("timestamp_ms", 5),
        ("entity_type", EntityType.DECISION),
        ("tags", ("new",)),
        ("metadata_json", "{}"),
        ("memory_id", "another"),
    ],
)
def test_an_edited_memory_is_named_at_its_place_with_what_differs(field: str, value: Any) -> None:
    world = _world()
    _set(world, 2, lambda memory: _of_memory(memory, **{field: value}))
    found = _only(world)
    place = found.topic, found.partition, found.offset, found.tree
    assert place == (MEMORY, 0, world.records[PLACE][2].offset, "task-2")
    assert found.kind == "decided-differently"
    assert [one.field for one in found.fields] == [f"memory.{field}"]
    assert found.fields[0].recorded == str(value)


def test_an_edited_position_is_an_edited_memory_and_no_second_one() -> None:
    world = _world()
    told = json.loads(_recorded(world, 0).memory.metadata_json)
    text = json.dumps({**told, "position": 10**9})
    _set(world, 0, lambda memory: _of_memory(memory, metadata_json=text))
    assert _only(world).fields[0].field == "memory.metadata_json"


@pytest.mark.parametrize("field", ["task_id", "root_task_id"])
def test_a_memory_of_another_task_is_named(field: str) -> None:
    world = _world()
    _set(world, 1, lambda memory: replace(memory, **{field: TaskId("task-2")}))  # type: ignore[arg-type]  # a field by name

    assert [one.field for one in _only(world).fields] == [field]


def test_a_memory_under_another_key_is_named() -> None:
    world = _world()
    world.records[PLACE][1] = world.records[PLACE][1]._replace(key=b"other")
    found = _only(world)
    assert (found.offset, "its key" in found.message) == (world.records[PLACE][1].offset, True)


@pytest.mark.parametrize("value", [None, b"", b"no record"])
def test_a_memory_that_cannot_be_read_is_named_at_its_place(value: bytes | None) -> None:
    world = _world()
    world.records[PLACE][3] = world.records[PLACE][3]._replace(value=value)
    found = _only(world)
    assert (found.topic, found.offset, found.kind) == (MEMORY, world.records[PLACE][3].offset, "undecodable")


def test_a_flipped_bit_of_a_memory_is_found_in_it() -> None:
    for at in range(0, len(_world().records[PLACE][0].value or b""), 37):
        world = _world()
        value = bytearray(world.records[PLACE][0].value or b"")
        value[at] ^= 1 << at % 8
        world.records[PLACE][0] = world.records[PLACE][0]._replace(value=bytes(value))
        assert (_only(world).topic, _only(world).offset) == (MEMORY, world.records[PLACE][0].offset)


def test_a_doubled_memory_is_named_at_the_second() -> None:
    world = _world()
    again = _append(world, _recorded(world, 1), _recorded(world, 1).memory.memory_id)
    found = _only(world)
    assert (found.topic, found.offset, found.kind) == (MEMORY, again.offset, "repeated")


def test_a_memory_that_was_refused_may_be_written_back_once_more() -> None:
    world = _world()
    first = world.records[PLACE][1]
    letter = dead_letter(first, (), "another dimension", error="Refused", consumer="memory")
    world._append(DEAD_LETTERS, 0, first.key, CODEC.encode(letter))
    _append(world, _recorded(world, 1), _recorded(world, 1).memory.memory_id)
    report = _verified(world)
    assert report.ok, report.to_json()
    assert report.to_json()["memories"] == 4
    again = _append(world, _of_memory(_recorded(world, 1), content="other"), (first.key or b"").decode())
    assert (_only(world).offset, _only(world).kind) == (again.offset, "repeated")


@pytest.mark.parametrize("tree", ["task-1", "task-of-nobody"])
@pytest.mark.parametrize("position", [0, 10**9, "x", -5])
def test_a_memory_that_says_that_a_fact_asked_for_it_which_none_did_is_named(
    tree: str, position: object
) -> None:
    world = _world()
    told = json.loads(_recorded(world, 0).memory.metadata_json)
    text = json.dumps({**told, "position": position})
    forged = replace(_recorded(world, 0), root_task_id=tree)  # type: ignore[arg-type]  # a tree's name
    forged = _of_memory(forged, memory_id="forged", metadata_json=text)
    offset = _append(world, forged, "forged").offset
    found = _only(world)
    assert (found.topic, found.offset, found.kind) == (MEMORY, offset, "no-cause")
    assert "memory forged of task task-1" in found.message


class _Growing(MemoryReader):
    """A log that is shorter when its ends are asked for first than it is afterwards."""

    def __init__(self, records: dict[tuple[str, int], list[LogRecord]], short: Positions) -> None:
        super().__init__(records)
        self._short = short

    def ends(self, topics: Sequence[str]) -> Positions:
        return {place: self._short.pop(place, end) for place, end in super().ends(topics).items()}


class _GrowingSource(MemorySource):
    short: Positions

    def reader(self) -> MemoryReader:
        return _Growing(self.records, self.short)


def test_what_is_remembered_while_the_verification_runs_is_no_difference() -> None:
    world = _world(3)
    source = _GrowingSource(world.records, CODEC)
    # Of two trees' facts, the last memory is seen a moment later; a third tree remembers meanwhile.
    facts = next(record.offset for record in world.records[TASKS, 0] if record.key == b"task-3")
    source.short = {(TASKS, 0): facts, PLACE: world.records[PLACE][3].offset}
    report = verify(source, committed={})
    assert report.ok, report.to_json()
    assert report.to_json()["memories"] == 4
    assert source.short == {}


def test_up_to_any_point_memories_are_found_right() -> None:
    world = _world()
    for until in range(1, world.records[TASKS, 0][-1].offset + 2, 2):
        report = _verified(world, until={(TASKS, 0): until})
        assert report.ok, (until, report.to_json())
        accepting = [offset for offset in _accepting(world) if offset < until]
        assert report.to_json()["memories"] == 2 * len(accepting)


def test_the_hashes_say_what_they_found_behind_a_missing_memory() -> None:
    world = _world()
    del world.records[PLACE][0]
    last = world.records[TASKS, 0][-1]
    world.records[TASKS, 0][-1] = last._replace(value=(last.value or b"")[:-1])
    kinds = {one.kind for one in _verified(world).partitions[0].differences}
    assert "memory-missing" in kinds
    assert len(kinds) == 2


# In a bundle


def test_a_bundle_of_the_log_has_what_was_remembered_and_misses_what_it_lacks(tmp_path: Path) -> None:
    world, bundle = _world(), tmp_path / "b.zip"
    export_bundle(world.source, bundle)
    assert verify_bundle(bundle).ok
    verdict = decide_again(bundle)
    assert (verdict.ok, verdict.to_json()["memories"]) == (True, 4)
    del world.records[PLACE][2]
    export_bundle(world.source, bundle)
    first = decide_again(bundle).first_difference
    assert first is not None
    assert (first.kind, first.offset) == ("memory-missing", _accepting(world)[1])


def test_a_bundle_of_a_task_has_what_the_task_had_remembered(tmp_path: Path) -> None:
    world, bundle = _world(), tmp_path / "b.zip"
    export_bundle(world.source, bundle, task=TaskId("task-2"))
    assert verify_bundle(bundle).ok
    with zipfile.ZipFile(bundle) as archive:
        rows: list[Any] = list(fastavro.reader(io.BytesIO(archive.read(f"log/{MEMORY}/0.avro"))))
    assert [row["offset"] for row in rows] == [record.offset for record in world.records[PLACE][2:]]


def test_a_bundle_made_while_the_log_went_on_may_know_more_than_its_facts(tmp_path: Path) -> None:
    world = _world(3)
    source = _GrowingSource(world.records, CODEC)
    source.short = {(TASKS, 0): next(r.offset for r in world.records[TASKS, 0] if r.key == b"task-3")}
    export_bundle(source, tmp_path / "b.zip")
    verdict = decide_again(tmp_path / "b.zip")
    assert (verdict.first_difference, verdict.to_json()["memories"]) == (None, 4)
