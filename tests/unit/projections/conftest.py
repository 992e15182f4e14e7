from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from benches._history import History
from octolog.domain.ids import ArmId, AttemptId, TaskId
from octolog.domain.reports import ContextRecalled, HandlerMetrics, RecalledMemory
from octolog.domain.tasksystem import ResourceLimits, ResourceMetrics
from octolog.ports import LogRecord
from projections.analytics.sink import AnalyticsProjection
from projections.duck import Store
from projections.tables import FOLLOWED
from schemas.registry import MemorySchemaTopic, TopicSchemaIds


@dataclass(frozen=True)
class Known:
    """A history, and a store that holds all of it."""

    history: History
    records: list[LogRecord]
    ids: TopicSchemaIds
    store: Store


def conversed(history: History) -> None:
    """What a handler counted, and what memory gave: the history's own arms tell neither."""
    own = TaskId("task-000001"), TaskId("task-000001/judge"), AttemptId("conversed"), ArmId("judge")
    metrics = HandlerMetrics(*own, "m", ResourceLimits(5, 100), ResourceMetrics(5, 5, 0, 90, 100, 95))
    recalled = ContextRecalled(*own, True, "known", memories=(RecalledMemory("m-1", 0, 7, 0.75),))
    for record in (metrics, recalled):
        history.append("octolog.resources", 0, own[0], history.codec.encode(record))


@pytest.fixture(scope="module")
def known() -> Iterator[Known]:
    ids = TopicSchemaIds(MemorySchemaTopic())
    history = History(ids)
    history.grow(4_000)
    history.dead_letter()
    conversed(history)
    records = [record for record in history.records if record.topic in FOLLOWED]
    store = Store.open(None)
    AnalyticsProjection(store, ids).apply(records, history.after(records))
    yield Known(history, records, ids, store)
    store.close()
