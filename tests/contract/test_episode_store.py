"""Every episode store keeps the same promises: acceptance behaviours 28 and 30. The Redis is a real server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from octolog.domain.errors import Refused, StoreUnavailable
from octolog.domain.ids import ArmId, TaskId
from octolog.domain.memory import EpisodeReadDenied, EpisodicMemory
from octolog.ports import LogRecord
from projections.episodes.embedded import EmbeddedEpisodes
from projections.episodes.sink import TOPIC, EpisodeProjection
from projections.episodes.store import Episode, EpisodeDenied, EpisodeStore, read_own
from schemas.codec import Codec
from schemas.registry import MemorySchemaTopic, TopicSchemaIds

T_MS = 1_700_000_000_000
CODER, JUDGE = ArmId("coder"), ArmId("judge")
Make = Callable[[], EpisodeStore]


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`OCTOLOG_TEST_REDIS_URL`, or a server of this machine's own program, or a skip that says what is missing."""
    given = os.environ.get("OCTOLOG_TEST_REDIS_URL")
    if given:
        yield given
        return
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server on this machine (Debian: apt-get install redis-server)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("redis")
    options = [
        "--bind",
        "127.0.0.1",
        "--port",
        str(port),
        "--dir",
        str(folder),
        "--save",
        "",
        "--daemonize",
        "no",
    ]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([program, *options], stdout=log, stderr=log)
    try:
        _wait_for(port, server)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(30)


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    pytest.fail(f"redis-server did not start (exit code {server.poll()})")


