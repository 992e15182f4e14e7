"""A log that a real broker and a real worker wrote is decided again and found right, and whole.

One module, because that log, and the broker's files of it, are made once for all that look at them.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import yaml
from confluent_kafka import Producer
from typer.testing import CliRunner

from deploy.kafka import EmbeddedKafka
from octolog.app.audit.export import export_bundle
from octolog.cli.application import build
from octolog.domain.arm import ArmRegistered
from octolog.domain.assignment import AttemptAssignment
from octolog.domain.audit import Checkpoint
from octolog.domain.facts import AttemptEnded
from octolog.domain.ids import TaskId
from octolog.domain.memory import EntityType, MemoryProposal, MemoryRecorded
from octolog.domain.proof.merkle import Peaks
from octolog.domain.task.state import TreeStatus
from octolog.domain.values import Limits, RetryPolicy
from octolog.ports import Positions
from octolog.testing import call_intended, call_used, capability, failure, started, step, submit, success
from octolog.verifier.verify import summary, verify_bundle
from schemas import catalog
from schemas.codec import Codec
from schemas.fact_bytes import FactSchemas
from schemas.registry import TopicSchemaIds
from streams.kafka.admin import KafkaAdmin, TopicSpec
from streams.kafka.batches import BATCH_BYTES, sealed
from streams.kafka.config import KafkaConfig
from streams.kafka.disk import check_files, written
from streams.kafka.positions import committed
from streams.kafka.publisher import KafkaPublisher
from streams.kafka.reader import KafkaLogReader
from streams.kafka.schema_topic import KafkaSchemaTopic
from streams.kafka.segments import BrokenLog, FolderLogReader, FolderSource
from streams.notary.keys import KeyRing
from streams.notary.notary import Notary
from streams.partitioner import partition_for
from streams.replay import KafkaSource, TreeView, rebuild, state_at, verify, verify_hashes
from streams.replay.hashes import HashCheck, HashReport
from streams.runner import GROUP, TaskWorker, WorkerSettings
from streams.topics import ARMS, ASSIGNMENTS, CONTRACTS, INPUTS, MEMORY, RESOURCES, RESULTS, TASKS
from tests.replay.disk import EDITS, DiskEdit, Segment

pytestmark = pytest.mark.integration

WINDOW, LEASE_MS = 8, 4_000
TREES = 16
DISK_EDITS = int(os.environ.get("OCTOLOG_TEST_EDITS", "1000"))
TOPICS_FILE = Path(__file__).resolve().parents[2] / "deploy" / "topics.yaml"
_PATIENCE_S = 60
_PROPOSAL = MemoryProposal(EntityType.FACT, "what was learned", 0.9, ("kafka",))
_CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


@dataclass
class Node:
    """A broker of its own, with what runs on it: other tests' topics would be part of the log."""

    config: KafkaConfig
    codec: Codec
    publisher: KafkaPublisher
    state: Path
    data: Path
    stop: Callable[[], object]

    def worker(self) -> TaskWorker:
        settings = WorkerSettings("0", self.state, window=WINDOW, lease_ms=LEASE_MS, snapshot_facts=50)
        return TaskWorker(self.config, self.codec, settings, lambda _: None)

    def say(self, topic: str, record: Any, key: str | None = None) -> None:
        self.publisher.publish(topic, key or record.root_task_id, self.codec.encode(record))


