"""Another model: built beside, compared, swapped without a query failing."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from octolog.app.memory.collections import OpenMemory, Reembedding, open_memories
from octolog.app.settings import Settings
from octolog.domain.errors import NotFound, OctologError, Refused, SettingsError
from octolog.domain.memory import EmbeddingModelFixed, MemoryForgotten
from projections.memory.conditions import AsOf, Where
from projections.memory.edge import EdgeCollections
from projections.memory.embedding import Embedder, Endpoint, HashingEmbedder, open_embedder
from projections.memory.sink import MemoryProjection
from tests.unit.memory.conftest import Topic, remembered

MIRRORED = "mirrored"


class Mirrored(HashingEmbedder):
    """Another model with other vectors: every other number is left out."""

    model = MIRRORED

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return [[n if at % 2 else 0.0 for at, n in enumerate(vector)] for vector in super().embed(texts)]


@pytest.fixture(autouse=True)
def second_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """`mirrored` is a model, too."""

    def opened(name: str, endpoint: Endpoint | None) -> Embedder:
        return Mirrored() if name == MIRRORED else open_embedder(name, endpoint)

    monkeypatch.setattr("octolog.app.memory.collections.open_embedder", opened)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", embedding_model="hashing")


@pytest.fixture
def announced() -> list[EmbeddingModelFixed]:
    return []


@pytest.fixture
def memory(settings: Settings, announced: list[EmbeddingModelFixed]) -> Iterator[OpenMemory]:
    opened = OpenMemory(EdgeCollections(settings.home / "memory"), settings, announced.append)
    yield opened
    opened.close()


@pytest.fixture
def filled(memory: OpenMemory, topic: Topic) -> OpenMemory:
    topic.partitions = 1
    for n in range(60):
        topic.append(f"m-{n}", remembered(f"m-{n}", f"memory number {n} about topic{n % 7}"))
    topic.append("m-3", MemoryForgotten("m-3", "", "ops"))
    projection = MemoryProjection(memory.store, memory.embedder, topic.codec)
    projection.apply(topic.records, topic.after(topic.records))
    return memory


def quiet(_done: int, _total: int) -> None:
    """Nobody looks."""


def names(memory: OpenMemory, text: str, where: Where | None = None) -> set[str]:
    return {hit["memory_id"] for hit in memory.search(text, 100, where or Where())}


def test_a_new_collections_model_is_announced(
    memory: OpenMemory, announced: list[EmbeddingModelFixed]
) -> None:
    assert announced == [EmbeddingModelFixed("octolog-memory", "hashing", 384)]


def test_every_memory_moves_and_the_past_stays_the_past(
    filled: OpenMemory, announced: list[EmbeddingModelFixed]
) -> None:
    before, positions = names(filled, "topic3"), filled.store.positions()
    done = filled.reembed(Reembedding(MIRRORED), quiet)
    assert (done["memories"], done["replaces"], filled.store.spec.model) == (60, "hashing", MIRRORED)
    assert names(filled, "topic3") == before
    assert "m-3" in names(filled, "topic3", Where(as_of=AsOf(offset=59)))
    assert filled.store.positions() == positions
    overlap = done["drift"]["overlap_at_10"]
    assert announced[-1] == EmbeddingModelFixed("octolog-memory", MIRRORED, 384, "hashing", overlap)


def test_the_drift_is_measured_on_given_queries(filled: OpenMemory) -> None:
    asked = Reembedding(MIRRORED, queries=("topic1", "memory number 5"))
    drift = filled.reembed(asked, quiet)["drift"]
    assert drift["queries"] == 2
    assert 0.0 < drift["overlap_at_10"] <= 1.0
    assert [row["query"] for row in drift["worst"]] in (
        ["topic1", "memory number 5"],
        ["memory number 5", "topic1"],
    )
    assert drift["least"] == min(row["overlap"] for row in drift["worst"])


def test_too_little_in_common_changes_nothing(filled: OpenMemory) -> None:
    with pytest.raises(Refused, match=r"less than 1\.00; nothing was changed"):
        filled.reembed(Reembedding(MIRRORED, queries=("zz", "unheard of"), least_overlap=1.0), quiet)
    assert filled.store.spec.model == "hashing"
    assert len(names(filled, "memory")) == 59


def test_the_model_in_use_is_refused(filled: OpenMemory) -> None:
    with pytest.raises(Refused, match="vectors of hashing already"):
        filled.reembed(Reembedding("hashing"), quiet)


def test_queries_go_on_while_the_collection_is_replaced(filled: OpenMemory) -> None:
    failed: list[OctologError] = []
    answers: list[int] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            try:
                answers.append(len(filled.search("memory", 10, Where())))
            except OctologError as error:
                failed.append(error)

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    for model in (MIRRORED, "hashing", MIRRORED):
        filled.reembed(Reembedding(model, sample=3), quiet)
    over.set()
    for thread in asking:
        thread.join(60)
    assert failed == []
    assert set(answers) == {10}


def test_what_comes_during_the_copy_is_caught_up_before_the_swap(filled: OpenMemory, topic: Topic) -> None:
    def progress(done: int, total: int) -> None:
        if len(topic.records) == 61:  # once, in the middle of the copy
            topic.append("late", remembered("late", "came late"))
            topic.append("m-5", MemoryForgotten("m-5", "", "ops"))
            live = MemoryProjection(filled.store, filled.embedder, topic.codec)
            live.apply(topic.records, topic.after(topic.records))

    def catch_up(store: object, model: object) -> None:
        new = MemoryProjection(store, model, topic.codec)  # type: ignore[arg-type]
        new.apply(topic.records, topic.after(topic.records))

    filled.reembed(Reembedding(MIRRORED), progress, catch_up)
    found = names(filled, "came late")
    assert "late" in found
    assert "m-5" not in found
    assert filled.store.positions() == topic.after(topic.records)


def test_a_wish_for_another_model_is_refused_and_no_wish_takes_what_there_is(
    settings: Settings, memory: OpenMemory
) -> None:
    memory.close()
    with pytest.raises(Refused, match="octolog memory reembed --model mirrored"):
        OpenMemory(
            EdgeCollections(settings.home / "memory"),
            settings.model_copy(update={"embedding_model": MIRRORED}),
        )
    open_again = settings.model_copy(update={"embedding_model": None})
    with open_memories(open_again) as found:
        assert isinstance(found, OpenMemory)
        assert found.store.spec.model == "hashing"


def test_a_model_that_is_none_is_refused_before_anything_is_made(settings: Settings) -> None:
    wrong = settings.model_copy(update={"embedding_model": "gpt"})
    collections = EdgeCollections(settings.home / "memory")
    with pytest.raises(SettingsError, match="no embedding model 'gpt'"):
        OpenMemory(collections, wrong)
    assert collections.current() is None
    collections.close()


def test_a_home_without_memories_says_how_to_get_some(settings: Settings) -> None:
    with pytest.raises(NotFound, match="octolog up"), open_memories(settings):
        pass
