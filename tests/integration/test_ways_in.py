"""Arms of one's own on a real broker: a Python function, an HTTP service behind the bridge, an arm in Go."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from octolog.app.connection import Connection
from octolog.app.settings import load_settings
from octolog.domain.arm import ArmHealthChanged, ArmHeartbeat, ArmRegistered, Health
from octolog.domain.assignment import AttemptAssignment, AttemptRevoked
from octolog.domain.reports import AttemptHeartbeat, ResultStatus
from octolog.domain.rules import check_report
from tests.conftest import KafkaUnderTest
from tests.integration.arm_host import Driver
from tests.unit.bridge.services import serving, success

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

ROOT = Path(__file__).resolve().parents[2]
GO_ARM = ROOT / "examples" / "go-arm"
MODULE = '''
from arms.arm import arm

@arm("{arm_id}", capabilities=("word_count",))
def count(text: str, longer_than: int = 0) -> dict[str, int]:
    """Count the words of a text."""
    return {{"words": sum(len(word) > longer_than for word in text.split())}}
'''
WAITING = """
import asyncio
from pathlib import Path
from arms.arm import arm

VERSION = 1

@arm("{arm_id}", capabilities=("word_count",))
async def count(text: str) -> dict[str, int]:
    with Path("begun").open("a") as begun:
        begun.write(f"{{text}} {{VERSION}}\\n")
    while VERSION == 1 and text == "slow":
        await asyncio.sleep(0.05)
    return {{"version": VERSION}}
