"""Checks that a peer's engine works: counts every record exactly once, across a kill in the middle.

Starts an embedded broker, produces contracts, runs the peer's engine with the counting decider, kills it once,
starts it again, and reads the facts with `read_committed`. Prints one JSON line. Run from the repository's root:
`python benches/peers/check_eos.py quixstreams_eos`.
"""

from __future__ import annotations

import collections
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benches")]

from _peers import environment_of  # noqa: E402
from confluent_kafka import Consumer, Producer  # noqa: E402
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402

from deploy.kafka import EmbeddedKafka  # noqa: E402

PARTITIONS: Final = 2
KEYS: Final = 50
RECORDS: Final = 4000
WAIT_S: Final = 90.0  # a dead engine's open transaction may hide facts for its timeout, 60 s by default
QUIET_S: Final = 8.0  # longer than a takeover
TOPICS: Final = ("octolog.contracts", "octolog.results", "octolog.tasks")


def main() -> None:
    """Run the check for the peer named on the command line; exit 1 if a record was lost or counted twice."""
    name = sys.argv[1]
    with tempfile.TemporaryDirectory(prefix="octolog-peer-eos-") as folder:
        broker = EmbeddedKafka(Path(folder) / "kafka", die_with_parent=True)
        servers = broker.start().bootstrap_servers
        try:
            outcome = _check(name, servers, Path(folder) / "state")
        finally:
            broker.stop()
    print(json.dumps(outcome))
    sys.exit(0 if outcome["exactly_once"] else 1)


def _check(name: str, servers: str, state: Path) -> dict[str, object]:
    admin = AdminClient({"bootstrap.servers": servers})
    for done in admin.create_topics([NewTopic(name_, PARTITIONS, 1) for name_ in TOPICS]).values():
        done.result()
    _produce(servers, range(RECORDS // 2))
    engine = _start(name, servers, state)
    seen: list[tuple[bytes, bytes]] = []
    reader = _reader(servers)
    try:
        start_s = time.monotonic()
        _read(reader, seen, RECORDS // 4)
        first_half_s = time.monotonic() - start_s
        _signal(engine, signal.SIGKILL)
        _produce(servers, range(RECORDS // 2, RECORDS))
        engine = _start(name, servers, state)
        _read(reader, seen, RECORDS)
        _read_until_quiet(reader, seen)  # repeats count towards RECORDS, so that reaching it is not the end
    finally:
        _signal(engine, signal.SIGTERM)
        reader.close()
    return {"peer": name, "records": RECORDS, "first_quarter_s": round(first_half_s, 2), **_judge(seen)}


def _produce(servers: str, numbers: range) -> None:
    producer = Producer({"bootstrap.servers": servers, "enable.idempotence": True})
    for number in numbers:
        topic = TOPICS[number % 2]
        producer.produce(
            topic, key=f"tree-{number % KEYS}", value=f"record-{number}", partition=number % KEYS % PARTITIONS
        )
        producer.poll(0)
    producer.flush(WAIT_S)


def _start(name: str, servers: str, state: Path) -> subprocess.Popen[bytes]:
    paths = os.pathsep.join([str(ROOT / "benches/peers/shared"), str(ROOT)])
    command = [str(environment_of(name)), str(ROOT / "benches/peers" / name / "engine.py")]
    options = [
        "--bootstrap-servers",
        servers,
        "--group",
        "peer",
        "--state-dir",
        str(state),
        "--partitions",
        str(PARTITIONS),
    ]
    environ = {**os.environ, "PYTHONPATH": paths}
    return subprocess.Popen([*command, *options], env=environ, stdout=sys.stderr, start_new_session=True)


def _signal(engine: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if engine.poll() is None:
        os.killpg(engine.pid, number)
        try:
            engine.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(engine.pid, signal.SIGKILL)
            engine.wait()


def _reader(servers: str) -> Consumer:
    reader = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "check",
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
        }
    )
    reader.subscribe([TOPICS[2]])
    return reader


def _read(reader: Consumer, seen: list[tuple[bytes, bytes]], count: int, wait_s: float = WAIT_S) -> None:
    until_s = time.monotonic() + wait_s
    while len(seen) < count and time.monotonic() < until_s:
        found = reader.consume(1000, 0.2)
        seen.extend((message.key(), message.value()) for message in found if message.error() is None)


def _read_until_quiet(reader: Consumer, seen: list[tuple[bytes, bytes]]) -> None:
    before = -1
    while before != len(seen):
        before = len(seen)
        _read(reader, seen, sys.maxsize, wait_s=QUIET_S)


def _judge(seen: list[tuple[bytes, bytes]]) -> dict[str, object]:
    """Each key's facts must carry 1, 2, ... in order, and each record's own number once."""
    numbers: dict[bytes, list[int]] = collections.defaultdict(list)
    records = collections.Counter(value.split()[1] for _, value in seen)
    for key, value in seen:
        numbers[key].append(int(value.split()[0]))
    in_order = all(found == list(range(1, len(found) + 1)) for found in numbers.values())
    lost, repeated = RECORDS - len(records), sum(records.values()) - len(records)
    return {
        "lost": lost,
        "repeated": repeated,
        "state_in_order": in_order,
        "exactly_once": in_order and not lost and not repeated,
    }


if __name__ == "__main__":
    main()
