"""The projection on a real broker: aborted offsets, a restart in the middle, a rebuild beside the live store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from benches._history import History
from octolog.app.projector import catch_up
from octolog.ports import LogRecord, Positions
from projections.analytics.queries import canonical_digest
from projections.analytics.sink import AnalyticsProjection
from projections.duck import FILE_NAME, Store
from projections.tables import FOLLOWED
from schemas.registry import MemorySchemaTopic, TopicSchemaIds
from streams.kafka.config import KafkaConfig
from streams.kafka.reader import KafkaLogReader
from tests.conftest import KafkaUnderTest

pytestmark = pytest.mark.integration


class Renamed:
    """A reader of this test's own topics under the names that projections know."""

    def __init__(self, inner: KafkaLogReader, suffix: str) -> None:
        self._inner, self._suffix = inner, suffix

    def ends(self, topics: Sequence[str]) -> Positions:
        return self._known(self._inner.ends([topic + self._suffix for topic in topics]))

    def at_time(self, topics: Sequence[str], timestamp_ms: int) -> Positions:
        return self._known(self._inner.at_time([topic + self._suffix for topic in topics], timestamp_ms))

    def read(self, start: Positions, *, until: Positions | None = None) -> Iterator[list[LogRecord]]:
        mine = None if until is None else self._mine(until)
        for batch in self._inner.read(self._mine(start), until=mine):
            yield [record._replace(topic=record.topic.removesuffix(self._suffix)) for record in batch]

    def close(self) -> None:
        self._inner.close()

    def _known(self, positions: Positions) -> Positions:
        return {(topic.removesuffix(self._suffix), p): offset for (topic, p), offset in positions.items()}

    def _mine(self, positions: Positions) -> Positions:
        return {(topic + self._suffix, p): offset for (topic, p), offset in positions.items()}


def append(bootstrap: str, suffix: str, records: Sequence[LogRecord]) -> None:
    """Write in transactions, every second one aborted first: the log then has marks and dead records."""
    producer = Producer(
        {"bootstrap.servers": bootstrap, "transactional.id": f"history{suffix}{uuid4().hex[:6]}"}
    )
    producer.init_transactions()
    for start in range(0, len(records), 700):
        some = records[start : start + 700]
        for give_up in (True, False) if start % 1400 else (False,):
            producer.begin_transaction()
            for record in some:
                producer.produce(record.topic + suffix, record.value, record.key, partition=record.partition)
            if give_up:
                producer.flush()
                producer.abort_transaction()
            else:
                producer.commit_transaction()


@pytest.fixture
def suffix(kafka: KafkaUnderTest) -> Iterator[str]:
    suffix = f"-{uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    made = admin.create_topics([NewTopic(topic + suffix, 2, 1) for topic in FOLLOWED])
    for future in made.values():
        future.result(30)
    yield suffix
    for future in admin.delete_topics([topic + suffix for topic in FOLLOWED]).values():
        future.result(30)


def test_23_a_store_that_followed_and_one_rebuilt_hold_the_same(
    kafka: KafkaUnderTest, suffix: str, tmp_path: Path
) -> None:
    ids = TopicSchemaIds(MemorySchemaTopic())
    history = History(ids)
    history.grow(6_000)
    records = [record for record in history.records if record.topic in FOLLOWED]
    config = KafkaConfig(kafka.bootstrap_servers)
    path = tmp_path / FILE_NAME
    half = len(records) // 2
    for part in (records[:half], records[half:]):
        append(kafka.bootstrap_servers, suffix, part)
        live = AnalyticsProjection(Store.open(path), ids)  # as after a restart: it goes on where it was
        reader = Renamed(KafkaLogReader(config, batch=500), suffix)
        catch_up(live, reader)
        reader.close()
        live.close()
    live_store, rebuilt_store = Store.open(path), Store.open(None)
    live = AnalyticsProjection(live_store, ids)
    rebuilt = AnalyticsProjection(rebuilt_store, ids)
    reader = Renamed(KafkaLogReader(config, batch=100_000), suffix)
    catch_up(rebuilt, reader)
    catch_up(live, reader)
    reader.close()
    expected = sum(record.topic == "octolog.tasks" for record in records)
    assert rebuilt_store.rows("SELECT count(*) AS n FROM timeline") == [{"n": expected}]
    assert canonical_digest(rebuilt_store) == canonical_digest(live_store)
    rebuilt.close()
    live.close()
