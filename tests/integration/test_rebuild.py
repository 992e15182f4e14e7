"""A rebuild from a real log: by one process that reads for one that stores, by several, or alone, it is the same."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pytest

from benches._cluster import PARTITIONS, Cluster, cluster
from benches._history import History
from octolog.app.knowledge import reading, rebuild
from octolog.app.settings import Settings
from octolog.domain.errors import BrokerUnavailable
from projections.analytics.queries import canonical_digest
from projections.analytics.sink import AnalyticsProjection
from projections.duck import Store
from projections.tables import FOLLOWED
from streams.kafka.publisher import KafkaPublisher

pytestmark = pytest.mark.integration

RECORDS = 5_000


@pytest.fixture(scope="module")
def log(kafka_jars: None) -> Iterator[tuple[Cluster, int]]:
    """A broker with a history, and how many of its records projections follow."""
    with cluster() as found:
        history = History(found.ids, partitions=PARTITIONS)
        publisher = KafkaPublisher(found.kafka)
        followed = [record for record in history.grow(RECORDS) if record.topic in FOLLOWED]
        for record in followed:
            publisher.publish(record.topic, (record.key or b"").decode(), record.value or b"")
        publisher.close()
        yield found, len(followed)


def built(log: tuple[Cluster, int], path: Path, processes: int = 1) -> tuple[int, str]:
    """Records read, and the digest of what they became."""
    told: list[tuple[int, int]] = []
    settings = Settings(home=path.parent, bootstrap_servers=log[0].bootstrap_servers)
    read = rebuild.build(settings, path, processes, lambda done, total: told.append((done, total)))
    assert told[-1] == (read, log[1])
    store = Store.open(path, read_only=True)
    try:
        assert AnalyticsProjection.made_otherwise(store) is None
        return read, canonical_digest(store)
    finally:
        store.close()


def test_who_reads_and_how_many_makes_no_difference(
    log: tuple[Cluster, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = built(log, tmp_path / "alone.duckdb")
    assert alone[0] == log[1]
    assert built(log, tmp_path / "parts.duckdb", processes=2) == alone
    monkeypatch.setattr(reading, "_WORTH_A_PROCESS", 0)
    monkeypatch.setattr(rebuild, "_FOLD", 1_000)
    assert built(log, tmp_path / "beside.duckdb") == alone
    assert multiprocessing.active_children() == [], "who read has ended"


def test_a_file_left_by_a_rebuild_that_was_cut_short_is_begun_anew(
    log: tuple[Cluster, int], tmp_path: Path
) -> None:
    path = tmp_path / "cut.duckdb"
    cut = Store.build(path)
    AnalyticsProjection(cut, log[0].ids)
    cut.checkpoint()  # its tables are there, and nobody says how far it came
    cut.close()
    assert built(log, path)[0] == log[1]


def test_a_reading_process_that_dies_is_told_in_one_line(
    log: tuple[Cluster, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_WORTH_A_PROCESS", 0)
    settings = Settings(home=tmp_path, bootstrap_servers=log[0].bootstrap_servers)

    def die(pipe: object) -> object:
        (reader,) = multiprocessing.active_children()
        reader.kill()
        return received(pipe)  # type: ignore[arg-type]

    received = reading._received
    monkeypatch.setattr(reading, "_received", die)
    with pytest.raises(BrokerUnavailable, match="ended before it was done") as refused:
        rebuild.build(settings, tmp_path / "dead.duckdb", 1, lambda _done, _total: None)
    assert "\n" not in str(refused.value)
