"""What an event makes of a memory, without any store."""

from __future__ import annotations

from dataclasses import replace

from octolog.domain.ids import ArmId, TaskId
from octolog.domain.memory import (
    EntityType,
    MemoryForgotten,
    MemoryRecorded,
    MemorySuperseded,
    SemanticMemory,
)
from projections.memory.fold import fold
from projections.memory.fusion import RANK_CONSTANT, fused
from projections.memory.point import OPEN, Place, Point, from_payload, point_id, replaced_point_id
from projections.memory.words import document_vector, query_vector, words

MEMORY = SemanticMemory("m-1", EntityType.FACT, "Kafka keeps order per partition", ArmId("retriever"), 5, 0.9)
RECORDED = MemoryRecorded(TaskId("t"), TaskId("t/a"), MEMORY)
FORGOTTEN = MemoryForgotten("m-1", "asked to", "ops")
SUPERSEDED = MemorySuperseded("m-1", "m-2", "newer")


def at(offset: int) -> Place:
    return Place(0, offset, 1_000 + offset)


def recorded(offset: int = 3) -> Point:
    return fold(None, RECORDED, at(offset))[0]


def test_a_recorded_memory_counts_from_its_offset_on() -> None:
    point = recorded(3)
    assert (point.recorded_at, point.recorded_ms, point.closed_at) == (3, 1_003, OPEN)
    assert point.point_id == point_id("m-1")


def test_the_same_event_once_more_changes_nothing() -> None:
    assert fold(recorded(3), RECORDED, at(3)) == ()


def test_the_same_memory_at_a_later_offset_changes_nothing() -> None:
    assert fold(recorded(3), RECORDED, at(9)) == ()
    later = replace(RECORDED, memory=replace(MEMORY, timestamp_ms=99, embeddings=(1.0,), embedding_model="m"))
    assert fold(recorded(3), later, at(9)) == ()


def test_an_older_event_changes_nothing() -> None:
    assert fold(recorded(3), FORGOTTEN, at(2)) == ()


def test_a_forgotten_memory_ends_at_its_offset() -> None:
    (point,) = fold(recorded(3), FORGOTTEN, at(7))
    assert (point.closed_at, point.closed_ms, point.forgotten_at, point.reason) == (7, 1_007, 7, "asked to")


def test_a_superseded_memory_names_the_one_in_its_place() -> None:
    (point,) = fold(recorded(3), SUPERSEDED, at(7))
    assert (point.closed_at, point.superseded_at, point.superseded_by) == (7, 7, "m-2")


def test_forgetting_what_is_superseded_leaves_its_end_where_it_was() -> None:
    (superseded,) = fold(recorded(3), SUPERSEDED, at(7))
    (both,) = fold(superseded, FORGOTTEN, at(9))
    assert (both.closed_at, both.superseded_at, both.forgotten_at) == (7, 7, 9)


def test_what_was_never_recorded_cannot_end() -> None:
    assert fold(None, FORGOTTEN, at(1)) == ()
    assert fold(None, SUPERSEDED, at(1)) == ()


def test_other_content_under_the_same_id_replaces_and_keeps_the_old_version() -> None:
    changed = replace(RECORDED, memory=replace(MEMORY, content="something else"))
    old, new = fold(recorded(3), changed, at(8))
    assert (old.point_id, old.closed_at, old.replaced_at) == (replaced_point_id("m-1", 3), 8, 8)
    assert (new.point_id, new.recorded_at, new.closed_at) == (point_id("m-1"), 8, OPEN)


def test_a_forgotten_memory_recorded_again_counts_again() -> None:
    (forgotten,) = fold(recorded(3), FORGOTTEN, at(7))
    old, new = fold(forgotten, RECORDED, at(9))
    assert (old.closed_at, new.recorded_at, new.closed_at) == (7, 9, OPEN)


def test_a_payload_is_the_point_again() -> None:
    (point,) = fold(recorded(3), SUPERSEDED, at(7))
    assert from_payload(point.point_id, point.payload()) == point


def test_fusion_adds_reciprocal_ranks_with_sixty() -> None:
    assert RANK_CONSTANT == 60
    best = fused([["a", "b"], ["b", "c"]], 3)
    assert [identity for identity, _ in best] == ["b", "a", "c"]
    assert best[0][1] == 1 / 62 + 1 / 61


def test_equal_scores_come_in_the_order_of_their_ids() -> None:
    assert [identity for identity, _ in fused([["z"], ["a"]], 2)] == ["a", "z"]


def test_names_of_code_are_taken_apart_into_words() -> None:
    assert words("parseContract of snake_case, Grüße") == [
        "parse",
        "contract",
        "of",
        "snake",
        "case",
        "grüsse",
    ]


def test_a_word_that_is_said_twice_weighs_more_but_not_twice() -> None:
    once, twice = document_vector("kafka"), document_vector("kafka kafka")
    assert once.indices == twice.indices == query_vector("Kafka").indices
    assert once.values[0] < twice.values[0] < 2 * once.values[0]


def test_a_text_without_words_has_no_vector() -> None:
    assert query_vector("?! --").indices == ()
