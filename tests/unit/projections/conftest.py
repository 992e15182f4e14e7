from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from benches._history import History
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


@pytest.fixture(scope="module")
def known() -> Iterator[Known]:
    ids = TopicSchemaIds(MemorySchemaTopic())
    history = History(ids)
    history.grow(4_000)
    history.dead_letter()
    records = [record for record in history.records if record.topic in FOLLOWED]
    store = Store.open(None)
    AnalyticsProjection(store, ids).apply(records, history.after(records))
    yield Known(history, records, ids, store)
    store.close()
