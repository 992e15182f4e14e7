"""The projection on a real broker: aborted offsets, a restart in the middle, a rebuild beside the live store."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self, cast
from uuid import uuid4

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from benches._history import History
from octolog.app.knowledge.files import new_file
from octolog.app.knowledge.queries import Queries, _Remote
from octolog.app.knowledge.server import QueryServer
from octolog.app.knowledge.service import Knowledge
from octolog.app.loopback_client import LoopbackClient
from octolog.app.projector import catch_up
from octolog.app.settings import Settings
from octolog.domain.errors import Refused
from octolog.ports import LogRecord, Positions
from projections.analytics import sink
from projections.analytics.queries import canonical_digest
from projections.analytics.sink import AnalyticsProjection
from projections.analytics.views import views_sql
from projections.duck import FILE_NAME, Store
from projections.tables import FOLLOWED
from schemas.registry import MemorySchemaTopic, TopicSchemaIds
from streams.kafka.config import KafkaConfig
from streams.kafka.reader import KafkaLogReader
from tests.conftest import KafkaUnderTest

pytestmark = pytest.mark.integration

WAIT_S = 90.0
COUNT = "SELECT count(*) FROM timeline"


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


# Another version of the fold


class OwnTopics:
    """A connection to this test's own topics, as `Knowledge` needs it."""

    def __init__(self, kafka: KafkaUnderTest, suffix: str, ids: TopicSchemaIds) -> None:
        self._config, self._suffix, self.schema_ids = KafkaConfig(kafka.bootstrap_servers), suffix, ids

    def reader(self) -> Renamed:
        return Renamed(KafkaLogReader(self._config, batch=500), self._suffix)


class Letters:
    """Dead letters, counted."""

    def __init__(self) -> None:
        self.count = 0

    def refuse(self, record: LogRecord, reason: str, error: str) -> None:
        self.count += 1


class Life:
    """One life of a node's knowledge process, in this one: it answers at once, and follows once told to."""

    def __init__(self, settings: Settings, connection: OwnTopics) -> None:
        self.letters = Letters()
        self.knowledge = Knowledge(settings, cast("Any", connection), self.letters)
        served = self.knowledge.served
        self._server = QueryServer(self.knowledge.live, served, self.knowledge.put_in_place)
        self.url = self._server.start()
        self._stop = threading.Event()
        follow = self.knowledge.follow
        self._thread = threading.Thread(target=follow, args=(self._stop.is_set,), daemon=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(WAIT_S)
        self._server.stop()
        self.knowledge.close()

    def follow(self) -> None:
        self._thread.start()

    def ask(self, sql: str) -> int:
        queries = Queries(_Remote(LoopbackClient(self.url, "the query service")))
        return int(queries.sql(sql).table.column(0)[0].as_py())


@contextmanager
def asking(life: Life) -> Iterator[list[int]]:
    """The answers of somebody who asks the same again and again, until one fails."""
    answers: list[int] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            answers.append(life.ask(COUNT))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        until(lambda: bool(answers))
        yield answers
        asked = len(answers)
        until(lambda: len(answers) > asked + 1)  # never, when one has failed
    finally:
        over.set()
        thread.join(WAIT_S)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, "not within the time"
        time.sleep(0.01)


def test_a_node_with_another_version_of_the_fold_fills_the_tables_anew_while_the_old_ones_answer(
    kafka: KafkaUnderTest, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = TopicSchemaIds(MemorySchemaTopic())
    settings = Settings(home=tmp_path, bootstrap_servers=kafka.bootstrap_servers)
    connection = OwnTopics(kafka, suffix, ids)
    history = History(ids)
    history.grow(3_000)
    records = [record for record in history.records if record.topic in FOLLOWED]
    append(kafka.bootstrap_servers, suffix, records[:1_500])
    some, every = (sum(r.topic == "octolog.tasks" for r in part) for part in (records[:1_500], records))
    with Life(settings, connection) as first:
        first.follow()
        until(lambda: first.ask(COUNT) == some)
    append(kafka.bootstrap_servers, suffix, records[1_500:])

    plain = views_sql()
    monkeypatch.setattr(AnalyticsProjection, "version", AnalyticsProjection.version + 1)
    monkeypatch.setattr(sink, "views_sql", lambda: f"{plain}\nCREATE VIEW added_later AS SELECT 7 AS seven;")
    with Life(settings, connection) as later:
        assert later.knowledge.stale.startswith("its version is ")
        with pytest.raises(Refused, match="added_later"):
            later.ask("SELECT seven FROM added_later")
        with asking(later) as answers:
            later.follow()
            until(lambda: not later.knowledge.stale)
        assert answers == sorted(answers), "the old tables answered after the new ones"
        assert set(answers) == {some, every}
        assert later.ask("SELECT seven FROM added_later") == 7
        assert [path.name for path in settings.knowledge_dir.glob("*.duckdb")] == ["knowledge-2.duckdb"]
        assert later.letters.count == 0
        path, digest = rebuilt(settings, connection)
        with later.knowledge.live.lease() as store:
            assert canonical_digest(store) == digest
        assert later.knowledge.put_in_place(path.name)["verified"]
        assert later.ask(COUNT) == every


def rebuilt(settings: Settings, connection: OwnTopics) -> tuple[Path, str]:
    """The tables built from offset 0, in a file that may take the place of the one in use; and their digest."""
    path = new_file(settings)
    projection = AnalyticsProjection(store := Store.open(path), connection.schema_ids)
    with closing(projection), closing(connection.reader()) as reader:
        catch_up(projection, reader)
        return path, canonical_digest(store)
