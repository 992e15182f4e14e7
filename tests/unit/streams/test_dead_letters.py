"""Of a record that several consumers read and cannot use there is one dead letter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from octolog.domain.upkeep import DeadLetter
from octolog.ports import LogRecord
from projections.analytics.sink import AnalyticsProjection
from projections.duck import Store
from projections.memory.edge import EdgeCollections
from projections.memory.embedding import HashingEmbedder
from projections.memory.sink import MemoryProjection, open_collection, spec_of
from schemas.codec import Codec
from streams.dead_letters import PublishedDeadLetters
from streams.topics import DEAD_LETTERS, EPISODES, MEMORY, RESULTS
from tests.replay.log import CODEC


class Published:
    """Keeps what is published."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self.letters: list[DeadLetter] = []

    def publish(
        self,
        topic: str,
        key: str,
        value: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        done: Any = None,
    ) -> None:
        assert topic == DEAD_LETTERS
        self.letters.append(self._codec.decode(value))

    def flush(self, timeout_s: float) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("topic", "reports"),
    [
        (MEMORY, ["memory"]),
        (EPISODES, ["memory"]),
        (RESULTS, []),
        (DEAD_LETTERS, []),
    ],
)
def test_one_consumer_reports_on_a_topic(topic: str, reports: list[str]) -> None:
    out = Published(CODEC)
    record = LogRecord(topic, 0, 7, 1, b"key", b"rubbish")
    for consumer in ("knowledge", "memory"):
        PublishedDeadLetters(out, CODEC, consumer).refuse(record, "no record", "UndecodableRecord")
    assert [letter.consumer for letter in out.letters] == reports


def test_a_bad_memory_has_one_letter_although_two_projections_refuse_it(tmp_path: Path) -> None:
    out, embedder = Published(CODEC), HashingEmbedder()
    record = LogRecord(MEMORY, 0, 0, 1, b"key", b"rubbish")
    store = Store.open(None)
    analytics = AnalyticsProjection(store, CODEC.ids, PublishedDeadLetters(out, CODEC, "knowledge"))
    collections = EdgeCollections(tmp_path / "memory")
    collection, _ = open_collection(collections, spec_of(embedder))
    memory = MemoryProjection(collection, embedder, CODEC, PublishedDeadLetters(out, CODEC, "memory"))
    for projection in (analytics, memory):
        projection.apply([record], {(MEMORY, 0): 1})
        assert projection.positions()[MEMORY, 0] == 1
    analytics.close()
    collections.close()
    (letter,) = out.letters
    assert (letter.consumer, letter.source_offset, letter.value) == ("memory", 0, b"rubbish")
