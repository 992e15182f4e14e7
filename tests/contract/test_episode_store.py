"""Every episode store keeps the same promises: acceptance behaviours 28 and 30. The Redis is a real server.

One module, because both stores stand behind the same fixtures, and one server is started for all.
"""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from octolog.app.memory.episodes import OpenEpisodes
from octolog.app.projector import after
from octolog.domain.errors import Refused, StoreUnavailable
from octolog.domain.ids import ArmId, TaskId
from octolog.domain.memory import EpisodeReadDenied, EpisodicMemory
from octolog.ports import LogRecord, Positions
from projections.episodes.embedded import EmbeddedEpisodes, EpisodeFiles
from projections.episodes.sink import TOPIC, EpisodeProjection
from projections.episodes.store import (
    FOLD,
    Episode,
    EpisodeDenied,
    EpisodeStore,
    EpisodeStores,
    StoreReplaced,
    canonical_digest,
    read_own,
    require_equal,
)
from schemas.codec import Codec
from schemas.registry import MemorySchemaTopic, TopicSchemaIds

T_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
CODER, JUDGE = ArmId("coder"), ArmId("judge")
OpenStores = Callable[[], EpisodeStores]


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
def open_stores(request: pytest.FixtureRequest, tmp_path: Path) -> OpenStores:
    """Opens the same stores, as often as it is called; those of a folder once at a time."""
    if request.param == "embedded":
        return lambda: EpisodeFiles(tmp_path)
    from projections.episodes.server import RedisGenerations, connect

    url = request.getfixturevalue("redis_url")
    prefix = f"octolog-test:{uuid4().hex}"
    return lambda: RedisGenerations(connect(url), prefix)


@pytest.fixture
def stores(open_stores: OpenStores) -> Iterator[EpisodeStores]:
    opened = open_stores()
    yield opened
    opened.close()


@pytest.fixture
def store(stores: EpisodeStores) -> EpisodeStore:
    made = stores.create(FOLD)
    stores.use(made)
    return made


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


def test_28_a_replay_gives_the_same_answer_for_the_same_moment(store: EpisodeStore, codec: Codec) -> None:
    records = [
        record(codec, memory(f"e-{n}", ttl_seconds=60 + 7 * n), n, T_MS + 10_000 * n) for n in range(30)
    ]
    moments = range(T_MS - 1_000, T_MS + 600_000, 7_919)
    projection = EpisodeProjection(store, codec)
    for one in records:
        projection.apply([one], {(TOPIC, 0): one.offset + 1})
    answers = [store.read(CODER, moment, 100) for moment in moments]
    other = EmbeddedEpisodes(None)
    EpisodeProjection(other, codec).apply(records, {(TOPIC, 0): len(records)})
    assert [other.read(CODER, moment, 100) for moment in moments] == answers
    assert len({len(answer) for answer in answers}) > 5
    EpisodeProjection(store, codec).apply(records, {(TOPIC, 0): len(records)})
    assert [store.read(CODER, moment, 100) for moment in moments] == answers
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


def test_positions_come_with_the_episodes_and_outlive_a_restart(open_stores: OpenStores) -> None:
    first = open_stores()
    assert first.current() is None
    made = first.create(7)
    first.use(made)
    made.put([episode("e")], {(TOPIC, 0): 7})
    made.put([], {(TOPIC, 1): 3})
    first.close()
    second = open_stores()
    found = second.current()
    assert found is not None
    assert found.version == 7
    assert found.positions() == {(TOPIC, 0): 7, (TOPIC, 1): 3}
    assert ids(found.read(CODER, T_MS, 10)) == ["e"]
    second.close()


