"""Whatever lies in a topic: it is refused with a reason and its bytes are kept, and the next record goes on."""

from __future__ import annotations

import dataclasses
import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from deploy.kafka import EmbeddedKafka
from octolog.app.audit.verification import verify_log
from octolog.app.connection import Connection
from octolog.app.processes import wait_until
from octolog.domain.contract import CancelTask, Step
from octolog.domain.ids import TaskId
from octolog.domain.upkeep import DeadLetter, TimerFired, TimerKind
from octolog.domain.values import Limits, Provenance
from octolog.ports import LogRecord
from octolog.testing import attempt, call_used, heartbeat, submit, success
from schemas.codec import Codec
from streams.dead_letters import MAX_LETTER_BYTES
from streams.processors.task import MAX_INPUT_BYTES
from streams.topics import ARMS, CONTRACTS, RESOURCES, RESULTS, TIMERS
from tests.chaos.engine import Answering, Facts, Processor, engine_settings, produce, register, send
from tests.chaos.ledger import dead_letters

pytestmark = [
    pytest.mark.integration,
    pytest.mark.usefixtures("kafka_jars"),
    pytest.mark.timeout(200),
]

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    home = tmp_path_factory.mktemp("kafka")
    broker = EmbeddedKafka(home, die_with_parent=True)
    running = broker.start(timeout_s=120)
    try:
        with Connection(engine_settings(home, running.bootstrap_servers)) as connection:
            connection.ensure_topics()
            yield connection
    finally:
        broker.stop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def engine(log: Connection, folder: Path) -> Iterator[Processor]:
    processor = Processor(log.bootstrap_servers, folder)
    processor.wait_for()
    yield processor
    assert processor.process.poll() is None, processor.output()
    processor.stop()


@pytest.fixture(scope="module")
def arm(log: Connection, engine: Processor) -> Iterator[str]:
    answering = Answering(log, "worker")
    yield "worker"
    answering.finish()


@pytest.fixture
def facts(log: Connection) -> Facts:
    return Facts(log)


def name() -> str:
    return f"t-{uuid4().hex[:10]}"


def letter_of(log: Connection, place: LogRecord) -> DeadLetter:
    """The one dead letter about a record."""
    found: list[DeadLetter] = []

    def arrived() -> bool:
        where = place.topic, place.partition, place.offset
        found[:] = [
            letter
            for letter in dead_letters(log)
            if (letter.source_topic, letter.source_partition, letter.source_offset) == where
        ]
        return bool(found)

    assert wait_until(arrived, 60, pause_s=0.1), f"no dead letter for {place[:3]}"
    assert len(found) == 1
    return found[0]


def check_goes_on(log: Connection, facts: Facts, arm: str, same_key_as: str | None = None) -> None:
    """A good contract right behind the bad one completes; in the same partition, where a key is given."""
    root = f"{same_key_as}-good" if same_key_as else name()
    send(log, [submit(root, required_capabilities=(arm,))])
    assert facts.wait_until_over([root], 60).outcomes[root] == ["TaskCompleted"]


def good_bytes(codec: Codec) -> bytes:
    return codec.encode(submit(name(), required_capabilities=("worker",)))


GARBAGE: dict[str, Callable[[Codec], bytes]] = {
    "no Avro": lambda _: b"hello, world",
    "JSON": lambda _: b'{"task_id": "x", "goal": "y"}',
    "no bytes": lambda _: b"",
    "magic byte alone": lambda _: b"\0",
    "another magic byte": lambda codec: b"\1" + good_bytes(codec)[1:],
    "an unknown schema id": lambda codec: b"\0\0\xff\xff\xff" + good_bytes(codec)[5:],
    "a truncated record": lambda codec: good_bytes(codec)[:-7],
    "more bytes than the record": lambda codec: good_bytes(codec) + b"\0\0",
    "a length of 2 GiB": lambda codec: good_bytes(codec)[:5] + b"\xfe\xff\xff\xff\x0f",
    "a record of another topic": lambda codec: codec.encode(success(attempt(name()))),
}


@pytest.mark.parametrize("what", GARBAGE)
def test_bytes_that_are_no_contract_are_kept_with_their_place_and_a_reason(
    log: Connection, facts: Facts, arm: str, what: str
) -> None:
    key, value = name(), GARBAGE[what](log.codec())
    (place,) = produce(log, CONTRACTS, [(key, value)])
    letter = letter_of(log, place)
    assert letter.key == key.encode()
    assert letter.value == value
    assert letter.reason
    assert "\n" not in letter.reason
    assert letter.error == "UndecodableRecord"
    assert letter.consumer == "task-processor"
    assert letter.source_timestamp_ms == place.timestamp_ms
    check_goes_on(log, facts, arm)


