"""The runner on a real broker: killed, frozen, cut off and restarted, it decides every input once."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from deploy.kafka import EmbeddedKafka
from octolog.app.audit.verification import verify_log
from octolog.app.connection import Connection
from octolog.app.processes import wait_until
from octolog.domain.assignment import AttemptAssignment
from octolog.domain.contract import SubmitTask
from octolog.testing import step, submit, success
from streams.topics import RESULTS
from tests.chaos.engine import (
    Answering,
    Facts,
    Processor,
    engine_settings,
    register,
    send,
)
from tests.chaos.ledger import Ledger, assigned_records, dead_letters

pytestmark = [
    pytest.mark.integration,
    pytest.mark.chaos,
    pytest.mark.usefixtures("kafka_jars"),
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A broker of this module's own: its topics are what `deploy/topics.yaml` says, and it may be frozen."""
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
def processors(log: Connection, tmp_path: Path) -> Iterator[ProcessorsUnderTest]:
    found = ProcessorsUnderTest(log.bootstrap_servers, tmp_path / "state")
    yield found
    found.stop()


class ProcessorsUnderTest:
    """Starts processors, and ends them all after the test."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.folder = folder
        self._bootstrap = bootstrap
        self._started: list[Processor] = []

    def start(self, slot: str = "0", **options: object) -> Processor:
        processor = Processor(self._bootstrap, self.folder, slot, **options)
        self._started.append(processor)
        return processor

    def stop(self) -> None:
        for processor in self._started:
            processor.stop()


@pytest.fixture
def arm(log: Connection) -> Iterator[str]:
    """An arm of this test's own; its id is also its tag."""
    arm_id = f"arm-{uuid4().hex[:8]}"
    answering = Answering(log, arm_id)
    yield arm_id
    answering.finish()


def chains(arm: str, count: int) -> list[SubmitTask]:
    """Trees of three steps, so that facts, results and assignments follow each other for a while."""
    tag = (arm,)
    steps = (
        step("a", required_capabilities=tag),
        step("b", "a", required_capabilities=tag),
        step("c", "a", required_capabilities=tag),
    )
    return [submit(f"{arm}-{number}", steps=steps) for number in range(count)]


def roots_of(commands: list[SubmitTask]) -> list[str]:
    return [command.root_task_id for command in commands]


def check_all(log: Connection, ledger: Ledger, arm: str, commands: list[SubmitTask]) -> None:
    """Each tree completed once, each attempt was handed out once, and the whole log can be decided again."""
    for root in roots_of(commands):
        assert ledger.submitted[root] == 1
        assert ledger.outcomes[root] == ["TaskCompleted"]
    assert ledger.decided_twice() == []
    assert ledger.gaps == []
    handed = assigned_records(log.reader(), log.codec(), arm)
    assert set(handed.values()) == {1}
    assert len(handed) == 3 * len(commands)
    report = verify_log(log)
    assert report.ok, report.to_json()
    assert report.facts == ledger.facts


@pytest.mark.parametrize("moment", ["written", "offsets sent", "committing", "committed"])
def test_21_a_worker_killed_around_its_commit_decides_the_same_once(
    log: Connection, processors: ProcessorsUnderTest, arm: str, moment: str
) -> None:
    doomed = processors.start(die_at=[moment, 4])
    commands = chains(arm, 40)
    send(log, commands[:20])
    assert doomed.process.wait(60) == -signal.SIGKILL, doomed.output()
    send(log, commands[20:])
    processors.start()
    check_all(log, Facts(log).wait_until_over(roots_of(commands)), arm, commands)


def test_a_restart_folds_only_what_came_after_the_last_snapshots(
    log: Connection, processors: ProcessorsUnderTest, arm: str
) -> None:
    first = processors.start(snapshot_facts=50)
    commands = chains(arm, 120)
    for begin in range(0, 120, 20):
        send(log, commands[begin : begin + 20])
        Facts(log).wait_until_over(roots_of(commands[: begin + 20]))
    ledger = Facts(log).read()
    first.kill()
    second = processors.start()
    second.wait_for()
    folded = sum(said["facts"] for said in second.said("restored")[-1:])
    assert folded < ledger.facts / 3, f"{folded} of {ledger.facts} facts folded"
    more = [submit(f"{arm}-more", required_capabilities=(arm,))]
    send(log, [*more, *commands[:10]])  # and closed trees are still known
    ledger = Facts(log).wait_until_over(roots_of(more))
    assert ledger.decided_twice() == []
    assert verify_log(log).ok