@pytest.fixture(scope="module")
def node(kafka_jars: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    broker = EmbeddedKafka(tmp_path_factory.mktemp("kafka"), die_with_parent=True)
    config = KafkaConfig(broker.start(timeout_s=120).bootstrap_servers)
    try:
        KafkaAdmin(config).create(_topics())
        ids = TopicSchemaIds(KafkaSchemaTopic(config))
        ids.register_all({name: catalog.schema_json(name) for name in catalog.TOP_LEVEL})
        with closing(KafkaPublisher(config)) as publisher:
            state = tmp_path_factory.mktemp("state")
            node = Node(config, Codec(ids), publisher, state, broker.data_dir, broker.stop)
            _take_back(node)
            _work(node)
            yield node
    finally:
        broker.stop()


def _topics() -> list[TopicSpec]:
    text = yaml.safe_load(TOPICS_FILE.read_text(encoding="utf-8"))
    specs = [
        TopicSpec(
            name,
            4 if topic["partitions"] == "trees" else topic["partitions"],
            config={**text["defaults"]["config"], **topic.get("config", {})},
        )
        for name, topic in text["topics"].items()
    ]
    return [*specs, TopicSpec(f"{ASSIGNMENTS}arm-a", 4), TopicSpec(f"{ASSIGNMENTS}arm-b", 4)]


def _take_back(node: Node) -> None:
    """Transactions of another hand that are aborted: nothing of them counts."""
    for codec in _CODECS:
        producer = Producer(
            {
                "bootstrap.servers": node.config.bootstrap_servers,
                "transactional.id": f"another-{codec}",
                "compression.type": codec,
            }
        )
        producer.init_transactions(_PATIENCE_S)
        producer.begin_transaction()
        for number in range(4):
            for topic in (TASKS, RESULTS):
                producer.produce(topic, b"never " * 50, key=b"task-0", partition=number)
        producer.flush(_PATIENCE_S)
        producer.abort_transaction(_PATIENCE_S)


def _say_again(node: Node, requests: list[tuple[str, bytes]]) -> None:
    """The same requests, compressed in every way that Kafka knows."""
    for codec in _CODECS:
        producer = Producer({"bootstrap.servers": node.config.bootstrap_servers, "compression.type": codec})
        for key, value in requests:
            number = partition_for(key, 4)
            producer.produce(CONTRACTS, value, key=key, partition=number)
        assert producer.flush(_PATIENCE_S) == 0


class Arms:
    """Two arms that succeed, fail, fall silent and run too long, by the number of the tree."""

    def __init__(self, node: Node) -> None:
        self._node, self._next = node, dict[tuple[str, int], int]()
        self._topics = [f"{ASSIGNMENTS}arm-a", f"{ASSIGNMENTS}arm-b"]
        self._reader = KafkaLogReader(node.config)

    def answer(self) -> None:
        ends: Positions = self._reader.ends(self._topics)
        start = {place: self._next.get(place, 0) for place in ends}
        if start == ends:
            return
        for batch in self._reader.read(start, until=ends):
            for record in batch:
                told = self._node.codec.decode(record.value)
                if isinstance(told, AttemptAssignment):
                    self._one(told)
        self._next = ends

    def _one(self, told: AttemptAssignment) -> None:
        mood = int(told.root_task_id.removeprefix("task-")) % 8 if told.number == 1 else 7
        if mood == 0:
            return  # silent: the lease runs out
        if mood in (1, 2):
            self._node.say(RESULTS, started(told))
        if mood == 1:
            return  # starts and runs too long
        self._node.say(RESOURCES, call_intended(told, 1, tokens=50, calls=1))
        self._node.say(RESOURCES, call_used(told, 1, tokens=20, calls=1, cost_micros=7))
        if mood == 3:
            self._node.say(RESULTS, failure(told, "overloaded", retryable=True))
            return
        for _ in range(1 + (mood == 4)):  # one arm says it twice
            self._node.say(RESULTS, success(told, tokens_used=20, memories=(_PROPOSAL,)))

    def close(self) -> None:
        self._reader.close()


def _work(node: Node) -> None:
    """Sixteen trees, with a restart of the worker between them."""
    for name in ("arm-a", "arm-b"):
        node.say(ARMS, ArmRegistered(capability(name), "tester"), key=name)
    retry = RetryPolicy(max_attempts=4, base_ms=50, cap_ms=100)
    node.publisher.publish(CONTRACTS, "task-0", b"no record")
    requests: list[tuple[str, bytes]] = []
    for number in range(TREES):
        steps = (step("one", timeout_ms=600), step("two", "one")) if number % 2 else ()
        request = submit(
            f"task-{number}",
            steps=steps,
            retry=retry,
            budget=Limits(max_tokens=10_000),
            constraints_json='{"remember":true}',
        )
        node.say(CONTRACTS, request)
        requests.append((request.root_task_id, node.codec.encode(request)))
    node.publisher.flush(10)
    _say_again(node, requests)
    with closing(Arms(node)) as arms:
        worker = node.worker()
        try:
            _until(worker, arms, lambda facts: facts > 40)
        finally:
            worker.close()
        worker = node.worker()
        try:
            _until(worker, arms, lambda _: bool(worker.owned) and not _open(worker))
        finally:
            worker.close()


def _open(worker: TaskWorker) -> int:
    return sum(len(p.processor.shard.trees) for p in worker._partitions.values())


def _until(worker: TaskWorker, arms: Arms, done: Callable[[int], bool]) -> None:
    end_s = monotonic() + _PATIENCE_S
    quiet_rounds = 0
    while quiet_rounds < 20:
        assert monotonic() < end_s, f"{_open(worker)} trees still open after {_PATIENCE_S} s"
        busy = worker.step()
        arms.answer()
        quiet_rounds = 0 if busy or not done(worker.facts) else quiet_rounds + 1


def _source(node: Node) -> KafkaSource:
    return KafkaSource(node.config)


def test_what_a_broker_and_a_worker_wrote_is_found_right_and_whole(node: Node) -> None:
    positions = committed(node.config, GROUP, INPUTS)
    told: list[tuple[int, int]] = []
    report = verify(
        _source(node),
        committed=positions,
        progress=lambda done, all_: told.append((done, all_)),
    )
    assert report.ok, report.to_json()
    found = report.to_json()
    assert found["trees"] == TREES
    assert found["open_trees"] == 0
    assert found["dead_letters"] == 1
    assert found["memories"] == TREES * 3 // 2  # a task without steps proposes one, each of two steps does
    assert found["direct_memories"] == 0
    assert found["inputs_checked"] > found["causes"] >= TREES
    assert told[-1][0] == report.facts


def _views(node: Node) -> list[TreeView]:
    with closing(KafkaLogReader(node.config)) as reader:
        return [state_at(reader, node.codec, TaskId(f"task-{number}")) for number in range(TREES)]


def test_the_run_held_retries_timeouts_and_lost_attempts(node: Node) -> None:
    views = _views(node)
    ended = [
        f.recorded.fact for view in views for f in view.facts if isinstance(f.recorded.fact, AttemptEnded)
    ]
    outcomes = Counter(fact.outcome.value for fact in ended)
    assert {"SUCCESS", "FAILURE", "LOST", "TIMED_OUT"} <= set(outcomes), outcomes
    assert all(view.tree.status is TreeStatus.COMPLETED for view in views)


def test_several_processes_find_the_same(node: Node) -> None:
    positions = committed(node.config, GROUP, INPUTS)
    one = verify(_source(node), committed=positions)
    two = verify(_source(node), committed=positions, processes=2)
    assert two.partitions == one.partitions


def test_folding_comes_to_the_state_that_deciding_again_does(node: Node) -> None:
    folded = rebuild(_source(node), processes=2)
    report = verify(_source(node))
    assert [p.digest for p in folded.partitions] == [p.state_digest for p in report.partitions]
    assert folded.to_json()["trees"] == {"COMPLETED": TREES}


def test_hashes_alone_are_right_in_one_process_and_in_several(node: Node) -> None:
    one, two = (verify_hashes(_source(node), processes=count) for count in (1, 2))
    assert one.ok
    assert one.facts == verify(_source(node)).facts > 0
    assert two.partitions == one.partitions


def test_a_notary_signs_the_log_and_bundles_of_it_verify_offline(node: Node, tmp_path: Path) -> None:
    source, keys = _source(node), KeyRing(tmp_path / "keys")
    facts, deadline_s = verify_hashes(source).facts, monotonic() + _PATIENCE_S
    notary = Notary(source, node.publisher, keys, interval_s=0)
    notary.run(lambda: notary.taken >= facts or monotonic() > deadline_s)
    assert notary.fault is None
    report = verify_hashes(source, processes=2)
    assert report.ok, report.to_json()
    assert sum(p.covered for p in report.partitions) == report.facts == facts
    for task in (None, TaskId("task-3")):
        exported = export_bundle(source, tmp_path / "bundle.zip", task=task, keys=keys)
        found = verify_bundle(tmp_path / "bundle.zip", frozenset({keys.current(0)}))
        assert found.ok, summary(found)
        assert found.facts == found.covered == exported.facts
    again = Notary(source, node.publisher, keys, interval_s=0)
    again.run(lambda: True)
    assert again.checkpoints == 0, "it goes on where it stopped"
    assert verify(source).ok


# On the broker's disk


def test_the_brokers_files_alone_are_found_right_and_whole(node: Node) -> None:
    report = verify(FolderSource(node.data), committed=committed(node.config, GROUP, INPUTS))
    assert report.ok, report.to_json()
    with closing(KafkaLogReader(node.config)) as reader:
        ends = reader.ends([TASKS])
        theirs = [one for batch in reader.read(dict.fromkeys(ends, 0), until=ends) for one in batch]
    mine = [
        one for batch in FolderLogReader(node.data).read(dict.fromkeys(ends, 0), until=ends) for one in batch
    ]
    assert sorted(mine) == sorted(theirs)
    assert report.facts == len(theirs)


def test_every_random_edit_of_the_brokers_files_is_found_at_its_place(node: Node, tmp_path: Path) -> None:
    """Bits, whole batches, ends, offsets; with the old checksum and with one that fits."""
    found = _edit_the_disk(node, tmp_path, DISK_EDITS)
    assert sum(found.values()) == DISK_EDITS
    assert set(found) == {edit.__name__ for edit in EDITS}


def _edit_the_disk(node: Node, folder: Path, count: int) -> Counter[str]:
    numbers = [
        number
        for number in range(4)
        if any(path.stat().st_size for path in (node.data / f"{TASKS}-{number}").glob("*.log"))
    ]
    segments = {number: _segment(node, number) for number in numbers}
    schemas, chance, found = FactSchemas(node.codec.ids), random.Random(count), Counter[str]()
    seen = {number: _seen(node, number, schemas) for number in numbers}
    for turn in range(count):
        make = EDITS[turn % len(EDITS)]
        number, other = chance.sample(numbers, 2)
        edit = make(segments[number], segments[other], chance)
        path = folder / f"{TASKS}-{number}"
        path.mkdir(exist_ok=True)
        (path / f"{0:020}.log").write_bytes(edit.data)
        report = _hashes_of(folder, number, schemas, [seen[number]])
        difference = report.difference
        assert difference is not None, edit.name
        place = _at_its_place(edit, difference.offset, segments[number])
        assert place, (edit.name, edit.offset, difference)
        found[make.__name__] += 1
    return found


def _at_its_place(edit: DiskEdit, found: int | None, segment: Segment) -> bool:
    if edit.offset is None:
        return True
    if edit.offset in segment.taken_back and found == segment.taken_back[edit.offset]:
        return True  # where it cannot be read that a transaction was taken back, its records seem to count
    return found == edit.offset or (not edit.exact and found is not None and found > edit.offset)


def _segment(node: Node, number: int) -> Segment:
    return _segment_of(node, TASKS, number)


def _segment_of(node: Node, topic: str, number: int) -> Segment:
    (path,) = (node.data / f"{topic}-{number}").glob("*.log")
    return Segment(path.read_bytes())


def _seen(node: Node, number: int, schemas: FactSchemas) -> Checkpoint:
    """What a notary would have signed about a partition."""
    peaks = Peaks()
    place = TASKS, number
    records = [one for batch in FolderLogReader(node.data).read({place: 0}) for one in batch]
    peaks.add([(record.value or b"")[-32:] for record in records])
    end = records[-1].offset + 1
    seen = Checkpoint(TASKS, number, len(records), end, peaks.root(), b"", 0, "", b"")
    assert _hashes_of(node.data, number, schemas, [seen]).difference is None
    return seen


def _hashes_of(data: Path, number: int, schemas: FactSchemas, seen: list[Checkpoint]) -> HashReport:
    check = HashCheck(number, schemas, seen)
    try:
        for batch in FolderLogReader(data).read({(TASKS, number): 0}):
            check.add(batch)
    except BrokenLog as broken:
        check.break_off(broken.offset, broken.why)
    return check.finish(seen[0].end_offset)


def test_batches_compressed_in_every_way_and_those_taken_back_are_read_as_the_broker_does(node: Node) -> None:
    with closing(KafkaLogReader(node.config)) as reader:
        for topic in (CONTRACTS, RESULTS):
            ends = reader.ends([topic])
            theirs = [one for batch in reader.read(dict.fromkeys(ends, 0), until=ends) for one in batch]
            read = FolderLogReader(node.data).read(dict.fromkeys(ends, 0))
            assert sorted(one for batch in read for one in batch) == sorted(theirs)
            assert not any(one.value == b"never " * 50 for one in theirs)
    segment = [batch for number in range(4) for batch in _segment_of(node, CONTRACTS, number).batches]
    assert {batch.attributes & 7 for batch in segment} == {0, 1, 2, 3, 4}
    found = check_files(node.data, (RESULTS, 0), 0, lambda _: None)
    assert (found.aborted, found.damage) == (len(_CODECS), None)


def _disk(folder: Path, *options: str) -> tuple[int, dict[str, Any]]:
    said = CliRunner().invoke(build(), ["audit", "disk", "--data-dir", str(folder), "--json", *options])
    return said.exit_code, json.loads(said.stdout)


@pytest.fixture
def copy(node: Node, tmp_path: Path) -> Path:
    """The broker's folder as it is, with what the broker notes of its ends."""
    wait_s = monotonic() + _PATIENCE_S
    while not any(topic == TASKS and end for (topic, _), end in written(node.data).items()):
        assert monotonic() < wait_s
    shutil.copytree(node.data, tmp_path / "data", ignore=shutil.ignore_patterns("*.index", "*.timeindex"))
    return tmp_path / "data"


def test_the_command_finds_a_brokers_files_right(node: Node, copy: Path) -> None:
    code, found = _disk(copy, "--decide")
    assert (code, found["ok"], found["faults"]) == (0, True, [])
    assert found["facts"] == found["decided"]["facts"] == verify_hashes(_source(node)).facts
    assert (found["trees"], found["aborted"]) == (TREES, 8 * len(_CODECS))
    assert {(one["topic"], one["partition"]) for one in found["partitions"]} >= {(TASKS, 3), ("_schemas", 0)}


def test_the_command_names_file_offset_and_what_is_wrong(node: Node, copy: Path) -> None:
    view = max(_views(node), key=lambda view: view.partition)
    file = f"{TASKS}-{view.partition}/{0:020}.log"
    path = copy / file
    segment = Segment(path.read_bytes())
    at = next(number for number, batch in enumerate(segment.batches) if batch.first == view.facts[0].offset)
    part = bytearray(segment.parts[at])
    part[-3] ^= 1  # the last fact's hash, or its headers
    part[part.index(b"task-", BATCH_BYTES)] ^= 1
    path.write_bytes(segment.with_part(at, sealed(bytes(part))))
    inputs = next(
        one for one in (copy / f"{RESULTS}-{n}" / f"{0:020}.log" for n in range(4)) if one.stat().st_size
    )
    data = inputs.read_bytes()
    inputs.write_bytes(data[:70] + bytes([data[70] ^ 1]) + data[71:])
    code, found = _disk(copy)
    assert code == 1
    assert ["killed" in note for note in found["notes"]] == [True]  # as the copy of a running one seems
    by_topic = {fault["topic"]: fault for fault in found["faults"]}
    fault = by_topic[TASKS]
    assert (fault["file"], fault["partition"], fault["offset"]) == (
        file,
        view.partition,
        view.facts[0].offset,
    )
    assert fault["kind"] in ("edited", "undecodable", "damaged")
    fault = by_topic[RESULTS]
    assert fault["file"] == f"{inputs.parent.name}/{inputs.name}"
    assert (fault["offset"], fault["kind"]) == (0, "damaged")
    assert "checksum is wrong" in fault["message"]


def test_a_partition_or_an_end_that_the_broker_had_written_is_missed(node: Node, copy: Path) -> None:
    ends = written(copy)
    gone, cut = sorted(number for (topic, number), end in ends.items() if topic == CONTRACTS and end)[:2]
    shutil.rmtree(copy / f"{CONTRACTS}-{gone}")
    path = copy / f"{CONTRACTS}-{cut}" / f"{0:020}.log"
    segment = Segment(path.read_bytes())
    path.write_bytes(b"".join(segment.parts[:-1]))
    code, found = _disk(copy)
    named = {(f["partition"], f["offset"], f["kind"]) for f in found["faults"] if f["topic"] == CONTRACTS}
    assert (code, named) == (1, {(gone, 0, "missing"), (cut, segment.batches[-1].first, "missing")})


def test_a_folder_that_a_broker_has_open_is_refused(node: Node, tmp_path: Path) -> None:
    for folder, reason in ((node.data, "has"), (tmp_path, f"there is no {TASKS}")):
        said = CliRunner().invoke(build(), ["audit", "disk", "--data-dir", str(folder)])
        assert said.exit_code != 0
        assert reason in said.stderr
        assert said.stderr.count("\n") == 1


# What others write, last: it stays in the log


def test_a_memory_written_by_another_hand_is_found_and_what_a_person_says_is_legal(node: Node) -> None:
    with closing(KafkaLogReader(node.config)) as reader:
        ends = reader.ends([MEMORY])
        records = [one for batch in reader.read(dict.fromkeys(ends, 0), until=ends) for one in batch]
    recorded = node.codec.decode(records[0].value)
    assert isinstance(recorded, MemoryRecorded)
    said = replace(recorded, memory=replace(recorded.memory, memory_id="said", metadata_json="{}"))
    node.say(MEMORY, said, "said")
    node.publisher.flush(10)
    report = verify(_source(node))
    assert (report.ok, report.to_json()["direct_memories"]) == (True, 1)
    forged = replace(recorded, memory=replace(recorded.memory, memory_id="forged"))
    node.say(MEMORY, forged, "forged")
    node.publisher.flush(10)
    first = verify(_source(node)).first_difference
    assert first is not None
    assert (first.topic, first.partition, first.kind) == (MEMORY, partition_for("forged", 4), "no-cause")
    assert first.offset == ends[MEMORY, first.partition] + (first.partition == partition_for("said", 4))
    assert first.tree == recorded.root_task_id


def test_a_fact_written_by_another_hand_is_found(node: Node) -> None:
    """Last, because it spoils the log."""
    with closing(KafkaLogReader(node.config)) as reader:
        ends = reader.ends([TASKS])
        view = state_at(reader, node.codec, TaskId("task-0"))
    forged = view.facts[0].recorded
    node.publisher.publish(TASKS, "task-0", node.codec.encode_fact(forged.fact, forged.link)[0])
    node.publisher.flush(10)
    report = verify(_source(node))
    first = report.first_difference
    assert first is not None
    assert (first.partition, first.kind) == (view.partition, "repeated")
    assert first.offset >= ends[TASKS, view.partition] - 1
    by_hashes = verify_hashes(_source(node)).first_difference
    assert by_hashes is not None
    assert (by_hashes.partition, by_hashes.offset, by_hashes.kind) == (
        first.partition,
        first.offset,
        first.kind,
    )
    node.stop()
    code, found = _disk(node.data)
    (fault,) = found["faults"]
    assert (code, fault["kind"], fault["topic"]) == (1, "repeated", TASKS)
    assert (fault["partition"], fault["offset"], fault["task_id"]) == (
        first.partition,
        first.offset,
        "task-0",
    )
    assert fault["file"] == f"{TASKS}-{first.partition}/{0:020}.log"
