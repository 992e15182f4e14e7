"""What the tables say of handlers."""

from __future__ import annotations

from octolog.domain.ids import ArmId, AttemptId, TaskId
from octolog.domain.reports import ContextRecalled, HandlerMetrics, RecalledMemory
from octolog.domain.tasksystem import ResourceLimits, ResourceMetrics
from octolog.ports import LogRecord
from projections.analytics.sink import AnalyticsProjection
from projections.duck import Store
from schemas.codec import Codec
from schemas.registry import MemorySchemaTopic, TopicSchemaIds

OWN = TaskId("T-1"), TaskId("T-1/a"), AttemptId("x"), ArmId("template")
TOPIC = "octolog.resources"


def test_handlers_and_what_memory_gave_can_be_asked_for() -> None:
    ids = TopicSchemaIds(MemorySchemaTopic())
    codec, store = Codec(ids), Store.open(None)
    metrics = HandlerMetrics(
        *OWN,
        "gpt-4",
        ResourceLimits(5, 0, 0.8, 9_000),
        ResourceMetrics(5, 5, 1_700_000_000_000, 90, 0, 120),
        ("turns: 4 of 5 used",),
        "turns",
    )
    recalled = ContextRecalled(*OWN, True, "Known before.", False, (RecalledMemory("m-1", 0, 7, 0.75),))
    values = [codec.encode(record) for record in (metrics, recalled)]
    records = [LogRecord(TOPIC, 0, at, at, b"T-1", value) for at, value in enumerate(values)]
    AnalyticsProjection(store, ids).apply(records, {(TOPIC, 0): 2})

    [row] = store.rows("SELECT * FROM handlers")
    assert (row["attempt_id"], row["model"], row["stopped_by"]) == ("x", "gpt-4", "turns")
    assert (row["turns"], row["turns_limit"], row["warnings"]) == (5, 5, ["turns: 4 of 5 used"])
    assert (row["context_tokens"], row["context_limit"], row["context_peak"]) == (90, None, 120)
    assert (row["context_peak_share"], row["timeout_ms"]) == (None, 9_000)
    given = store.rows(
        "SELECT memory.memory_id AS memory_id FROM context_recalled, unnest(memories) AS g(memory)"
    )
    assert given == [{"memory_id": "m-1"}]
    store.close()
