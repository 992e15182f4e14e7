"""Every vector store keeps the same promises; the last is a real Qdrant server, by `OCTOLOG_TEST_QDRANT_URL`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from octolog.domain.errors import Refused, StoreUnavailable
from octolog.domain.ids import ArmId, TaskId
from octolog.domain.memory import EntityType, MemoryRecorded, SemanticMemory
from projections.memory.conditions import AsOf, Where
from projections.memory.edge import EdgeCollections
from projections.memory.embedding import HashingEmbedder
from projections.memory.point import Place, Point
from projections.memory.queries import nearest
from projections.memory.sink import open_collection
from projections.memory.store import Collections, Entry, MemoryStore, Spec, Vectors
from projections.memory.words import document_vector, query_vector

pytest.importorskip("qdrant_client")
from projections.memory.server import ServerCollections, connect

EMBEDDER = HashingEmbedder()
SPEC = Spec(EMBEDDER.model, EMBEDDER.dimension)
SERVER = os.environ.get("OCTOLOG_TEST_QDRANT_URL", "")
NO_SERVER = "no Qdrant server: set OCTOLOG_TEST_QDRANT_URL to test one"


@pytest.fixture(
    params=[
        "edge",
        "client",
        pytest.param("server", marks=pytest.mark.skipif(not SERVER, reason=NO_SERVER)),
    ]
)
def collections(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Collections]:
    """Edge, the client's own implementation of the server's API, a server."""
    match request.param:
        case "edge":
            opened: Collections = EdgeCollections(tmp_path / "memory")
        case "client":
            opened = ServerCollections(connect(":memory:"), "test")
        case _:
            opened = ServerCollections(connect(SERVER), f"octolog-test-{uuid4().hex[:8]}")
    with warnings.catch_warnings():
        # The client's own store tells that it is not made for production.
        warnings.filterwarnings("ignore", module="qdrant_client")
        yield opened
        if request.param == "server" and (current := opened.current()) is not None:
            opened.discard(current)
        opened.close()


@pytest.fixture
def store(collections: Collections) -> MemoryStore:
    return open_collection(collections, SPEC)[0]


def point(memory_id: str, content: str, *, offset: int = 0, partition: int = 0, **more: object) -> Point:
    known = {
        "entity_type": EntityType.FACT,
        "source": ArmId("retriever"),
        "timestamp_ms": 5,
        "confidence": 0.9,
    }
    memory = SemanticMemory(**{"memory_id": memory_id, "content": content, **known, **more})  # type: ignore[arg-type]
    event = MemoryRecorded(TaskId("t"), TaskId("t/a"), memory)
    return Point.of(event, Place(partition, offset, 1_000 + offset))


def entry(found: Point) -> Entry:
    content = found.memory.content
    return Entry(found, Vectors(EMBEDDER.embed([content])[0], document_vector(content)))


def ids(store: MemoryStore, text: str, where: Where | None = None, top_k: int = 10) -> list[str]:
    vectors = Vectors(EMBEDDER.embed([text])[0], query_vector(text))
    return [hit.point.memory.memory_id for hit in nearest(store, vectors, top_k, where)]


FOX = point("fox", "the quick brown fox jumps", offset=1)
DOG = point("dog", "a lazy dog sleeps all day", offset=4)
LOG = point("log", "the broker keeps the log in order", offset=6, partition=1)


def test_what_is_written_is_read_back(store: MemoryStore) -> None:
    store.put([entry(FOX), entry(DOG)])
    assert store.get([FOX.point_id, DOG.point_id, LOG.point_id]) == {FOX.point_id: FOX, DOG.point_id: DOG}
    assert store.count() == 2


def test_the_same_id_twice_is_one_point(store: MemoryStore) -> None:
    store.put([entry(FOX)])
    store.put([entry(FOX)])
    assert store.count() == 1


def test_the_likest_comes_first(store: MemoryStore) -> None:
    store.put([entry(FOX), entry(DOG), entry(LOG)])
    assert ids(store, "a quick fox")[0] == "fox"
    assert ids(store, "order of the log")[0] == "log"


def test_a_search_without_words_still_goes_by_meaning(store: MemoryStore) -> None:
    store.put([entry(FOX)])
    assert ids(store, "?!") == ["fox"]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (Where(entity_type=EntityType.DECISION), {"b"}),
        (Where(source="planner"), {"b"}),
        (Where(tags=("x",)), {"a", "b"}),
        (Where(tags=("x", "y")), {"b"}),
        (Where(min_confidence=0.7), {"a"}),
        (Where(since_ms=20), {"b", "c"}),
        (Where(until_ms=10), {"a"}),
        (Where(since_ms=20, until_ms=20), {"b"}),
        (Where(task_id="t/a"), {"a", "b", "c"}),
        (Where(task_id="other"), set()),
        (Where(entity_type=EntityType.FACT, tags=("x",), min_confidence=0.9), {"a"}),
    ],
)
def test_a_filter_keeps_what_fits(store: MemoryStore, where: Where, expected: set[str]) -> None:
    a = point("a", "one text", timestamp_ms=10, confidence=0.95, tags=("x",))
    b = point(
        "b",
        "two text",
        timestamp_ms=20,
        confidence=0.6,
        tags=("x", "y"),
        entity_type=EntityType.DECISION,
        source=ArmId("planner"),
    )
    c = point("c", "three text", timestamp_ms=30, confidence=0.2)
    store.put([entry(a), entry(b), entry(c)])
    assert set(ids(store, "text", where)) == expected
    assert store.count(where) == len(expected)


def test_an_ended_memory_is_found_only_as_of_when_it_counted(store: MemoryStore) -> None:
    ended = FOX.closed(Place(0, 5, 1_005), forgotten_at=5)
    store.put([entry(FOX), entry(DOG)])
    store.update([ended])
    assert ids(store, "fox") == ["dog"]
    assert set(ids(store, "fox", Where(as_of=AsOf(offset=4)))) == {"fox", "dog"}
    assert ids(store, "fox", Where(as_of=AsOf(offset=3))) == ["fox"]
    assert ids(store, "fox", Where(as_of=AsOf(offset=0))) == []
    assert ids(store, "fox", Where(as_of=AsOf(offset=5))) == ["dog"]
    assert set(ids(store, "fox", Where(as_of=AsOf(time_ms=1_004)))) == {"fox", "dog"}
    assert ids(store, "fox", Where(as_of=AsOf(time_ms=1_005))) == ["dog"]


def test_a_moment_may_name_an_offset_for_each_partition(store: MemoryStore) -> None:
    store.put([entry(FOX), entry(DOG), entry(LOG)])
    assert set(ids(store, "x", Where(as_of=AsOf(positions={0: 1, 1: 6})))) == {"fox", "log"}
    assert ids(store, "x", Where(as_of=AsOf(positions={1: 6}))) == ["log"]


def test_an_update_keeps_the_vectors(store: MemoryStore) -> None:
    store.put([entry(FOX)])
    before = store.vectors([FOX.point_id])[FOX.point_id]
    store.update([replace(FOX, reason="other")])
    after = store.vectors([FOX.point_id])[FOX.point_id]
    assert after.dense == pytest.approx(before.dense)
    assert after.sparse.indices == before.sparse.indices
    assert store.get([FOX.point_id])[FOX.point_id].reason == "other"


def test_versions_come_oldest_first(store: MemoryStore) -> None:
    older = replace(FOX, point_id=str(uuid4()), recorded_at=0)
    store.put([entry(FOX), entry(older), entry(DOG)])
    assert store.versions("fox") == [older, FOX]
    assert store.versions("nobody") == []


def test_a_scan_brings_every_point_once_with_its_vectors(store: MemoryStore) -> None:
    points = [point(f"m{n}", f"text {n}", offset=n) for n in range(25)]
    store.put([entry(one) for one in points])
    found = [one for batch in store.scan(7) for one in batch]
    assert len(found) == 25
    assert {one.point.memory.memory_id for one in found} == {f"m{n}" for n in range(25)}
    assert all(len(one.vectors.dense) == SPEC.dimension for one in found)


def test_positions_are_kept_with_the_points_and_are_no_memory(collections: Collections) -> None:
    store, new = open_collection(collections, SPEC)
    assert new
    assert store.positions() == {}
    store.put([entry(FOX)])
    store.move({("octolog.memory", 0): 2})
    store.move({("octolog.memory", 1): 7})
    assert store.positions() == {("octolog.memory", 0): 2, ("octolog.memory", 1): 7}
    assert store.count() == 1
    assert ids(store, "memory", top_k=100) == ["fox"]


def test_an_emptied_store_begins_anew(store: MemoryStore) -> None:
    store.put([entry(FOX)])
    store.move({("octolog.memory", 0): 2})
    store.clear()
    assert (store.count(), store.positions()) == (0, {})
    store.put([entry(DOG)])
    assert ids(store, "dog") == ["dog"]


def test_another_model_is_refused_in_one_line(collections: Collections) -> None:
    open_collection(collections, SPEC)
    with pytest.raises(
        Refused, match="vectors of hashing \\(384 numbers\\), not of other \\(384\\)"
    ) as caught:
        open_collection(collections, Spec("other", 384))
    assert "\n" not in str(caught.value)


def test_another_dimension_is_refused(collections: Collections) -> None:
    open_collection(collections, SPEC)
    with pytest.raises(Refused):
        open_collection(collections, Spec(SPEC.model, 3))


def test_a_new_collection_takes_the_place_of_the_old_one_at_once(collections: Collections) -> None:
    old, _ = open_collection(collections, SPEC)
    old.put([entry(FOX)])
    beside = collections.create(Spec("other", 384))
    beside.put([entry(DOG)])
    current = collections.current()
    assert current is not None
    assert current.spec == SPEC
    collections.use(beside)
    current = collections.current()
    assert current is not None
    assert current.spec == Spec("other", 384)
    assert ids(current, "x") == ["dog"]


def test_a_discarded_collection_leaves_the_current_one(collections: Collections) -> None:
    store, _ = open_collection(collections, SPEC)
    store.put([entry(FOX)])
    collections.discard(collections.create(Spec("other", 384)))
    current = collections.current()
    assert current is not None
    assert ids(current, "fox") == ["fox"]


def test_edge_keeps_everything_over_a_restart(tmp_path: Path) -> None:
    first = EdgeCollections(tmp_path)
    store, _ = open_collection(first, SPEC)
    store.put([entry(FOX), entry(DOG)])
    store.move({("octolog.memory", 0): 5})
    first.close()
    second = EdgeCollections(tmp_path)
    store, new = open_collection(second, SPEC)
    assert not new
    assert store.positions() == {("octolog.memory", 0): 5}
    assert ids(store, "quick fox")[0] == "fox"
    second.close()


def test_edge_is_open_in_one_process_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("projections.folder._LOCK_S", 0.0)
    first = EdgeCollections(tmp_path)
    with pytest.raises(StoreUnavailable, match="open in another process"):
        EdgeCollections(tmp_path)
    first.close()
    EdgeCollections(tmp_path).close()


def test_a_server_that_is_away_is_named_in_one_line() -> None:
    with pytest.raises(StoreUnavailable, match=r"^Qdrant: "):
        connect("http://127.0.0.1:9")