@pytest.fixture(params=["embedded", "redis"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Opens the same store, as often as it is called."""
    if request.param == "embedded":
        return lambda: EmbeddedEpisodes(tmp_path / "episodes.sqlite")
    from projections.episodes.server import RedisEpisodes

    url = request.getfixturevalue("redis_url")
    prefix = f"octolog-test:{uuid4().hex}"
    return lambda: RedisEpisodes(url, prefix)


@pytest.fixture
def store(make: Make) -> Iterator[EpisodeStore]:
    opened = make()
    yield opened
    opened.close()


@pytest.fixture
def codec() -> Codec:
    return Codec(TopicSchemaIds(MemorySchemaTopic()))


class Denials:
    """Refusals, kept."""

    def __init__(self) -> None:
        self.records: list[EpisodeReadDenied] = []

    def denied(self, owner: ArmId, asked_by: str, as_of_ms: int) -> None:
        self.records.append(EpisodeReadDenied(owner, asked_by, as_of_ms))


def memory(episode_id: str, arm_id: ArmId = CODER, ttl_seconds: int = 3_600) -> EpisodicMemory:
    return EpisodicMemory(episode_id, arm_id, TaskId("t/a"), ("saw",), ("did", "more"), (), ttl_seconds)


def episode(episode_id: str, arm_id: ArmId = CODER, at_ms: int = T_MS, ttl_seconds: int = 3_600) -> Episode:
    return Episode.of(memory(episode_id, arm_id, ttl_seconds), 0, 0, at_ms)


def ids(found: list[Episode]) -> list[str]:
    return [one.memory.episode_id for one in found]


def record(codec: Codec, event: EpisodicMemory, offset: int, at_ms: int, key: str | None = None) -> LogRecord:
    return LogRecord(TOPIC, 0, offset, at_ms, (key or event.arm_id).encode(), codec.encode(event))


def test_28_an_episode_of_an_hour_is_readable_at_3599_s_and_gone_at_3601_s(
    store: EpisodeStore, codec: Codec
) -> None:
    projection = EpisodeProjection(store, codec)
    projection.apply([record(codec, memory("e"), 0, T_MS)], {(TOPIC, 0): 1})
    denials = Denials()
    assert ids(read_own(store, denials, CODER, CODER, T_MS + 3_599_000)) == ["e"]
    assert read_own(store, denials, CODER, CODER, T_MS + 3_601_000) == []


def test_28_a_replay_gives_the_same_answer_for_the_same_moment(make: Make, codec: Codec) -> None:
    records = [
        record(codec, memory(f"e-{n}", ttl_seconds=60 + 7 * n), n, T_MS + 10_000 * n) for n in range(30)
    ]
    moments = range(T_MS - 1_000, T_MS + 600_000, 7_919)
    live = make()
    projection = EpisodeProjection(live, codec)
    answers = []
    for one in records:
        projection.apply([one], {(TOPIC, 0): one.offset + 1})
    answers = [live.read(CODER, moment, 100) for moment in moments]
    other = EmbeddedEpisodes(None)
    EpisodeProjection(other, codec).apply(records, {(TOPIC, 0): len(records)})
    assert [other.read(CODER, moment, 100) for moment in moments] == answers
    assert len({len(answer) for answer in answers}) > 5
    EpisodeProjection(live, codec).apply(records, {(TOPIC, 0): len(records)})
    assert [live.read(CODER, moment, 100) for moment in moments] == answers
    live.close()
    other.close()


def test_28_an_episode_is_not_there_before_it_was_recorded(store: EpisodeStore) -> None:
    store.put([episode("e")], {})
    assert store.read(CODER, T_MS - 1, 10) == []
    assert ids(store.read(CODER, T_MS, 10)) == ["e"]


def test_30_an_arm_that_reads_anothers_episodes_is_denied_and_that_is_recorded(store: EpisodeStore) -> None:
    store.put([episode("e", JUDGE)], {})
    denials = Denials()
    with pytest.raises(EpisodeDenied, match="'coder' may not read the episodes of judge"):
        read_own(store, denials, JUDGE, CODER, T_MS)
    assert denials.records == [EpisodeReadDenied(JUDGE, CODER, T_MS)]
    assert ids(read_own(store, denials, JUDGE, JUDGE, T_MS)) == ["e"]
    assert len(denials.records) == 1


def test_30_a_refusal_that_cannot_be_recorded_is_still_none_read(store: EpisodeStore) -> None:
    class Broken(Denials):
        def denied(self, owner: ArmId, asked_by: str, as_of_ms: int) -> None:
            raise StoreUnavailable("no log")

    store.put([episode("e", JUDGE)], {})
    with pytest.raises(StoreUnavailable):
        read_own(store, Broken(), JUDGE, CODER, T_MS)


def test_an_arm_finds_its_own_newest_first(store: EpisodeStore) -> None:
    store.put([episode(f"e-{n}", at_ms=T_MS + n) for n in range(5)] + [episode("other", JUDGE)], {})
    assert ids(store.read(CODER, T_MS + 10, 3)) == ["e-4", "e-3", "e-2"]


def test_an_episode_comes_back_whole(store: EpisodeStore) -> None:
    known = Episode.of(EpisodicMemory("é\n", CODER, TaskId("t"), ("ü",), (), ("3",), 5), 2, 9, T_MS)
    store.put([known], {})
    assert store.read(CODER, T_MS, 1) == [known]


def test_the_first_episode_of_an_id_stays(store: EpisodeStore) -> None:
    store.put([episode("e", ttl_seconds=60)], {})
    store.put([episode("e", ttl_seconds=9_999)], {})
    assert store.read(CODER, T_MS + 61_000, 10) == []


def test_positions_come_with_the_episodes_and_outlive_a_restart(make: Make) -> None:
    first = make()
    first.put([episode("e")], {(TOPIC, 0): 7})
    first.put([], {(TOPIC, 1): 3})
    first.close()
    second = make()
    assert second.positions() == {(TOPIC, 0): 7, (TOPIC, 1): 3}
    assert ids(second.read(CODER, T_MS, 10)) == ["e"]
    second.close()


def test_what_expired_long_ago_is_dropped_and_may_not_be_asked_about(store: EpisodeStore) -> None:
    store.put([episode("old", ttl_seconds=60), episode("new", at_ms=T_MS + 100_000)], {})
    assert store.drop_expired(T_MS + 90_000) == 1
    assert store.drop_expired(T_MS + 80_000) == 0
    assert store.kept_since_ms() == T_MS + 90_000
    assert ids(read_own(store, Denials(), CODER, CODER, T_MS + 100_000)) == ["new"]
    with pytest.raises(Refused, match="is before that"):
        read_own(store, Denials(), CODER, CODER, T_MS)


def test_the_projection_drops_by_the_logs_clock_alone(store: EpisodeStore, codec: Codec) -> None:
    projection = EpisodeProjection(store, codec, history_ms=1_000)
    projection.apply([record(codec, memory("a", ttl_seconds=1), 0, T_MS)], {(TOPIC, 0): 1})
    projection.apply([record(codec, memory("b"), 1, T_MS + 4_000_000)], {(TOPIC, 0): 2})
    assert store.kept_since_ms() == T_MS + 4_000_000 - 1_000
    assert ids(store.read(CODER, T_MS + 4_000_000, 10)) == ["b"]


def test_an_arm_writes_only_its_own_and_what_breaks_a_bound_is_a_dead_letter(
    store: EpisodeStore, codec: Codec
) -> None:
    refused: list[str] = []

    class Letters:
        def refuse(self, record: LogRecord, reason: str, error: str) -> None:
            refused.append(f"{record.offset}: {reason}")

    projection = EpisodeProjection(store, codec, Letters())
    records = [
        record(codec, memory("e", JUDGE), 0, T_MS, key="coder"),
        record(codec, memory("e", ttl_seconds=0), 1, T_MS),
        LogRecord(TOPIC, 0, 2, T_MS, b"coder", b"rubbish"),
        LogRecord(TOPIC, 0, 3, T_MS, b"judge", codec.encode(EpisodeReadDenied(JUDGE, CODER, T_MS))),
        record(codec, memory("fine"), 4, T_MS),
    ]
    projection.apply(records, {(TOPIC, 0): 5})
    assert [line.split(":")[0] for line in refused] == ["0", "1", "2"]
    assert "an arm writes its own" in refused[0]
    assert ids(store.read(CODER, T_MS, 10)) == ["fine"]
    assert store.read(JUDGE, T_MS, 10) == []


def test_an_emptied_store_begins_anew(store: EpisodeStore, codec: Codec) -> None:
    projection = EpisodeProjection(store, codec)
    records = [record(codec, memory("e"), 0, T_MS)]
    projection.apply(records, {(TOPIC, 0): 1})
    projection.reset()
    assert store.read(CODER, T_MS, 10) == []
    assert (projection.positions(), store.kept_since_ms()) == ({}, 0)
    projection.apply(records, {(TOPIC, 0): 1})
    assert ids(store.read(CODER, T_MS, 10)) == ["e"]


def test_a_redis_that_is_away_is_named_in_one_line() -> None:
    from projections.episodes.server import RedisEpisodes

    with pytest.raises(StoreUnavailable, match=r"^Redis: "):
        RedisEpisodes("redis://127.0.0.1:9/0")