def test_a_store_grows_beside_the_one_in_use_and_takes_its_place_at_once(
    stores: EpisodeStores, store: EpisodeStore
) -> None:
    store.put([episode("old")], {(TOPIC, 0): 1})
    made = stores.create(FOLD + 1)
    made.put([episode("new")], {(TOPIC, 0): 9})
    assert ids(store.read(CODER, T_MS, 10)) == ["old"]
    assert (store.positions(), store.version) == ({(TOPIC, 0): 1}, FOLD)
    stores.use(made)
    found = stores.current()
    assert found is not None
    assert ids(found.read(CODER, T_MS, 10)) == ["new"]
    assert (found.positions(), found.version) == ({(TOPIC, 0): 9}, FOLD + 1)


def test_who_has_the_store_before_is_told_and_neither_reads_nor_writes(
    stores: EpisodeStores, store: EpisodeStore
) -> None:
    store.put([episode("e")], {})
    stores.use(stores.create(FOLD))
    for act in (
        lambda: store.read(CODER, T_MS, 10),
        store.positions,
        store.kept_since_ms,
        lambda: store.put([episode("late")], {}),
        lambda: store.drop_expired(T_MS),
        store.clear,
    ):
        with pytest.raises(StoreReplaced):
            act()


def test_what_an_attempt_left_behind_is_gone_at_the_next(
    stores: EpisodeStores, store: EpisodeStore, tmp_path: Path
) -> None:
    store.put([episode("e")], {})
    stores.create(FOLD).put([episode("half")], {})
    made = stores.create(FOLD)
    assert list(made.scan()) == []
    stores.discard(made)
    assert ids(list(store.scan())) == ["e"]
    assert stores.current() is not None
    assert len([*tmp_path.glob("episodes*.sqlite")]) <= 1


def test_two_stores_are_equal_to_the_byte_or_the_episode_that_differs_is_named(
    stores: EpisodeStores, store: EpisodeStore
) -> None:
    known = [episode(f"e-{n:04}", CODER if n % 8 else JUDGE) for n in range(700)]
    store.put(known, {(TOPIC, 0): 700})
    made = stores.create(FOLD)
    made.put(known[:-1], {(TOPIC, 0): 700})
    with pytest.raises(Refused, match="episode e-0699 of coder as rebuilt differs"):
        require_equal(store, made)
    made.put(known[-1:], {})
    assert canonical_digest(made) == canonical_digest(store)
    assert require_equal(store, made) == 700
    made.put([], {(TOPIC, 0): 701})
    with pytest.raises(Refused, match="end at another offset"):
        require_equal(store, made)


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
    assert store.kept_since_ms() == (T_MS + 4_000_000) // HOUR_MS * HOUR_MS - 1_000
    assert ids(store.read(CODER, T_MS + 4_000_000, 10)) == ["b"]


def test_however_the_records_come_in_batches_the_same_is_kept_and_nothing_expired_comes_back(
    store: EpisodeStore, codec: Codec
) -> None:
    """Ids are used again after hours, so that it matters which of two was dropped before the other came."""
    records = [
        record(codec, memory(f"e-{n % 7}", ttl_seconds=600 * (1 + n % 5)), n, T_MS + 1_300_000 * n)
        for n in range(40)
    ]
    for one in records:  # as after a restart before each
        EpisodeProjection(store, codec, history_ms=HOUR_MS).apply([one], {(TOPIC, 0): one.offset + 1})
    at_once = EmbeddedEpisodes(None)
    EpisodeProjection(at_once, codec, history_ms=HOUR_MS).apply(records, {(TOPIC, 0): 40})
    assert canonical_digest(at_once) == canonical_digest(store)
    kept = list(store.scan())
    assert 0 < len(kept) < 12
    assert all(one.expires_ms > store.kept_since_ms() > T_MS for one in kept)
    at_once.close()


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


# Built anew, and swapped