@pytest.mark.parametrize("topic", [RESULTS, RESOURCES, TIMERS, ARMS])
@pytest.mark.parametrize("what", ["no Avro", "a truncated record", "a record of another topic"])
def test_the_other_inputs_refuse_likewise(
    log: Connection, facts: Facts, arm: str, topic: str, what: str
) -> None:
    value = (
        GARBAGE[what](log.codec())
        if topic != RESULTS
        else good_bytes(log.codec())[: -7 if "t" in what else None]
    )
    (place,) = produce(log, topic, [(name(), value)])
    letter = letter_of(log, place)
    assert letter.value == value
    assert letter.reason
    check_goes_on(log, facts, arm)


def test_a_tombstone_and_a_record_without_a_key_are_refused(log: Connection, facts: Facts, arm: str) -> None:
    producer = Producer({"bootstrap.servers": log.bootstrap_servers})
    for topic in (CONTRACTS, RESULTS, RESOURCES, TIMERS):
        for key, value in ((name().encode(), None), (None, good_bytes(log.codec())), (None, None)):
            place = raw(producer, topic, key, value)
            letter = letter_of(log, place)
            assert (letter.key, letter.value) == (key, value)
    check_goes_on(log, facts, arm)


def test_a_contract_under_another_key_is_refused_for_its_tree_would_have_two_writers(
    log: Connection, facts: Facts, arm: str
) -> None:
    (place,) = produce(log, CONTRACTS, [("someone-else", good_bytes(log.codec()))])
    assert "key" in letter_of(log, place).reason
    check_goes_on(log, facts, arm)


def test_headers_of_a_refused_record_are_kept(log: Connection, facts: Facts, arm: str) -> None:
    producer = Producer({"bootstrap.servers": log.bootstrap_servers})
    headers: list[tuple[str, str | bytes | None]] = [
        ("ce_id", b"\xff\xfe"),
        ("ce_id", b"twice"),
        ("none", None),
    ]
    place = raw(producer, CONTRACTS, b"k", b"no avro", headers=headers)
    kept = json.loads(letter_of(log, place).headers_json)
    assert [(key, None if value is None else b64decode(value)) for key, value in kept] == headers


@pytest.mark.parametrize("topic", [RESULTS, RESOURCES])
def test_a_report_about_a_tree_nobody_knows_is_refused(log: Connection, arm: str, topic: str) -> None:
    of = attempt(name(), arm=arm)
    (place,) = send(log, [success(of) if topic == RESULTS else call_used(of, tokens=1)], topic)
    assert letter_of(log, place).reason.startswith("TASK_NOT_FOUND")


BAD_RESULTS: dict[str, dict[str, Any]] = {
    "provenance.command_hash": {"provenance": Provenance("worker", 0, "not hex")},
    "provenance.arm_id": {"provenance": Provenance("another", 0, "c0" * 32)},
    "error": {"error": "a success with an error"},
    "confidence": {"confidence": float("nan")},
    "tokens_used": {"tokens_used": -1},
}


@pytest.mark.parametrize("field", BAD_RESULTS)
def test_a_result_that_contradicts_itself_is_refused_and_its_attempt_stays_open(
    log: Connection, facts: Facts, engine: Processor, field: str
) -> None:
    arm_id = f"silent-{uuid4().hex[:6]}"
    register(log, arm_id)
    root = name()
    send(log, [submit(root, required_capabilities=(arm_id,))])
    of = attempt(root, arm=arm_id)
    assert wait_until(lambda: bool(facts.read().assigned[of.attempt_id]), 60)
    bad = dataclasses.replace(success(of), **BAD_RESULTS[field])
    if field != "provenance.arm_id" and "provenance" in BAD_RESULTS[field]:
        bad = dataclasses.replace(bad, provenance=Provenance(arm_id, 0, "not hex"))
    (place,) = send(log, [bad], RESULTS)
    letter = letter_of(log, place)
    assert field in letter.reason
    assert letter.error == "InvalidContract"
    send(log, [heartbeat(of), success(of)], RESULTS)
    ledger = facts.wait_until_over([root], 60)
    assert ledger.outcomes[root] == ["TaskCompleted"]


