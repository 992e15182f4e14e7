"""The memory process on a real broker: from the client into the log, into both stores, and out over HTTP.

One module, because one process, started once, is what all of it asks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from octolog.app.connection import Connection
from octolog.app.knowledge.states import told
from octolog.app.memory.collections import Reembedding
from octolog.app.memory.remote import RemoteMemories
from octolog.app.memory.service import MemoryService
from octolog.app.processes import NODE_VARIABLE, StateFile
from octolog.app.settings import Settings
from octolog.cli.application import build
from octolog.client import Client
from octolog.domain.errors import InvalidContract, NotFound, Refused
from octolog.domain.ids import ArmId, TaskId
from octolog.domain.memory import EmbeddingModelFixed, EpisodeReadDenied, EpisodicMemory
from octolog.domain.upkeep import DeadLetter
from octolog.ports import LogRecord
from projections.episodes.sink import EpisodeProjection
from projections.episodes.store import EpisodeDenied
from projections.episodes.store import canonical_digest as episodes_digest
from projections.memory.conditions import AsOf, Where
from projections.memory.queries import canonical_digest
from projections.memory.sink import MemoryProjection
from streams.topics import DEAD_LETTERS
from tests.conftest import KafkaUnderTest
from tests.unit.memory.conftest import remembered

pytestmark = pytest.mark.integration

WAIT_S = 90.0
MEMORY, EPISODES = "octolog.memory", "octolog.episodes"


@dataclass
class Running:
    """A memory process, in this one."""

    service: MemoryService
    remote: RemoteMemories
    connection: Connection
    failed: list[Exception]
    url: str

    def wait_for(self, topic: str, partition: int, offset: int) -> None:
        def reached() -> bool:
            assert not self.failed, self.failed
            return int(self.remote.positions()["positions"].get(f"{topic}/{partition}", 0)) > offset

        until(reached)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, "not within the time"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def settings(kafka: KafkaUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home = tmp_path_factory.mktemp("home")
    settings = Settings(home=home, bootstrap_servers=kafka.bootstrap_servers, embedding_model="hashing")
    with Connection(settings) as connection:
        connection.admin().wait()
        connection.ensure_topics()
    return settings


@contextmanager
def running(settings: Settings) -> Iterator[Running]:
    with waiting(settings) as (node, begin):
        begin()
        yield node


@contextmanager
def waiting(settings: Settings) -> Iterator[tuple[Running, Callable[[], None]]]:
    """It answers, and follows the log once it is told to."""
    stop, failed = threading.Event(), []
    with Connection(settings) as connection:
        service = MemoryService(settings, connection, "memory")

        def follow() -> None:
            try:
                service.follow(stop.is_set)
            except Exception as error:  # noqa: BLE001 -- told by the test that runs into it
                failed.append(error)

        thread = threading.Thread(target=follow)
        url = service.start()
        remote = RemoteMemories(url)
        try:
            yield Running(service, remote, connection, failed, url), thread.start
        finally:
            stop.set()
            if thread.is_alive():
                thread.join(WAIT_S)
            service.close()
    assert failed == []


@pytest.fixture(scope="module")
def node(settings: Settings) -> Iterator[Running]:
    with running(settings) as found:
        yield found


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[Client]:
    with Client(settings) as client:
        yield client


def remember(client: Client, content: str, **more: Any) -> Any:
    known = {"entity_type": "fact", "source": "judge", "task_id": "t/a", "confidence": 0.8, "validated": True}
    return client.remember(content, **{**known, **more})


def append(node: Running, topic: str, key: str, value: bytes) -> LogRecord:
    heard: list[LogRecord | Exception] = []
    publisher = node.connection.publisher()
    publisher.publish(topic, key, value, done=heard.append)
    publisher.flush(WAIT_S)
    (place,) = heard
    assert isinstance(place, LogRecord), place
    return place


def records(node: Running, topic: str) -> list[tuple[LogRecord, Any]]:
    reader, codec = node.connection.reader(), node.connection.codec()
    ends = reader.ends([topic])
    batches = reader.read(dict.fromkeys(ends, 0), until=ends)
    found = []
    for record in (one for batch in batches for one in batch):
        try:
            found.append((record, codec.decode(record.value)))
        except Exception:  # noqa: BLE001 -- rubbish is among them on purpose
            continue
    return found


def test_what_is_remembered_is_found_and_ends_when_it_is_forgotten(node: Running, client: Client) -> None:
    word = f"zebra{uuid4().hex[:8]}"
    done = remember(client, f"the {word} crosses", tags=(word,), metadata={"seen": 1})
    node.wait_for(MEMORY, done.sent.partition, done.sent.offset)
    (hit,) = node.remote.search(word, 5, Where(tags=(word,)))
    assert (hit["memory_id"], hit["partition"], hit["recorded_at"]) == (
        done.memory_id,
        done.sent.partition,
        done.sent.offset,
    )
    gone = client.forget_memory(done.memory_id, reason="test")
    assert gone.partition == done.sent.partition
    node.wait_for(MEMORY, gone.partition, gone.offset)
    assert node.remote.search(word, 5, Where(tags=(word,))) == []
    then = Where(tags=(word,), as_of=AsOf(positions={done.sent.partition: done.sent.offset}))
    assert [hit["memory_id"] for hit in node.remote.search(word, 5, then)] == [done.memory_id]
    then = Where(tags=(word,), as_of=AsOf(time_ms=done.sent.timestamp_ms))
    assert [hit["memory_id"] for hit in node.remote.search(word, 5, then)] == [done.memory_id]
    assert node.remote.show(done.memory_id)[0]["forgotten_at"] == gone.offset


def test_29_remembering_the_same_twice_is_one_point(node: Running, client: Client) -> None:
    word = f"yak{uuid4().hex[:8]}"
    first, second = remember(client, word, tags=(word,)), remember(client, word, tags=(word,))
    assert first.memory_id == second.memory_id
    node.wait_for(MEMORY, second.sent.partition, second.sent.offset)
    assert len(node.remote.show(first.memory_id)) == 1
    assert node.remote.show(first.memory_id)[0]["recorded_at"] == first.sent.offset


def test_29_what_failed_validation_or_is_too_sure_never_reaches_the_log(
    node: Running, client: Client
) -> None:
    before = node.connection.reader().ends([MEMORY])
    with pytest.raises(Refused):
        remember(client, "x", validated=False)
    with pytest.raises(InvalidContract, match="confidence"):
        remember(client, "x", confidence=1.2)
    assert node.connection.reader().ends([MEMORY]) == before


def test_29_a_confidence_of_1_2_in_the_log_is_a_dead_letter_and_not_found(node: Running) -> None:
    word = f"lynx{uuid4().hex[:8]}"
    value = node.connection.codec().encode(remembered(word, word, confidence=1.2, tags=(word,)))
    place = append(node, MEMORY, word, value)
    node.wait_for(MEMORY, place.partition, place.offset)
    assert node.remote.search(word, 5, Where(tags=(word,))) == []

    def letter() -> bool:
        return any(
            isinstance(one, DeadLetter)
            and (one.source_topic, one.source_partition, one.source_offset)
            == (MEMORY, place.partition, place.offset)
            and (one.consumer, one.value) == ("memory", value)
            and "1.2 is not within" in one.reason
            for _, one in records(node, DEAD_LETTERS)
        )

    until(letter)


def test_the_collections_model_is_in_the_log(node: Running) -> None:
    fixed = [event for _, event in records(node, MEMORY) if isinstance(event, EmbeddingModelFixed)]
    assert EmbeddingModelFixed("octolog-memory", "hashing", 384) in fixed


def test_28_30_an_arm_reads_its_own_episodes_by_the_logs_clock_and_nobody_elses(node: Running) -> None:
    arm, other = f"arm{uuid4().hex[:8]}", f"arm{uuid4().hex[:8]}"
    episode = EpisodicMemory("e-1", ArmId(arm), TaskId("t"), ("saw",), ("did",), ("was",), 3_600)
    place = append(node, EPISODES, arm, node.connection.codec().encode(episode))
    node.wait_for(EPISODES, place.partition, place.offset)
    (record,) = [one for one, event in records(node, EPISODES) if event == episode]
    at_ms = record.timestamp_ms
    (found,) = node.remote.episodes(arm, asked_by=arm, as_of_ms=at_ms + 3_599_000)
    assert (found["memory"]["episode_id"], found["offset"]) == ("e-1", place.offset)
    assert node.remote.episodes(arm, asked_by=arm, as_of_ms=at_ms + 3_601_000) == []
    assert len(node.remote.episodes(arm, asked_by=arm)) == 1
    with pytest.raises(EpisodeDenied):
        node.remote.episodes(arm, asked_by=other, as_of_ms=at_ms)
    denials = [event for _, event in records(node, EPISODES) if isinstance(event, EpisodeReadDenied)]
    assert EpisodeReadDenied(ArmId(arm), other, at_ms) in denials


def test_a_question_that_is_none_is_refused(node: Running) -> None:
    with pytest.raises(NotFound, match="no memory nobody"):
        node.remote.show("nobody")
    with pytest.raises(Refused, match="a search needs a text"):
        node.remote.search(" ", 5, Where())
    with pytest.raises(Refused, match="top-k is 0"):
        node.remote.search("x", 0, Where())


def test_a_restart_resumes_exactly_and_a_new_store_holds_the_same(
    kafka: KafkaUnderTest, client: Client, node: Running, tmp_path: Path
) -> None:
    word = f"otter{uuid4().hex[:8]}"
    fresh = Settings(home=tmp_path, bootstrap_servers=kafka.bootstrap_servers, embedding_model="hashing")
    first = remember(client, f"{word} one", tags=(word,))
    with running(fresh) as one:
        one.wait_for(MEMORY, first.sent.partition, first.sent.offset)
    second = remember(client, f"{word} two", tags=(word,))
    with running(fresh) as again:
        again.wait_for(MEMORY, second.sent.partition, second.sent.offset)
        node.wait_for(MEMORY, second.sent.partition, second.sent.offset)
        both = Where(tags=(word,))
        assert again.remote.search(word, 5, both) == node.remote.search(word, 5, both)
        assert len(again.remote.search(word, 5, both)) == 2
        # All that was read before the restart was read once.
        ends = node.connection.reader().ends([MEMORY])
        assert again.service.progress.records < sum(ends.values())


def test_a_node_embeds_anew_and_says_so_in_the_log(
    kafka: KafkaUnderTest, client: Client, tmp_path: Path
) -> None:
    fresh = Settings(home=tmp_path, bootstrap_servers=kafka.bootstrap_servers, embedding_model="hashing")
    word = f"heron{uuid4().hex[:8]}"
    done = remember(client, f"a {word} in the reeds", tags=(word,))
    with running(fresh) as node:
        node.wait_for(MEMORY, done.sent.partition, done.sent.offset)
        found = node.remote.reembed(Reembedding("packaged", sample=5), lambda _done, _total: None)
        assert (found["model"], found["replaces"], found["dimension"]) == ("packaged", "hashing", 384)
        (hit,) = node.remote.search("a bird standing in the water", 5, Where(tags=(word,)))
        assert hit["memory_id"] == done.memory_id
        late = remember(client, f"a {word} flies", tags=(word,))
        node.wait_for(MEMORY, late.sent.partition, late.sent.offset)
        assert len(node.remote.search(word, 5, Where(tags=(word,)))) == 2
        with pytest.raises(Refused, match="vectors of packaged already"):
            node.remote.reembed(Reembedding("packaged"), lambda _done, _total: None)
        until(
            lambda: any(
                isinstance(event, EmbeddingModelFixed) and event.replaces == "hashing"
                for _, event in records(node, MEMORY)
            )
        )


def test_a_rebuild_takes_over_without_a_failing_search_and_never_where_it_differs(
    kafka: KafkaUnderTest, client: Client, tmp_path: Path
) -> None:
    fresh = Settings(home=tmp_path, bootstrap_servers=kafka.bootstrap_servers, embedding_model="hashing")
    word = f"stork{uuid4().hex[:8]}"
    first = remember(client, f"a {word} nests", tags=(word,))
    done = remember(client, f"a {word} gone", tags=(word,))
    gone = client.forget_memory(done.memory_id, reason="test")
    late = remember(client, f"a {word} lands", tags=(word,))
    with running(fresh) as node:
        for place in (first.sent, gone, late.sent):
            node.wait_for(MEMORY, place.partition, place.offset)
        before, digest = node.service.memory.store, canonical_digest(node.service.memory.store)
        answers: list[list[str]] = []
        over = threading.Event()

        def search() -> None:
            remote = RemoteMemories(node.url)
            while not over.is_set():
                answers.append([hit["memory_id"] for hit in remote.search(word, 5, Where(tags=(word,)))])

        asking = threading.Thread(target=search)
        asking.start()
        try:
            until(lambda: bool(answers) or not asking.is_alive())
            found = node.remote.rebuild(lambda _done, _total: None)
        finally:
            asked = len(answers)
            until(lambda: len(answers) > asked or not asking.is_alive())
            over.set()
            asking.join(WAIT_S)
        assert len(answers) > asked, "a search failed"
        # Two that score alike may stand either way round.
        assert {tuple(sorted(answer)) for answer in answers} == {
            tuple(sorted([first.memory_id, late.memory_id]))
        }
        assert found["verified"]
        rebuilt = node.service.memory.store
        assert rebuilt is not before
        assert canonical_digest(rebuilt) == digest
        assert found["memories"] == rebuilt.count()
        # What no record says is in use: the rebuild finds it, names it, and leaves it.
        (point, *_) = rebuilt.versions(late.memory_id)
        rebuilt.update([replace(point, reason="nobody said so")])
        with pytest.raises(Refused, match=f"memory {late.memory_id} as rebuilt differs"):
            node.remote.rebuild(lambda _done, _total: None)
        assert node.service.memory.store is rebuilt
        rebuilt.update([point])
    arguments = ["projections", "rebuild", "memory", "--json", "--home", str(tmp_path)]
    environment = {"OCTOLOG_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "OCTOLOG_EMBEDDING_MODEL": "hashing"}
    result = CliRunner().invoke(build(), arguments, env=environment)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["verified"]
    assert len([*(tmp_path / "memory").glob("collection-*")]) == 1


def test_episodes_are_rebuilt_in_the_node_and_without_one_and_the_list_says_how_they_are(
    kafka: KafkaUnderTest, tmp_path: Path
) -> None:
    fresh = Settings(home=tmp_path, bootstrap_servers=kafka.bootstrap_servers, embedding_model="hashing")
    arm = f"arm{uuid4().hex[:8]}"
    with running(fresh) as node:
        lived = [EpisodicMemory(f"e-{n}", ArmId(arm), TaskId("t"), ("saw",), (), (), 3_600) for n in range(3)]
        *_, place = [append(node, EPISODES, arm, node.connection.codec().encode(one)) for one in lived]
        node.wait_for(EPISODES, place.partition, place.offset)
        before = node.service.episodes.store
        digest, expected = episodes_digest(before), node.remote.episodes(arm, asked_by=arm)
        found = node.remote.rebuild(lambda _done, _total: None, "episodes")
        assert found["verified"]
        assert node.service.episodes.store is not before
        assert node.remote.positions()["job"]["projection"] == "episodes"
        assert episodes_digest(node.service.episodes.store) == digest
        assert node.remote.episodes(arm, asked_by=arm) == expected
        assert len(expected) == 3
    environment = {"OCTOLOG_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "OCTOLOG_EMBEDDING_MODEL": "hashing"}

    def octolog(*arguments: str) -> Any:
        command = ["projections", *arguments, "--json", "--home", str(tmp_path)]
        result = CliRunner().invoke(build(), command, env=environment)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    document = octolog("rebuild", "episodes")
    assert (document["projection"], document["verified"]) == ("episodes", True)
    assert [path.name for path in (tmp_path / "episodes").glob("*.sqlite")] == ["episodes-3.sqlite"]
    # Somebody died over it, and this process got the number; it was born after the file was written.
    StateFile(fresh.run_dir / "rebuild-memory.json").write(done=0, total=7, written_s=0.0)
    with told(fresh, "episodes", lambda _done, _total: None) as tell:
        tell(0, 7)
        listed = {one["name"]: one for one in octolog("list")["projections"]}
    assert list(listed) == ["analytics", "memory", "episodes"]
    assert listed["analytics"]["filled_by"] is None
    assert listed["analytics"]["lag"] == sum(one["end_offset"] for one in listed["analytics"]["positions"])
    state = listed["episodes"]
    assert (state["version"], state["filled_by"], state["stale"]) == (2, 2, "")
    assert (state["rebuild"]["why"], state["rebuild"]["done"]) == ("asked for", 0)
    assert listed["memory"]["rebuild"] is None
    assert all(one["next_offset"] <= one["end_offset"] for one in state["positions"])
    assert state["lag"] == sum(one["lag"] for one in state["positions"])


def test_another_version_of_the_fold_fills_memory_and_episodes_anew_by_itself_while_the_old_ones_answer(
    kafka: KafkaUnderTest, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = Settings(home=tmp_path, bootstrap_servers=kafka.bootstrap_servers, embedding_model="hashing")
    word = f"egret{uuid4().hex[:8]}"
    done = remember(client, f"a {word} fishes", tags=(word,))
    gone = client.forget_memory(remember(client, f"a {word} gone", tags=(word,)).memory_id, reason="test")
    with running(fresh) as node:
        for place in (done.sent, gone):
            node.wait_for(MEMORY, place.partition, place.offset)
    monkeypatch.setattr(MemoryProjection, "version", MemoryProjection.version + 1)
    monkeypatch.setattr(EpisodeProjection, "version", EpisodeProjection.version + 1)
    answers: list[list[str]] = []
    over = threading.Event()

    def search(url: str) -> None:
        remote = RemoteMemories(url)
        while not over.is_set():
            answers.append([hit["memory_id"] for hit in remote.search(word, 5, Where(tags=(word,)))])

    with waiting(fresh) as (node, begin):
        assert {name: one["stale"] for name, one in node.remote.positions()["made"].items()} == {
            "memory": "its version is 1, now 2",
            "episodes": "its version is 2, now 3",
        }
        asking = threading.Thread(target=search, args=(node.url,))
        asking.start()
        until(lambda: bool(answers) or not asking.is_alive())
        before = node.service.memory.store
        begin()
        until(
            lambda: (not node.service.memory.stale and not node.service.episodes.stale) or bool(node.failed)
        )
        asked = len(answers)
        until(lambda: len(answers) > asked or not asking.is_alive())
        over.set()
        asking.join(WAIT_S)
        assert len(answers) > asked, "a search failed"
        assert all(answer == [done.memory_id] for answer in answers)
        rebuilt = node.service.memory.store
        assert rebuilt is not before
        assert (rebuilt.version, node.service.episodes.store.version) == (2, 3)
        assert node.remote.rebuild(lambda _done, _total: None)["verified"]
        assert node.remote.rebuild(lambda _done, _total: None, "episodes")["verified"]


def test_the_nodes_memory_process_answers_the_command_line_and_stops_when_told(
    kafka: KafkaUnderTest, client: Client, tmp_path: Path
) -> None:
    fresh = Settings(home=tmp_path, bootstrap_servers=kafka.bootstrap_servers, embedding_model="hashing")
    word = f"crane{uuid4().hex[:8]}"
    done = remember(client, f"a {word} dances", tags=(word,))
    environment = {**os.environ, NODE_VARIABLE: fresh.frozen_json()}
    with (tmp_path / "log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "octolog.app.worker", "memory", "memory"],
            env=environment,
            stdout=log,
            stderr=log,
        )
    # The command line believes in a node whose supervisor lives; here that is this test.
    StateFile(fresh.run_dir / "node.json").write(state="ready", bootstrap_servers=kafka.bootstrap_servers)
    said = StateFile(fresh.run_dir / "memory.json")
    try:
        until(lambda: (said.read() or {}).get("state") == "ready")
        remote = RemoteMemories((said.read() or {})["url"])
        place = f"{MEMORY}/{done.sent.partition}"
        until(lambda: int(remote.positions()["positions"].get(place, 0)) > done.sent.offset)
        arguments = ["memory", "search", word, "--filter", f"tag={word}", "--json", "--home", str(tmp_path)]
        result = CliRunner().invoke(build(), arguments)
        assert result.exit_code == 0, result.output
        assert [hit["memory_id"] for hit in json.loads(result.stdout)["hits"]] == [done.memory_id]
    finally:
        worker.terminate()
        code = worker.wait(WAIT_S)
    assert code == 0, (tmp_path / "log").read_text()
    assert (said.read() or {})["state"] == "stopped"
