"""Semantic memory on Qdrant Edge: how quickly it takes memories, and how quickly it finds them.

Claims, at 100,000 points of 384 numbers with real payloads, indexes and sparse vectors: 3,000 upserts a second and
more; the ten best memories of a filtered hybrid search within 10 ms (p99); a search as of an offset within twice a
plain one. A fifth of the memories has ended, so that "as of" finds others than "now".

Vectors come with the records (`EMBEDDINGS` measures what making them would cost beside). `--full` has 100,000
points, the default 20,000.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benches._run import bound, options, report, say, spread
from octolog.domain.ids import ArmId, TaskId
from octolog.domain.memory import EntityType, MemoryForgotten, MemoryRecorded, SemanticMemory
from octolog.ports import LogRecord
from projections.memory.conditions import AsOf, Where
from projections.memory.edge import EdgeCollections
from projections.memory.minilm import MiniLm
from projections.memory.queries import nearest
from projections.memory.sink import TOPIC, MemoryProjection, open_collection
from projections.memory.store import MemoryStore, Spec, Vectors
from projections.memory.words import query_vector
from schemas.codec import Codec
from schemas.registry import MemorySchemaTopic, TopicSchemaIds

POINTS: Final = {"quick": 20_000, "full": 100_000}
QUERIES: Final = {"quick": 300, "full": 1_000}
EMBEDDINGS: Final = 100
DIMENSION: Final = 384
MODEL: Final = "bench"
BATCH: Final = 20_000
TOPICS: Final = 200
ENDED: Final = 5
"""One memory of so many is forgotten."""

UPSERTS_PER_S: Final = 3_000
FILTERED_P99_MS: Final = 10.0
AS_OF_FACTOR: Final = 2.0


class Given:
    """Vectors come with the records; a text that has none is an error of the bench."""

    model = MODEL
    dimension = DIMENSION

    def embed(self, texts: Any) -> list[list[float]]:
        raise AssertionError(f"{len(texts)} texts came without a vector")


@dataclass(slots=True)
class Filled:
    """What filling the store took."""

    done: int = 0
    spent_s: float = 0.0
    cpu_s: float = 0.0
    settling_s: float = 0.0


class Workload:
    """Memories about some topics: near in meaning to their topic, in words drawn as language draws them."""

    def __init__(self, points: int) -> None:
        self.points = points
        self._draw = np.random.default_rng(7)
        self._centres = self._draw.standard_normal((TOPICS, DIMENSION))
        self._codec = Codec(TopicSchemaIds(MemorySchemaTopic()))
        self.codec = self._codec

    def vector(self, at: int) -> list[float]:
        found: list[float] = (
            self._centres[at % TOPICS] + 0.6 * self._draw.standard_normal(DIMENSION)
        ).tolist()
        return found

    def text(self, count: int) -> str:
        return " ".join(f"word{n % 20_000}" for n in self._draw.zipf(1.3, size=count))

    def records(self) -> Iterator[list[LogRecord]]:
        """Batches as a reader hands them over; one partition, so that an offset is a moment of all of it."""
        batch: list[LogRecord] = []
        offset = 0
        for at in range(self.points):
            events: list[Any] = [self._recorded(at)]
            if at % ENDED == ENDED - 1:
                events.append(MemoryForgotten(f"memory-{at - 2}", "the bench says so", "bench"))
            for event in events:
                value = self._codec.encode(event)
                batch.append(LogRecord(TOPIC, 0, offset, 1_700_000_000_000 + offset, b"m", value))
                offset += 1
            if len(batch) >= BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    def _recorded(self, at: int) -> MemoryRecorded:
        memory = SemanticMemory(
            memory_id=f"memory-{at}",
            entity_type=(EntityType.TASK, EntityType.FACT, EntityType.DECISION, EntityType.ARTIFACT)[at % 4],
            content=self.text(30),
            source=ArmId(f"arm{at % 10}"),
            timestamp_ms=1_700_000_000_000 + at,
            confidence=(at * 37 % 100) / 100,
            embeddings=tuple(self.vector(at)),
            embedding_model=MODEL,
            tags=(f"tag{at % 50}", f"half{at % 2}"),
        )
        return MemoryRecorded(TaskId(f"task-{at % 1_000}"), TaskId(f"task-{at % 1_000}"), memory)

    def query(self, at: int) -> Vectors:
        return Vectors(self.vector(at), query_vector(self.text(6)))


def main() -> None:
    """Measure, check, print."""
    given = options(__doc__ or "")
    size = "full" if given.full else "quick"
    workload = Workload(POINTS[size])
    with TemporaryDirectory(prefix="octolog-bench-memory-") as folder:
        collections = EdgeCollections(Path(folder))
        store, _ = open_collection(collections, Spec(MODEL, DIMENSION))
        filled = _fill(store, workload)
        searches = _searches(store, workload, QUERIES[size])
        found = store.count()
        disk_mb = sum(path.stat().st_blocks * 512 for path in Path(folder).rglob("*") if path.is_file()) >> 20
        collections.close()
    assert found == workload.points, found
    plain, as_of = searches["plain"], searches["as_of_half"]
    filtered = max(row["p99_ms"] for name, row in searches.items() if name.startswith("filtered"))
    report(
        {
            "bench": "memory_search",
            "size": size,
            "points": workload.points,
            "dimension": DIMENSION,
            "upserts_per_s": bound(
                filled.done / (filled.spent_s - filled.settling_s), at_least=UPSERTS_PER_S
            ),
            "upserts_per_s_graphs_included": round(filled.done / filled.spent_s),
            "upserts_per_cpu_s_graphs_included": round(filled.done / filled.cpu_s),
            "graphs_s": round(filled.settling_s, 1),
            "disk_mb": disk_mb,
            "searches": searches,
            "filtered_top_10_p99_ms": bound(filtered, at_most=FILTERED_P99_MS),
            "as_of_times_plain_p50": bound(as_of["p50_ms"] / plain["p50_ms"], at_most=AS_OF_FACTOR),
            "as_of_times_plain_p99": round(as_of["p99_ms"] / plain["p99_ms"], 2),
            "embeddings_per_s": _embedding_rate(workload),
        }
    )


def _fill(store: MemoryStore, workload: Workload) -> Filled:
    """Memories stored, the whole way from encoded records, with the graphs built as they come."""
    settle: Callable[[], None] = store.settle
    found = Filled()

    def settled() -> None:
        found.settling_s += _timed(settle) / 1_000

    cast: Any = store
    cast.settle = settled
    projection = MemoryProjection(store, Given(), workload.codec)
    for batch in workload.records():
        started_s, started_cpu_s = time.perf_counter(), time.process_time()
        projection.apply(batch, {(TOPIC, 0): batch[-1].offset + 1})
        found.spent_s += time.perf_counter() - started_s
        found.cpu_s += time.process_time() - started_cpu_s
        found.done += len(batch)
        say(f"{found.done} events stored, {found.done / found.spent_s:.0f} a second, graphs included")
    return found


def _searches(store: MemoryStore, workload: Workload, count: int) -> dict[str, dict[str, float]]:
    half = AsOf(offset=workload.points * 6 // 10)
    kinds: dict[str, Where] = {
        "plain": Where(),
        "as_of_half": Where(as_of=half),
        "as_of_time": Where(as_of=AsOf(time_ms=1_700_000_000_000 + workload.points // 2)),
        "filtered_entity": Where(entity_type=EntityType.FACT),
        "filtered_tag": Where(tags=("tag8",)),
        "filtered_source_confidence": Where(source="arm3", min_confidence=0.5),
        "filtered_time": Where(since_ms=1_700_000_000_000 + workload.points // 2),
        "filtered_as_of": Where(entity_type=EntityType.FACT, min_confidence=0.3, as_of=half),
    }
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for name, where in kinds.items():
        _timed(lambda where=where: nearest(store, workload.query(0), 10, where))  # type: ignore[misc]
        assert len(nearest(store, workload.query(0), 10, where)) == 10, name
    for at in range(count):  # kinds take turns, so that a busy moment of the machine hits all alike
        query = workload.query(at)
        for name, where in kinds.items():
            times[name].append(_timed(lambda query=query, where=where: nearest(store, query, 10, where)))  # type: ignore[misc]
    for name, found in times.items():
        say(f"{name}: {spread(found)}")
    return {name: spread(found) for name, found in times.items()}


def _timed(work: Callable[[], object]) -> float:
    started_s = time.perf_counter()
    work()
    return (time.perf_counter() - started_s) * 1_000


def _embedding_rate(workload: Workload) -> float:
    model = MiniLm()
    texts = [workload.text(12) for _ in range(EMBEDDINGS)]
    model.embed(texts[:1])
    started_s = time.perf_counter()
    model.embed(texts)
    return round(EMBEDDINGS / (time.perf_counter() - started_s))


if __name__ == "__main__":
    main()
