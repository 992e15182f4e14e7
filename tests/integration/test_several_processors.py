"""Several processors share the partitions; the slot of one that does not come back is taken over by the others."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from deploy.kafka import EmbeddedKafka
from octolog.app.audit.verification import verify_log
from octolog.app.connection import Connection
from octolog.app.processes import wait_until
from octolog.domain.contract import SubmitTask
from octolog.testing import step, submit
from tests.chaos.engine import Answering, Facts, Processor, engine_settings, send
from tests.chaos.ledger import assigned_records

pytestmark = [
    pytest.mark.integration,
    pytest.mark.chaos,
    pytest.mark.usefixtures("kafka_jars"),
    pytest.mark.timeout(300),
]

SESSION_S = 6.0
"""How long the group waits for a member that is gone (`streams.kafka.config.SESSION_TIMEOUT_MS`)."""
OPEN_S = 10.0
"""How long Kafka lets a dead owner's transaction stand (`streams.kafka.config.TRANSACTION_TIMEOUT_MS`)."""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    own = EmbeddedKafka(tmp_path_factory.mktemp("kafka"), die_with_parent=True)
    own.start(timeout_s=120)
    yield own
    own.stop()


@pytest.fixture
def log(broker: EmbeddedKafka, tmp_path: Path) -> Iterator[Connection]:
    running = broker.find_running()
    assert running is not None
    with Connection(engine_settings(tmp_path, running.bootstrap_servers)) as connection:
        connection.ensure_topics()
        yield connection


@pytest.fixture
def arm(log: Connection) -> Iterator[str]:
    arm_id = f"arm-{uuid4().hex[:8]}"
    answering = Answering(log, arm_id)
    yield arm_id
    answering.finish()


def trees(arm: str, count: int) -> list[SubmitTask]:
    tag = (arm,)
    steps = (step("a", required_capabilities=tag), step("b", "a", required_capabilities=tag))
    return [submit(f"{arm}-{number}", steps=steps) for number in range(count)]


def check(log: Connection, facts: Facts, arm: str, commands: list[SubmitTask]) -> None:
    ledger = facts.wait_until_over([command.root_task_id for command in commands], 90)
    for command in commands:
        assert ledger.outcomes[command.root_task_id] == ["TaskCompleted"]
    assert ledger.decided_twice() == []
    assert ledger.gaps == []
    handed = assigned_records(log.reader(), log.codec(), arm)
    assert set(handed.values()) == {1}
    assert len(handed) == 2 * len(commands)
    report = verify_log(log)
    assert report.ok, report.to_json()


def test_a_processor_that_joins_takes_its_share_and_nothing_is_decided_twice(
    log: Connection, tmp_path: Path, arm: str
) -> None:
    first = Processor(log.bootstrap_servers, tmp_path / "state")
    second = None
    try:
        first.wait_for()
        commands = trees(arm, 80)
        send(log, commands[:40])
        second = Processor(log.bootstrap_servers, tmp_path / "state", "1")
        send(log, commands[40:])
        assert wait_until(lambda: len(first.owns()) == 2, 60), first.output()
        assert wait_until(lambda: len(second.owns()) == 2, 60), second.output()
        assert first.owns() | second.owns() == set(range(4))
        check(log, Facts(log), arm, commands)
    finally:
        for processor in filter(None, (first, second)):
            processor.stop()


@pytest.mark.parametrize(
    "moment",
    [  # by default with the most left open, and with nothing; all moments of one slot are in test_runner.py
        pytest.param("written", marks=pytest.mark.slow),
        "offsets sent",
        pytest.param("committing", marks=pytest.mark.slow),
        "committed",
    ],
)
def test_the_partitions_of_a_processor_that_died_for_good_go_on_elsewhere(
    log: Connection, tmp_path: Path, arm: str, moment: str
) -> None:
    """It may have left a transaction open, even with its positions in it: the next owner ends that first."""
    stays = Processor(log.bootstrap_servers, tmp_path / "state")
    dies = Processor(log.bootstrap_servers, tmp_path / "state", "1", die_at=[moment, 6])
    try:
        for processor in (stays, dies):
            assert wait_until(lambda p=processor: len(p.owns()) == 2, 60), processor.output()  # type: ignore[misc]
        commands = trees(arm, 60)
        sent = 0
        while dies.process.poll() is None and sent < len(commands) - 5:
            send(log, [commands[sent]])
            sent += 1
        assert dies.process.wait(60) == -signal.SIGKILL, dies.output()
        began_s = time.monotonic()
        send(log, commands[sent:])
        facts = Facts(log)
        facts.wait_until_over([command.root_task_id for command in commands], 90)
        took_s = time.monotonic() - began_s
        sys.stdout.write(json.dumps({"died": moment, "all_over_after_s": round(took_s, 1)}) + "\n")
        assert stays.owns() == set(range(4))
        check(log, facts, arm, commands)
        # A commit leaves nothing open; else the next owner ends it, unless the machine let Kafka's own time-out pass.
        fenced = bool(stays.said("fencing a dead owner"))
        assert fenced or moment == "committed" or took_s > SESSION_S + OPEN_S, stays.output()
    finally:
        stays.stop()
        dies.kill()
