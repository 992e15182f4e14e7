"""The embedded broker is a real Kafka: it is found again, keeps its data through SIGKILL, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from deploy.kafka import BrokerFailed, EmbeddedKafka, PortInUse, ports
from deploy.kafka.ports import free_port
from tests.conftest import KafkaUnderTest

WAIT_S = 60.0

pytestmark = [pytest.mark.usefixtures("kafka_jars"), pytest.mark.timeout(300)]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedKafka]:
    own = EmbeddedKafka(tmp_path / "home", die_with_parent=True)
    yield own
    own.stop()


def _make_topic(servers: str, partitions: int = 1) -> str:
    topic = f"test-{uuid.uuid4().hex}"
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(WAIT_S)
    return topic


def _produce(servers: str, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": servers, "acks": "all", "enable.idempotence": True})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(WAIT_S) == 0


def _read(servers: str, topic: str, count: int, group_protocol: str = "classic") -> list[bytes]:
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": uuid.uuid4().hex,
            "group.protocol": group_protocol,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe([topic])
    values: list[bytes] = []
    until = time.monotonic() + WAIT_S
    while len(values) < count and time.monotonic() < until:
        values += [message.value() or b"" for message in consumer.consume(count, 0.2) if not message.error()]
    consumer.close()
    return values


def _answers(engine: str) -> bool:
    url = urlsplit(engine)
    family, address = (
        (socket.AF_UNIX, url.path) if url.scheme == "unix" else (socket.AF_INET, (url.hostname, url.port))
    )
    with socket.socket(family) as connection:
        return connection.connect_ex(address) == 0


@pytest.mark.parametrize("group_protocol", ["classic", "consumer"])
def test_both_group_protocols_read_what_was_written(kafka: KafkaUnderTest, group_protocol: str) -> None:
    topic = _make_topic(kafka.bootstrap_servers)
    _produce(kafka.bootstrap_servers, topic, [b"a", b"b"])
    assert _read(kafka.bootstrap_servers, topic, 2, group_protocol) == [b"a", b"b"]


def test_an_aborted_transaction_is_never_read(kafka: KafkaUnderTest) -> None:
    topic = _make_topic(kafka.bootstrap_servers)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": topic})
    producer.init_transactions(WAIT_S)
    for value, end in ((b"lost", producer.abort_transaction), (b"kept", producer.commit_transaction)):
        producer.begin_transaction()
        producer.produce(topic, value)
        producer.flush(WAIT_S)
        end(WAIT_S)
    assert _read(kafka.bootstrap_servers, topic, 1) == [b"kept"]


def test_a_second_start_finds_the_first(broker: EmbeddedKafka) -> None:
    first = broker.start()
    second = EmbeddedKafka(broker.home).start()
    assert (second.pid, second.started_ms) == (first.pid, first.started_ms)
    assert (second.bootstrap_servers, second.cluster_id) == (first.bootstrap_servers, first.cluster_id)
    assert broker.status().state == "running"


def test_a_broker_killed_with_sigkill_comes_back_on_its_port_with_its_data(broker: EmbeddedKafka) -> None:
    before = broker.start()
    topic = _make_topic(before.bootstrap_servers)
    values = [str(number).encode() for number in range(1000)]
    _produce(before.bootstrap_servers, topic, values)
    os.kill(before.pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(before.pid)] if psutil.pid_exists(before.pid) else [], timeout=WAIT_S)
    assert broker.find_running() is None
    after = broker.start()
    assert after.pid != before.pid
    assert (after.bootstrap_servers, after.cluster_id) == (before.bootstrap_servers, before.cluster_id)
    assert _read(after.bootstrap_servers, topic, len(values)) == values


def test_stop_leaves_no_process_and_says_whether_there_was_one(broker: EmbeddedKafka) -> None:
    info = broker.start()
    assert broker.stop() is True
    assert not psutil.pid_exists(info.pid)
    assert broker.status().state == "stopped"
    assert broker.stop() is False


def test_a_reused_pid_is_not_taken_for_the_broker(broker: EmbeddedKafka) -> None:
    info = broker.start()
    broker.stop()
    record = broker.home / "kafka" / "broker.json"
    port = int(info.bootstrap_servers.rpartition(":")[2])
    record.write_text(
        f'{{"port": {port}, "controller_port": 1, "pid": {os.getpid()}, "born_s": 1000000000.0}}'
    )
    assert broker.status().state == "stopped"
    assert broker.stop() is False  # or it would have ended this test run


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        with pytest.raises(PortInUse, match=str(port)):
            EmbeddedKafka(tmp_path, port=port).start()


def test_a_free_port_lost_to_another_process_while_starting_is_replaced(
    broker: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        taken = stranger.getsockname()[1]
        choices = iter([taken, free_port()])
        monkeypatch.setattr(
            ports, "free_port", lambda *_, **options: free_port() if options else next(choices)
        )
        assert broker.start().bootstrap_servers != f"127.0.0.1:{taken}"


def test_a_stranger_on_the_remembered_port_moves_the_broker_not_the_data(broker: EmbeddedKafka) -> None:
    first = broker.start()
    topic = _make_topic(first.bootstrap_servers)
    _produce(first.bootstrap_servers, topic, [b"kept"])
    broker.stop()
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", int(first.bootstrap_servers.rpartition(":")[2])))
        stranger.listen()
        second = broker.start()
        assert second.bootstrap_servers != first.bootstrap_servers
        assert _read(second.bootstrap_servers, topic, 1) == [b"kept"]


def test_a_broker_that_dies_while_starting_says_why(broker: EmbeddedKafka) -> None:
    with pytest.raises(BrokerFailed, match="NoSuchFlag") as failure:
        broker.start(extra_flags=("-XX:+NoSuchFlag",))
    assert "\n" not in str(failure.value)


def test_the_broker_outlives_a_ctrl_c_and_dies_with_its_parent_when_asked(broker: EmbeddedKafka) -> None:
    info = broker.start()
    assert os.getsid(info.pid) == info.pid != os.getsid(0)
    code = (
        "import pathlib, sys; from deploy.kafka import EmbeddedKafka;"
        "print(EmbeddedKafka(pathlib.Path(sys.argv[1]), die_with_parent=True).start().pid, flush=True)"
    )
    with psutil.Popen(
        [sys.executable, "-c", code, str(broker.home / "other")], stdout=-1, text=True
    ) as parent:
        orphan = int(parent.stdout.readline())
    until = time.monotonic() + WAIT_S
    while psutil.pid_exists(orphan) and psutil.Process(orphan).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until, "the broker outlived its parent"
        time.sleep(0.02)


def test_kafka_from_testcontainers_serves_the_same_clients() -> None:
    engine = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not _answers(engine):
        pytest.skip(f"no Docker engine answers at {engine}")
    containers = pytest.importorskip("testcontainers.kafka", reason="the extra `containers` is not installed")
    with containers.KafkaContainer("apache/kafka:4.3.1").with_kraft() as container:
        servers = container.get_bootstrap_server()
        topic = _make_topic(servers)
        _produce(servers, topic, [b"a"])
        assert _read(servers, topic, 1) == [b"a"]


def test_a_data_folder_that_a_dying_broker_still_holds_is_waited_for(broker: EmbeddedKafka) -> None:
    broker.start()
    broker.stop()
    holding = (
        "import fcntl, sys\n"
        "lock = open(sys.argv[1], 'a+b')\n"
        "fcntl.lockf(lock, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holding, str(broker.data_dir / ".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        ending = threading.Timer(4.0, holder.stdin.close)
        ending.start()
        assert broker.start(timeout_s=120).pid
        ending.join()
