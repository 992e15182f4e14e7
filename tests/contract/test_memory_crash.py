"""A memory projector that is killed between any two writes goes on, and ends where one ends that never was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from octolog.ports import LogRecord
from projections.memory.edge import EdgeCollections
from projections.memory.embedding import HashingEmbedder
from projections.memory.sink import TOPIC, MemoryProjection, open_collection, spec_of
from projections.memory.store import MemoryStore
from schemas.codec import Codec
from schemas.registry import MemorySchemaTopic, TopicSchemaIds
from tests.unit.memory.conftest import Topic, remembered

ROOT = Path(__file__).parents[2]
EVENTS = 1_200
WAIT_S = 90.0
CHILD = """
import sys
from pathlib import Path
from tests.contract.test_memory_crash import history, projected
topic = history()
print("ready", flush=True)
projected(Path(sys.argv[1]), topic, batch=7, tell=lambda at: print(at, flush=True))
"""


def history() -> Topic:
    """Memories that are recorded, and recorded again with other content."""
    topic = Topic(TOPIC, Codec(TopicSchemaIds(MemorySchemaTopic())), partitions=3)
    for n in range(EVENTS):
        memory_id = f"m-{n * 7919 % 300}"
        topic.append(memory_id, remembered(memory_id, f"text number {n % 401}"))
    return topic


def projected(folder: Path, topic: Topic, *, batch: int, tell: object = None) -> list[tuple[object, ...]]:
    """Follow the topic in small batches from where the store is; returns what it holds then."""
    collections = EdgeCollections(folder)
    embedder = HashingEmbedder()
    store, _ = open_collection(collections, spec_of(embedder))
    projection = MemoryProjection(store, embedder, topic.codec)
    known = projection.positions()
    rest = [record for record in topic.records if record.offset >= known.get((TOPIC, record.partition), 0)]
    for start in range(0, len(rest), batch):
        some: list[LogRecord] = rest[start : start + batch]
        projection.apply(some, topic.after(some))
        if callable(tell):
            tell(start)
    found = contents(store)
    collections.close()
    return found


def contents(store: MemoryStore) -> list[tuple[object, ...]]:
    entries = [entry for batch in store.scan(500) for entry in batch]
    return sorted((e.point.point_id, e.point, e.vectors.sparse) for e in entries)


@pytest.mark.chaos
def test_a_projector_killed_again_and_again_ends_where_one_ends_that_was_not(tmp_path: Path) -> None:
    deaths = 0
    for wanted in (30, 200, 500):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path / "killed")],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert child.stdout is not None
        deadline = time.monotonic() + WAIT_S
        for line in child.stdout:
            assert time.monotonic() < deadline
            if line.strip().isdigit() and int(line) >= wanted:
                child.send_signal(signal.SIGKILL)
                break
        deaths += child.wait(WAIT_S) == -signal.SIGKILL
        child.stdout.close()
    assert deaths == 3
    topic = history()
    killed = projected(tmp_path / "killed", topic, batch=500)
    whole = projected(tmp_path / "whole", topic, batch=500)
    assert len(whole) > 300
    assert killed == whole
