"""Following the topic into a store: acceptance behaviour 29, and what a replay may not change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from octolog.client.memory import memory_record
from octolog.domain.errors import InvalidContract, Refused
from octolog.domain.memory import EmbeddingModelFixed, MemoryForgotten, MemorySuperseded
from projections.memory.conditions import AsOf, Where
from projections.memory.edge import EdgeCollections
from projections.memory.embedding import HashingEmbedder
from projections.memory.point import OPEN, point_id
from projections.memory.queries import canonical_digest, search, show
from projections.memory.sink import MemoryProjection, open_collection, spec_of
from projections.memory.store import MemoryStore
from schemas.codec import Codec
from tests.unit.memory.conftest import Letters, Topic, remembered

EMBEDDER = HashingEmbedder()


def found(projection: MemoryProjection, text: str, as_of: AsOf | None = None) -> list[str]:
    hits = search(projection._store, EMBEDDER, text, 10, Where(as_of=as_of))
    return [hit.point.memory.memory_id for hit in hits]


def apply(projection: MemoryProjection, topic: Topic) -> None:
    projection.apply(topic.records, topic.after(topic.records))


def contents(store: MemoryStore) -> list[tuple[object, ...]]:
    entries = [entry for batch in store.scan(100) for entry in batch]
    return sorted((e.point.point_id, e.point, tuple(e.vectors.dense), e.vectors.sparse) for e in entries)


def test_the_digest_tells_what_is_stored_and_not_in_how_many_batches(
    projection: MemoryProjection, topic: Topic, codec: Codec, tmp_path: Path
) -> None:
    for number in range(12):
        topic.append(f"m-{number % 5}", remembered(f"m-{number % 5}", f"fact {number}"))
    topic.append("m-1", MemoryForgotten("m-1", "wrong", "ada"))
    apply(projection, topic)
    others = EdgeCollections(tmp_path / "other")
    store, _ = open_collection(others, spec_of(EMBEDDER))
    again = MemoryProjection(store, EMBEDDER, codec)
    for record in topic.records[:-1]:
        again.apply([record], topic.after([record]))
    assert canonical_digest(store) != canonical_digest(projection._store)
    again.apply(topic.records[-1:], topic.after(topic.records[-1:]))
    assert canonical_digest(store) == canonical_digest(projection._store)
    others.close()


def test_29_the_same_memory_replayed_twice_is_one_point(projection: MemoryProjection, topic: Topic) -> None:
    topic.append("m-1", remembered("m-1", "order per partition"))
    apply(projection, topic)
    before = contents(projection._store)
    projection._store.move({("octolog.memory", partition): 0 for partition in range(2)})
    apply(projection, topic)
    topic.append("m-1", remembered("m-1", "order per partition"))  # a producer that tried again
    apply(projection, topic)
    assert projection._store.count() == 1
    assert contents(projection._store) == before


def test_29_a_confidence_of_1_2_is_refused_and_kept_as_a_dead_letter(
    projection: MemoryProjection, topic: Topic, letters: Letters
) -> None:
    record = topic.append("m-1", remembered("m-1", "too sure of it", confidence=1.2))
    topic.append("m-2", remembered("m-2", "sure of it", confidence=1.0))
    apply(projection, topic)
    reason = "INVALID_MEMORY: confidence: 1.2 is not within 0.0 to 1.0"
    assert letters.refused == [(record, reason, "InvalidContract")]
    assert found(projection, "sure of it") == ["m-2"]


def test_29_a_memory_of_failed_validation_is_not_searchable(
    projection: MemoryProjection, topic: Topic
) -> None:
    known: dict[str, Any] = {
        "entity_type": "fact",
        "source": "judge",
        "task_id": "t/a",
        "root_task_id": None,
        "confidence": 0.9,
        "memory_id": None,
        "tags": (),
        "metadata": {},
    }
    passed = memory_record("what holds water", validated=True, **known)
    topic.append(passed.memory.memory_id, passed)
    with pytest.raises(Refused, match="did not pass validation"):
        memory_record("what does not hold water", validated=False, **known)
    apply(projection, topic)
    assert found(projection, "what does not hold water") == [passed.memory.memory_id]


def test_a_client_refuses_a_confidence_of_1_2() -> None:
    with pytest.raises(InvalidContract, match=r"confidence: 1\.2"):
        memory_record(
            "x",
            entity_type="fact",
            source="judge",
            task_id="t",
            root_task_id=None,
            confidence=1.2,
            validated=True,
            memory_id=None,
            tags=(),
            metadata={},
        )


def test_what_is_no_record_is_a_dead_letter_and_holds_nobody_up(
    projection: MemoryProjection, topic: Topic, letters: Letters
) -> None:
    topic.append("x", b"\x00\x00\x00\x00")
    topic.append("x", b"rubbish")
    topic.append("m-1", remembered("m-1", "order per partition"))
    apply(projection, topic)
    assert [error for _, _, error in letters.refused] == ["UndecodableRecord"] * 2
    assert found(projection, "order") == ["m-1"]


def test_a_vector_of_another_length_under_our_models_name_is_refused(
    projection: MemoryProjection, topic: Topic, letters: Letters
) -> None:
    topic.append("m-1", remembered("m-1", "x", embeddings=(1.0, 2.0), embedding_model="hashing"))
    apply(projection, topic)
    assert [reason for _, reason, _ in letters.refused] == ["embeddings: 2 numbers; hashing has 384"]


def test_a_vector_of_our_model_is_taken_as_it_is_and_one_of_another_is_made_anew(
    projection: MemoryProjection, topic: Topic
) -> None:
    given = tuple([0.0] * 383 + [1.0])
    topic.append("m-1", remembered("m-1", "one", embeddings=given, embedding_model="hashing"))
    topic.append("m-2", remembered("m-2", "two", embeddings=(1.0,), embedding_model="somebody-elses"))
    apply(projection, topic)
    vectors = projection._store.vectors([point_id("m-1"), point_id("m-2")])
    assert vectors[point_id("m-1")].dense == pytest.approx(given)
    assert vectors[point_id("m-2")].dense == pytest.approx(EMBEDDER.embed(["two"])[0])


def test_a_memory_ends_when_it_is_superseded_or_forgotten_and_is_found_as_of_before(
    projection: MemoryProjection, topic: Topic
) -> None:
    topic.partitions = 1
    topic.append("old", remembered("old", "the port is 9092"))
    topic.append("new", remembered("new", "the port is 9093"))
    topic.append("old", MemorySuperseded("old", "new", "it moved"))
    topic.append("new", MemoryForgotten("new", "secret", "ops"))
    apply(projection, topic)
    assert found(projection, "port") == []
    assert set(found(projection, "port", AsOf(offset=1))) == {"old", "new"}
    assert found(projection, "port", AsOf(offset=2)) == ["new"]
    assert found(projection, "port", AsOf(offset=0)) == ["old"]
    (shown,) = show(projection._store, "old")
    assert (shown.recorded_at, shown.superseded_at, shown.superseded_by) == (0, 2, "new")


def test_content_that_changed_under_its_id_is_found_as_it_was_then(
    projection: MemoryProjection, topic: Topic
) -> None:
    topic.append("m", remembered("m", "a red house"))
    apply(projection, topic)
    topic.append("m", remembered("m", "a blue boat"))
    apply(projection, topic)
    now = search(projection._store, EMBEDDER, "house", 10)
    then = search(projection._store, EMBEDDER, "house", 10, Where(as_of=AsOf(offset=0)))
    assert [hit.point.memory.content for hit in now] == ["a blue boat"]
    assert [hit.point.memory.content for hit in then] == ["a red house"]
    assert then[0].similarity == pytest.approx(0.5, abs=0.4)
    assert [version.closed_at for version in show(projection._store, "m")] == [1, OPEN]


def test_live_in_small_batches_equals_rebuilt_in_one(
    projection: MemoryProjection, topic: Topic, codec: Codec, tmp_path: Path
) -> None:
    for n in range(40):
        topic.append(f"m-{n % 13}", remembered(f"m-{n % 13}", f"text number {n % 17}"))
        if n % 5 == 0:
            topic.append(f"m-{n % 7}", MemoryForgotten(f"m-{n % 7}", "", "ops"))
        if n % 6 == 0:
            topic.append(f"m-{n % 11}", MemorySuperseded(f"m-{n % 11}", "m-1", ""))
    for start in range(0, len(topic.records), 3):
        some = topic.records[start : start + 3]
        projection.apply(some, topic.after(some))
    other = EdgeCollections(tmp_path / "rebuilt")
    store, _ = open_collection(other, spec_of(EMBEDDER))
    rebuilt = MemoryProjection(store, EMBEDDER, codec)
    apply(rebuilt, topic)
    assert contents(rebuilt._store) == contents(projection._store)
    assert rebuilt.positions() == projection.positions()
    other.close()


def test_points_without_their_positions_are_stored_once(projection: MemoryProjection, topic: Topic) -> None:
    """As after a crash between the points and the positions."""
    topic.append("m", remembered("m", "a red house"))
    topic.append("m", remembered("m", "a blue boat"))
    topic.append("m", MemoryForgotten("m", "", "ops"))
    projection._apply(topic.records)
    before = contents(projection._store)
    assert projection.positions() == {}
    apply(projection, topic)
    assert contents(projection._store) == before


def test_which_model_a_collection_is_of_says_nothing_about_memories(
    projection: MemoryProjection, topic: Topic, letters: Letters
) -> None:
    topic.append("octolog-memory", EmbeddingModelFixed("octolog-memory", "hashing", 384))
    apply(projection, topic)
    assert letters.refused == []
    assert projection._store.count() == 0
    assert projection.positions() != {}