"""
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def driver(kafka: KafkaUnderTest) -> Iterator[Driver]:
    driver = Driver(kafka.bootstrap_servers, f"w{uuid4().hex[:8]}")
    yield driver
    driver.close()


@pytest.fixture
def start(kafka: KafkaUnderTest, tmp_path: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []
    log = tmp_path / "arm.log"

    def begin(*command: str) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "OCTOLOG_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "OCTOLOG_HOME": str(tmp_path / "home"),
        }
        with log.open("ab") as out:
            process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=out, stderr=out)
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait(60)
    sys.stderr.write(log.read_text() if log.exists() else "")


def octolog(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "octolog.cli", "arms", *arguments]


def ended(process: subprocess.Popen[bytes]) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(60)


def revoked(given: AttemptAssignment) -> AttemptRevoked:
    return AttemptRevoked(given.root_task_id, given.task_id, given.attempt_id, given.arm_id, "cancelled")


def test_a_function_with_type_hints_is_registered_with_its_schemas_and_works(
    driver: Driver, start: Start, tmp_path: Path
) -> None:
    arm_id = f"own-{driver.suffix}"
    (tmp_path / "own_arms.py").write_text(MODULE.format(arm_id=arm_id))
    process = start(*octolog("run", "own_arms:count", "--json"))
    good, bad = (
        driver.assignment("own", context={"text": "a bb ccc", "longer_than": 1}),
        driver.assignment("own"),
    )
    driver.until(lambda: bool(driver.of(ArmRegistered)))
    driver.write(good, bad)
    driver.until(lambda: driver.has_done(2))
    by_attempt = {result.attempt_id: result for result in driver.results()}
    assert by_attempt[good.attempt_id].output == '{"words":2}'
    assert by_attempt[bad.attempt_id].error_code == "INVALID_INPUT"
    (registered,) = driver.of(ArmRegistered)
    assert json.loads(registered.capability.input_schema_json)["required"] == ["text"]
    assert ended(process) == 0
    told = json.loads((tmp_path / "arm.log").read_text().splitlines()[0])
    assert told["arms"] == [{"arm_id": arm_id, "capabilities": ["word_count"]}]


def test_a_changed_file_is_run_anew_and_the_attempt_in_progress_goes_on_there(
    driver: Driver, start: Start, tmp_path: Path
) -> None:
    source, begun = tmp_path / "own_arms.py", tmp_path / "begun"
    source.write_text(WAITING.format(arm_id=f"own-{driver.suffix}"))
    process = start(*octolog("run", "own_arms:count", "--reload", "--slot", f"own-{driver.suffix}"))
    quick, slow = (driver.assignment("own", context={"text": text}) for text in ("quick", "slow"))
    driver.until(lambda: bool(driver.of(ArmRegistered)))
    driver.write(quick, slow)
    driver.until(lambda: driver.has_done(1))
    driver.until(lambda: begun.read_text().count("slow 1") == 1)
    source.write_text(source.read_text().replace("VERSION = 1", "VERSION = 2", 1))
    driver.until(lambda: driver.has_done(2))
    assert {result.attempt_id: json.loads(result.output) for result in driver.results()} == {
        quick.attempt_id: {"version": 1},
        slow.attempt_id: {"version": 2},
    }
    assert sorted(begun.read_text().splitlines()) == ["quick 1", "slow 1", "slow 2"]
    assert len(driver.results()) == 2
    assert ended(process) == 0
    assert "own_arms.py changed; starting again" in (tmp_path / "arm.log").read_text()


def test_a_service_behind_the_bridge_works_keeps_its_lease_is_cancelled_and_its_absence_is_told(
    driver: Driver, start: Start, tmp_path: Path
) -> None:
    def sometimes_slow(handler: Any, request: dict[str, Any]) -> Any:
        if request["contract"]["context"].get("slow"):
            service.release.wait(120)
            return 200, success(request)
        return 200, success(request, output={"words": 3, "top": ["of alice@example.com"]})

    with serving(sometimes_slow) as service:
        config = tmp_path / "services.toml"
        config.write_text(
            f'[[service]]\nurl = "{service.url}"\narm_id = "http-{driver.suffix}"\nhealth_interval_s = 0.2\n'
        )
        process = start(*octolog("bridge", "--config", str(config)))
        driver.until(lambda: bool(driver.of(ArmRegistered)))
        quick = driver.assignment("http", context={"text": "a b c"})
        slow = driver.assignment("http", context={"text": "a", "slow": True}, lease_ms=900)
        driver.write(quick, slow)
        driver.until(lambda: driver.has_done(1))
        (result,) = driver.results()
        check_report(result)
        assert (result.status, result.attempt_id) == (ResultStatus.SUCCESS, quick.attempt_id)
        assert json.loads(result.output) == {"words": 3, "top": ["of [REDACTED_EMAIL]"]}
        driver.until(lambda: len(driver.of(AttemptHeartbeat)) >= 2)
        assert {beat.attempt_id for beat in driver.of(AttemptHeartbeat)} == {slow.attempt_id}
        driver.write(revoked(slow))
        assert service.cancel_came.wait(60)
        assert service.cancelled == [slow.attempt_id]
        service.health = (200, {"status": "unavailable"})
        driver.until(lambda: len(driver.of(ArmHealthChanged)) == 1)
        service.health = (200, {})
        driver.until(lambda: len(driver.of(ArmHealthChanged)) == 2)
        assert [change.health for change in driver.of(ArmHealthChanged)] == [
            Health.UNAVAILABLE,
            Health.HEALTHY,
        ]
        assert ended(process) == 0
    assert {request["attempt_id"] for request in service.asked} == {quick.attempt_id, slow.attempt_id}
    assert len(driver.results()) == 1


@pytest.fixture(scope="session")
def go_arm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example in Go, built; its modules stay in Go's own cache."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("no Go toolchain: go is not on the PATH")
    fetched = subprocess.run(
        [go, "mod", "download"], cwd=GO_ARM, capture_output=True, text=True, timeout=300, check=False
    )
    if fetched.returncode:
        pytest.skip(f"Go's modules cannot be had here: {fetched.stderr.strip().splitlines()[-1][:200]}")
    binary = tmp_path_factory.mktemp("go") / "go-arm"
    built = subprocess.run(
        [go, "build", "-o", str(binary), "."],
        cwd=GO_ARM,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return binary


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_an_arm_in_go_registers_lives_works_and_leaves(
    driver: Driver, start: Start, go_arm: Path, kafka: KafkaUnderTest, tmp_path: Path
) -> None:
    with Connection(load_settings(bootstrap_servers=kafka.bootstrap_servers, home=tmp_path / "home")) as node:
        _ = node.schema_ids  # registers every record, as a node does when it starts
    process = start(str(go_arm), "-arm-id", f"go-{driver.suffix}")
    driver.until(lambda: bool(driver.of(ArmHeartbeat)))
    (registered,) = driver.of(ArmRegistered)
    assert registered.capability.capabilities == ("word_count",)
    given = driver.assignment("go", context={"text": "To be or not to be"})
    bad, aborted = (
        driver.assignment("go", context={"txt": 1}),
        driver.assignment("go", context={"text": "no"}),
    )
    driver.abort(aborted)
    driver.write(given, bad)
    driver.write(given)
    driver.until(lambda: driver.has_done(2))
    for result in driver.results():
        check_report(result)
    by_attempt = {result.attempt_id: result for result in driver.results()}
    assert set(by_attempt) == {given.attempt_id, bad.attempt_id}
    assert by_attempt[given.attempt_id].output == '{"top":["be","to","not"],"words":6}'
    assert by_attempt[given.attempt_id].root_task_id == given.root_task_id
    assert (by_attempt[bad.attempt_id].status, by_attempt[bad.attempt_id].error_code) == (
        ResultStatus.FAILURE, "INVALID_INPUT",
    )  # fmt: skip
    outputs = {result.output for result in driver.results() if result.attempt_id == given.attempt_id}
    assert len(outputs) == 1
    assert ended(process) == 0
    driver.until(lambda: bool(driver.of(ArmHealthChanged)))
    again = start(str(go_arm), "-arm-id", f"go-{driver.suffix}")
    more = driver.assignment("go", context={"text": "once more"})
    driver.write(more)
    driver.until(lambda: driver.has_done(3))
    assert ended(again) == 0
