from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from octolog.domain.ids import ArmId, TaskId
from octolog.domain.memory import EntityType, MemoryRecorded, SemanticMemory
from octolog.ports import LogRecord, Positions
from projections.memory.edge import EdgeCollections
from projections.memory.embedding import HashingEmbedder
from projections.memory.sink import TOPIC, MemoryProjection, open_collection, spec_of
from schemas.codec import Codec
from schemas.registry import MemorySchemaTopic, TopicSchemaIds


@dataclass
class Letters:
    """Dead letters, kept."""

    refused: list[tuple[LogRecord, str, str]] = field(default_factory=list)

    def refuse(self, record: LogRecord, reason: str, error: str) -> None:
        self.refused.append((record, reason, error))


@dataclass
class Topic:
    """A topic in memory: what is appended, as a projection reads it."""

    name: str
    codec: Codec
    records: list[LogRecord] = field(default_factory=list)
    partitions: int = 2
    start_ms: int = 1_700_000_000_000

    def append(self, key: str, event: Any, *, at_ms: int | None = None) -> LogRecord:
        value = event if isinstance(event, bytes) else self.codec.encode(event)
        partition = sum(key.encode()) % self.partitions
        offset = sum(record.partition == partition for record in self.records)
        when_ms = self.start_ms + 1_000 * len(self.records) if at_ms is None else at_ms
        record = LogRecord(self.name, partition, offset, when_ms, key.encode(), value)
        self.records.append(record)
        return record

    def after(self, records: Sequence[LogRecord]) -> Positions:
        return {(record.topic, record.partition): record.offset + 1 for record in records}


def remembered(memory_id: str, content: str, **more: Any) -> MemoryRecorded:
    """A record of a memory."""
    known = {
        "entity_type": EntityType.FACT,
        "source": ArmId("retriever"),
        "timestamp_ms": 5,
        "confidence": 0.9,
    }
    memory = SemanticMemory(**{"memory_id": memory_id, "content": content, **known, **more})
    return MemoryRecorded(TaskId("t"), TaskId("t/a"), memory)


@pytest.fixture
def codec() -> Codec:
    return Codec(TopicSchemaIds(MemorySchemaTopic()))


@pytest.fixture
def topic(codec: Codec) -> Topic:
    return Topic(TOPIC, codec)


@pytest.fixture
def letters() -> Letters:
    return Letters()


@pytest.fixture
def collections(tmp_path: Path) -> Iterator[EdgeCollections]:
    opened = EdgeCollections(tmp_path / "memory")
    yield opened
    opened.close()


@pytest.fixture
def projection(collections: EdgeCollections, codec: Codec, letters: Letters) -> MemoryProjection:
    embedder = HashingEmbedder()
    store, _ = open_collection(collections, spec_of(embedder))
    return MemoryProjection(store, embedder, codec, letters)