class Log:
    """`octolog.episodes` as a reader of the log gives it, two partitions by arm."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self.records: list[LogRecord] = []

    def append(self, event: EpisodicMemory, at_ms: int) -> None:
        partition = int(event.arm_id == JUDGE)
        offset = sum(one.partition == partition for one in self.records)
        value = self._codec.encode(event)
        self.records.append(LogRecord(TOPIC, partition, offset, at_ms, event.arm_id.encode(), value))

    def ends(self, topics: Sequence[str]) -> Positions:
        assert list(topics) == [TOPIC]
        return {(TOPIC, n): sum(one.partition == n for one in self.records) for n in (0, 1)}

    def at_time(self, topics: Sequence[str], timestamp_ms: int) -> Positions:
        raise NotImplementedError

    def read(self, start: Positions, *, until: Positions | None = None) -> Iterator[list[LogRecord]]:
        assert until is not None
        for place, end in until.items():  # one partition after the other, as a rebuild may read them
            some = [one for one in self.records if (one.topic, one.partition) == place]
            some = some[start.get(place, 0) : end]
            for first in range(0, len(some), 7):
                yield some[first : first + 7]

    def close(self) -> None:
        """Nothing."""


@pytest.fixture
def log(codec: Codec) -> Log:
    """A day of episodes of two arms, most of them expired when it ends."""
    log = Log(codec)
    for n in range(40):
        for arm in (CODER, JUDGE):
            log.append(memory(f"{arm}-{n}", arm, ttl_seconds=3_600 * (1 + n % 30)), T_MS + 2_160_000 * n)
    return log


def catch_up_live(episodes: OpenEpisodes, log: Log) -> None:
    for first in range(0, len(log.records), 10):  # in the order of their times, as they came
        some = log.records[first : first + 10]
        episodes.apply(some, after(some))


def test_a_rebuild_is_found_equal_and_swapped_without_a_failing_read_and_brings_nothing_expired_back(
    stores: EpisodeStores, codec: Codec, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EpisodeProjection.__init__, "__kwdefaults__", {"history_ms": HOUR_MS})
    episodes = OpenEpisodes(stores, codec)
    catch_up_live(episodes, log)
    before, digest = episodes.store, canonical_digest(episodes.store)
    end_ms = log.records[-1].timestamp_ms
    expected = episodes.read_own(Denials(), CODER, CODER, end_ms, 1_000)
    answers: list[list[Episode]] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            answers.append(episodes.read_own(Denials(), CODER, CODER, end_ms, 1_000))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        told: list[tuple[int, int]] = []
        found = episodes.rebuild(log, lambda done, total: told.append((done, total)))
    finally:
        asked = len(answers)
        while len(answers) <= asked and asking.is_alive():
            pass
        over.set()
        asking.join()
    assert len(answers) > asked, "a read failed"
    assert all(answer == expected for answer in answers)
    assert told[-1] == (80, 80)
    assert found == {"records": 80, "episodes": sum(1 for _ in episodes.store.scan()), "verified": True}
    assert 0 < found["episodes"] < 80
    assert episodes.store is not before
    assert canonical_digest(episodes.store) == digest
    assert min(one.expires_ms for one in episodes.store.scan()) > end_ms - 2 * HOUR_MS
    late = memory("late")
    log.append(late, end_ms + 1)
    catch_up_live(episodes, log)
    assert episodes.read_own(Denials(), CODER, CODER, end_ms + 1, 1)[0].memory == late


def test_a_rebuild_that_differs_changes_nothing(stores: EpisodeStores, codec: Codec, log: Log) -> None:
    episodes = OpenEpisodes(stores, codec)
    catch_up_live(episodes, log)
    episodes.store.put([episode("nobody-said-so")], {})
    before, digest = episodes.store, canonical_digest(episodes.store)
    with pytest.raises(Refused, match="episode nobody-said-so of coder as rebuilt differs"):
        episodes.rebuild(log, lambda _done, _total: None)
    assert episodes.store is before
    assert canonical_digest(episodes.store) == digest


def test_another_version_of_the_fold_fills_anew_by_itself_while_the_old_store_answers(
    open_stores: OpenStores, codec: Codec, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = OpenEpisodes(open_stores(), codec)
    catch_up_live(first, log)
    end_ms = log.records[-1].timestamp_ms
    expected, digest = first.read_own(Denials(), CODER, CODER, end_ms, 99), canonical_digest(first.store)
    first.close()
    monkeypatch.setattr(EpisodeProjection, "version", FOLD + 1)
    later = OpenEpisodes(open_stores(), codec)
    assert later.stale == f"its version is {FOLD}, now {FOLD + 1}"
    later.begin()
    assert later.positions() == {}
    ends = log.ends([TOPIC])
    while later.positions() != ends:
        assert later.store.version == FOLD
        assert later.read_own(Denials(), CODER, CODER, end_ms, 99) == expected
        done = sum(later.positions().values())
        later.apply(log.records[done : done + 20], after(log.records[done : done + 20]))
    later.take_over()
    assert (later.stale, later.store.version) == ("", FOLD + 1)
    assert later.read_own(Denials(), CODER, CODER, end_ms, 99) == expected
    assert canonical_digest(later.store) == digest
    assert later.rebuild(log, lambda _done, _total: None)["verified"]
    later.close()
    again = OpenEpisodes(open_stores(), codec)
    assert (again.stale, again.positions()) == ("", ends)
    again.close()


def test_a_rebuild_on_a_redis_that_another_process_has_too_is_noticed_by_it(
    redis_url: str, codec: Codec, log: Log
) -> None:
    from projections.episodes.server import RedisGenerations, connect

    prefix = f"octolog-test:{uuid4().hex}"
    one, other = (OpenEpisodes(RedisGenerations(connect(redis_url), prefix), codec) for _ in range(2))
    catch_up_live(one, log)
    end_ms = log.records[-1].timestamp_ms
    expected = other.read_own(Denials(), JUDGE, JUDGE, end_ms, 99)
    assert one.rebuild(log, lambda _done, _total: None)["verified"]
    assert other.read_own(Denials(), JUDGE, JUDGE, end_ms, 99) == expected
    assert two_generations_are_never_left(redis_url, prefix)
    one.rebuild(log, lambda _done, _total: None)
    log.append(memory("late"), end_ms)
    with pytest.raises(StoreReplaced):
        catch_up_live(other, log)
    other.reopen()
    catch_up_live(other, log)
    assert other.positions() == log.ends([TOPIC])
    one.close()
    other.close()


def two_generations_are_never_left(redis_url: str, prefix: str) -> bool:
    from projections.episodes.server import connect

    client = connect(redis_url)
    return set(client.smembers(f"{prefix}:generations")) == {client.get(f"{prefix}:current")}


def test_a_redis_that_is_away_is_named_in_one_line() -> None:
    from projections.episodes.server import connect

    with pytest.raises(StoreUnavailable, match=r"^Redis: "):
        connect("redis://127.0.0.1:9/0")


def test_what_was_stored_before_there_were_versions_is_of_the_first(redis_url: str, tmp_path: Path) -> None:
    from projections.episodes.server import RedisGenerations, connect

    with closing(sqlite3.connect(tmp_path / "episodes.sqlite")) as file:
        file.execute("CREATE TABLE episodes (arm_id TEXT, episode_id TEXT, expires_ms INTEGER)")
    client, prefix = connect(redis_url), f"octolog-test:{uuid4().hex}"
    client.hset(f"{prefix}:positions", '["octolog.episodes",0]', 4)
    client.sadd(f"{prefix}:arms", CODER)
    client.hset(f"{prefix}:of:{CODER}", "e", "{}")
    for stores in (EpisodeFiles(tmp_path), RedisGenerations(client, prefix)):
        found = stores.current()
        assert found is not None
        assert found.version == 1
        stores.use(stores.create(FOLD))
        stores.close()
    left = [key for key in connect(redis_url).scan_iter(f"{prefix}:*") if ":in:" not in key]
    assert sorted(left) == [f"{prefix}:current", f"{prefix}:generations"]