def test_a_lost_index_of_closed_trees_is_rebuilt_and_repeats_are_still_known(
    log: Connection, processors: ProcessorsUnderTest, arm: str
) -> None:
    first = processors.start(snapshot_facts=20)
    commands = chains(arm, 20)
    send(log, commands)
    facts = Facts(log)
    before = facts.wait_until_over(roots_of(commands)).facts
    first.kill()
    shutil.rmtree(processors.folder)
    second = processors.start(snapshot_facts=20)
    second.wait_for()
    assert second.said("restored")[-1]["facts"] == before, "the index was not rebuilt from the first fact"
    clash = submit(commands[0].root_task_id, goal="something else")
    last = submit(f"{arm}-last", required_capabilities=(arm,))
    send(log, [*commands, clash, last])
    ledger = facts.wait_until_over([last.root_task_id])
    assert wait_until(lambda: bool(facts.read().rejected[clash.root_task_id]), 60)
    assert ledger.decided_twice() == []
    assert verify_log(log).ok
    second.kill()
    third = processors.start()
    third.wait_for()
    assert third.said("restored")[-1]["facts"] < before


def test_a_frozen_worker_that_comes_back_after_its_slot_was_taken_steps_down(
    log: Connection, processors: ProcessorsUnderTest, arm: str
) -> None:
    zombie = processors.start()
    zombie.wait_for()
    commands = chains(arm, 60)
    send(log, commands[:30])
    zombie.signal(signal.SIGSTOP)
    successor = processors.start()
    successor.wait_for()
    send(log, commands[30:50])
    facts = Facts(log)
    facts.wait_until_over(roots_of(commands[:50]))
    zombie.signal(signal.SIGCONT)
    assert zombie.process.wait(60) == 0, zombie.output()
    assert zombie.said("stepping down"), zombie.output()
    send(log, commands[50:])
    ledger = facts.wait_until_over(roots_of(commands))
    assert successor.process.poll() is None, f"the zombie took its slot back: {successor.output()}"
    check_all(log, ledger, arm, commands)


@pytest.mark.parametrize("frozen_s", [3.0, pytest.param(18.0, marks=pytest.mark.slow)])
def test_a_broker_that_stands_still_for_a_while_loses_and_doubles_nothing(
    log: Connection, processors: ProcessorsUnderTest, arm: str, broker: EmbeddedKafka, frozen_s: float
) -> None:
    """18 s are more than a commit waits, and more than a transaction or a membership lives."""
    processor = processors.start()
    processor.wait_for()
    commands = chains(arm, 60)
    running = broker.find_running()
    assert running is not None
    send(log, commands[:30])
    os.kill(running.pid, signal.SIGSTOP)
    try:
        time.sleep(frozen_s)
    finally:
        os.kill(running.pid, signal.SIGCONT)
    send(log, commands[30:])
    ledger = Facts(log).wait_until_over(roots_of(commands), 90, tell=processor.output)
    assert processor.process.poll() is None, processor.output()
    check_all(log, ledger, arm, commands)


def test_a_result_that_came_while_no_worker_ran_counts_although_the_lease_is_over(
    log: Connection, processors: ProcessorsUnderTest
) -> None:
    arm_id = f"silent-{uuid4().hex[:8]}"
    lease_s = 3.0  # long enough that the first processor dies before it is over, on a slow machine too
    register(log, arm_id)
    first = processors.start(lease_ms=int(lease_s * 1_000))
    first.wait_for()
    handed: list[AttemptAssignment] = []
    answering = Answering(log, arm_id, handed.append)
    try:
        send(log, [submit(f"{arm_id}-0", required_capabilities=(arm_id,))])
        assert wait_until(lambda: bool(handed), 60), first.output()
    finally:
        first.kill()
        answering.finish()
    time.sleep(lease_s)
    send(log, [success(handed[-1])], RESULTS)
    second = processors.start(lease_ms=int(lease_s * 1_000))
    ledger = Facts(log).wait_until_over([f"{arm_id}-0"], tell=second.output)
    assert ledger.outcomes[f"{arm_id}-0"] == ["TaskCompleted"]


def test_what_waits_for_an_arm_goes_on_when_the_arm_came_while_no_worker_ran(
    log: Connection, processors: ProcessorsUnderTest
) -> None:
    arm_id = f"late-{uuid4().hex[:8]}"
    first = processors.start()
    (placed,) = send(log, [waiting := submit(f"{arm_id}-0", required_capabilities=(arm_id,))])
    facts = Facts(log)
    assert wait_until(lambda: bool(facts.read().submitted[waiting.root_task_id]), 60)
    first.kill()
    register(log, arm_id)
    processors.start()
    answering = Answering(log, arm_id)
    try:
        facts.wait_until_over([waiting.root_task_id], 60)
    finally:
        answering.finish()
    assert placed.partition in range(4)


def test_a_lone_record_is_not_kept_waiting_for_company(
    log: Connection, processors: ProcessorsUnderTest, arm: str
) -> None:
    processors.start().wait_for()
    facts = Facts(log)
    for number in range(5):
        lone = submit(f"{arm}-lone-{number}", required_capabilities=(arm,))
        send(log, [lone])
        facts.wait_until_over([lone.root_task_id])  # or nothing would ever come after it
    assert dead_letters(log) == []