BAD_CONTRACTS: dict[str, dict[str, Any]] = {
    "INVALID_BUDGET": {"budget": Limits(max_tokens=-5)},
    "INVALID_PRIORITY": {"priority": 11},
    "CYCLE": {"parent_task_id": TaskId("SELF")},
    "VALIDATION": {"goal": "x" * (10 * MIB)},
    "INVALID_PLAN": {"steps": (Step("a", "do a", ("b",)), Step("b", "do b", ("a",)))},
}


@pytest.mark.parametrize("code", BAD_CONTRACTS)
def test_a_contract_out_of_bounds_is_a_rejection_everyone_can_read(
    log: Connection, facts: Facts, arm: str, code: str
) -> None:
    """They are well-formed Avro, so the audit log says what became of them. The goal has 10 MB."""
    root = name()
    fields = dict(BAD_CONTRACTS[code])
    if code == "CYCLE":
        fields["parent_task_id"] = TaskId(root)
    send(log, [submit(root, root=root, required_capabilities=(arm,), **fields)])
    assert wait_until(lambda: facts.read().rejected[root] == [code], 60), facts.ledger.rejected[root]
    assert not facts.ledger.submitted[root]
    check_goes_on(log, facts, arm)


def test_the_same_id_with_other_content_is_rejected_and_the_first_goes_on(
    log: Connection, facts: Facts, arm: str
) -> None:
    root = name()
    send(log, [submit(root, required_capabilities=(arm,)), submit(root, goal="something else")])
    ledger = facts.wait_until_over([root], 60)
    assert wait_until(lambda: len(facts.read().rejected[root]) == 1, 60)
    assert ledger.submitted[root] == 1
    assert ledger.outcomes[root] == ["TaskCompleted"]


def test_a_request_about_a_tree_nobody_knows_is_a_rejection(log: Connection, facts: Facts, arm: str) -> None:
    root = TaskId(name())
    send(log, [CancelTask(root, "", "tester")])
    assert wait_until(lambda: bool(facts.read().rejected[root]), 60)


def test_a_record_that_its_producer_compressed_below_the_topics_bound_is_refused_by_its_real_size(
    log: Connection, facts: Facts, arm: str
) -> None:
    producer = Producer(
        {
            "bootstrap.servers": log.bootstrap_servers,
            "compression.type": "zstd",
            "message.max.bytes": 100 * MIB,
        }
    )
    codec = log.codec()
    for size in (MAX_INPUT_BYTES + 1, MAX_LETTER_BYTES + 1):
        root = name()
        value = codec.encode(submit(root, goal="x" * size))
        place = raw(producer, CONTRACTS, root.encode(), value)
        letter = letter_of(log, place)
        assert f"{len(value)} bytes" in letter.reason
        assert letter.value == (value if len(value) < MAX_LETTER_BYTES else None)
        check_goes_on(log, facts, arm)


def test_a_timer_for_what_does_not_exist_changes_nothing(log: Connection, facts: Facts, arm: str) -> None:
    timers = [TimerFired(kind, TaskId(root := name()), "nothing", 0) for kind in TimerKind]
    send(log, [timer for timer in timers if timer.kind is not TimerKind.UNKNOWN], TIMERS)
    check_goes_on(log, facts, arm)
    assert root not in facts.read().submitted


def test_what_is_no_registry_fact_is_told_of_once_however_often_a_worker_restarts(
    log: Connection, facts: Facts, arm: str, engine: Processor, folder: Path
) -> None:
    (place,) = produce(log, ARMS, [("bad-arm", b"no registry fact")])
    letter_of(log, place)
    for _ in range(2):
        engine.kill()
        engine.__init__(log.bootstrap_servers, folder)  # type: ignore[misc]  # the same slot, again
        engine.wait_for()
        check_goes_on(log, facts, arm)
        letter_of(log, place)


def test_after_all_of_this_the_log_verifies_with_every_input_accounted_for(
    log: Connection, facts: Facts, arm: str
) -> None:
    check_goes_on(log, facts, arm)
    report = verify_log(log)
    assert report.ok, report.to_json()
    assert facts.read().decided_twice() == []


def raw(
    producer: Producer,
    topic: str,
    key: bytes | None,
    value: bytes | None,
    headers: list[tuple[str, str | bytes | None]] | None = None,
) -> LogRecord:
    """Append a record as it is; where it lies."""
    places: list[LogRecord] = []

    def done(error: object, message: Any) -> None:
        assert error is None, error
        stamp = message.timestamp()[1]
        places.append(LogRecord(topic, message.partition(), message.offset(), stamp, key, value))

    producer.produce(topic, value, key, headers=headers, on_delivery=done)
    assert producer.flush(30) == 0
    return places[0]
