"""Values of 10 MB through a real broker and node: equal, redacted, checked, and never lost between blob and record.

Run as a file, this is a host of arms: `python tests/e2e/test_large_values.py HOME [DIE]`; with DIE, a path where
nothing is yet, it kills itself the first time a blob is stored, before any record refers to it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from arms.arm import Answer, arm
from arms.host import HostSettings, run_host
from arms.work import Work
from blobs import Blobs, open_shelf
from octolog.app.blobs import collect
from octolog.app.connection import Connection
from octolog.app.settings import Settings, load_settings
from octolog.cli.application import build
from octolog.client import Client
from octolog.client.decisions import COMPLETED, FAILED
from octolog.domain.facts import AttemptEnded
from octolog.domain.reports import ExecutionResult
from octolog.domain.values import BlobRef
from octolog.ports import LogRecord
from schemas.codec import RecordedFact

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
TEN_MB = 10_000_000
PERSON = "alice.example@example.com"


# ---------------------------------------------------------------------------------------------- the host


@arm("bulk", capabilities=("bulk",), timeout_seconds=120)
def bulk(work: Work) -> Answer:
    """So many characters, with somebody's address in the middle where it is asked for."""
    half = "lorem ipsum " * (work.context["chars"] // 24)
    return Answer({"text": f"{half}{work.context.get('person', '')} {half}"})


@arm("weigh", capabilities=("weigh",), timeout_seconds=120)
async def weigh(work: Work) -> Answer:
    """Digests of what it was given: proof that it was given all of it."""
    inputs = {name: sha256(value["text"].encode()).hexdigest() for name, value in work.inputs.items()}
    text = work.context.get("text", "")
    return Answer({"inputs": inputs, "context": sha256(text.encode()).hexdigest(), "chars": len(text)})


class Deadly(Blobs):
    """Kills its process when a blob is stored and nothing refers to it yet; once."""

    mark: Path

    def put(self, data: bytes, media_type: str = "application/json") -> BlobRef:
        ref = super().put(data, media_type)
        if not self.mark.exists():
            self.mark.write_text(ref.sha256)
            os.kill(os.getpid(), signal.SIGKILL)
        return ref


def host_main(home: str, die: str = "") -> None:
    settings = load_settings(home=Path(home))
    blobs = Blobs(open_shelf(str(settings.home / "blobs")), 12_000_000)
    if die:
        blobs = deadly = Deadly(blobs.shelf, blobs.max_bytes)
        deadly.mark = Path(die)
    with Connection(settings) as connection:
        for each in (bulk, weigh):
            connection.ensure_assignment_topic(each.arm_id)
        own = HostSettings(connection.bootstrap_servers, group_id="large", slot="large")
        run_host(own, [bulk, weigh], connection.publisher(background=True), connection.codec(), blobs=blobs)


@contextmanager
def hosting(settings: Settings, die: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    with (settings.home / "host.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, __file__, str(settings.home), str(die or "")],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(60)


# --------------------------------------------------------------------------------------------- the tests


@pytest.fixture(scope="module")
def settings(kafka_jars: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    home = tmp_path_factory.mktemp("large")
    settings = load_settings(home=home)
    try:
        with pytest.MonkeyPatch.context() as patched:  # on a busy machine a host takes long to come back
            patched.setenv("OCTOLOG_LEASE_MS", "240000")
            assert octolog(settings, "up", "--detach", "--arms", "", "--partitions", "2").exit_code == 0
        yield settings
    finally:
        octolog(settings, "down")


def octolog(settings: Settings, *arguments: str) -> Result:
    return CliRunner().invoke(build(), [*arguments, "--home", str(settings.home)])


def told(settings: Settings, *arguments: str) -> dict[str, Any]:
    result = octolog(settings, *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def contract(arm_id: str, **context: Any) -> dict[str, Any]:
    return {
        "goal": "a large value",
        "task_id": f"t-{uuid4().hex}",
        "assigned_arm": arm_id,
        "context": context,
    }


def records(settings: Settings, topic: str, task_id: str) -> list[Any]:
    with Connection(settings) as connection:
        reader, codec = connection.reader(), connection.codec()
        batches = reader.read(reader.begins([topic]), until=reader.ends([topic]))
        found: list[LogRecord] = [r for batch in batches for r in batch if r.key == task_id.encode()]
        decoded = [codec.decode(record.value) for record in found]
    return [each.fact if isinstance(each, RecordedFact) else each for each in decoded]


def stored(settings: Settings) -> set[str]:
    return {found.name for found in open_shelf(str(settings.home / "blobs")).stored()}


def test_ten_megabytes_survive_a_kill_between_blob_and_record_and_come_back_equal(settings: Settings) -> None:
    mark = settings.home / "killed"
    asked = contract("bulk", chars=TEN_MB, person=PERSON)
    with Client(settings) as client:
        with hosting(settings, mark) as doomed:
            submitted = client.submit(asked)
            assert doomed.wait(120) == -signal.SIGKILL
        orphan = mark.read_text()
        assert stored(settings) == {orphan}  # the blob is there, and no record refers to it
        assert not [r for r in records(settings, "octolog.results", submitted.task_id) if _is_result(r)]
        with hosting(settings, mark):
            outcome = client.wait(submitted, 120)
    half = "lorem ipsum " * (TEN_MB // 24)
    expected = {"text": f"{half}[REDACTED_EMAIL] {half}"}
    assert outcome.status == COMPLETED
    assert outcome.result == expected
    assert outcome.result_blob == BlobRef(
        orphan, len(json.dumps(expected, separators=(",", ":"))), "application/json"
    )
    assert stored(settings) == {orphan}
    ended = [r for r in records(settings, "octolog.tasks", submitted.task_id) if isinstance(r, AttemptEnded)]
    assert [(e.output, e.output_blob) for e in ended] == [("", outcome.result_blob)]  # one attempt, one end
    assert len([r for r in records(settings, "octolog.results", submitted.task_id) if _is_result(r)]) == 1
    assert PERSON.encode() not in (settings.home / "blobs" / orphan[:2] / orphan).read_bytes()

    _people_and_scripts_get_it(settings, submitted.task_id, expected, orphan)
    _a_flipped_byte_is_found_and_named(settings, submitted.task_id, orphan)


def _people_and_scripts_get_it(settings: Settings, task_id: str, expected: Any, name: str) -> None:
    found = told(settings, "task", "result", task_id)
    assert (found["status"], found["result"]) == ("COMPLETED", expected)
    assert json.loads(told(settings, "task", "show", task_id)["output"]["output"]) == expected
    out = settings.home / "result.json"
    assert octolog(settings, "task", "result", task_id, "--out", str(out)).exit_code == 0
    assert sha256(out.read_bytes()).hexdigest() == name
    verdict = told(settings, "blobs", "verify")
    assert (verdict["ok"], verdict["blobs"], verdict["references"]) == (True, 1, 3)
    verified = told(settings, "replay", "--verify", "--blobs")
    assert (verified["ok"], verified["blobs"]["blobs"], verified["blobs"]["references"]) == (True, 1, 3)
    bundle = settings.home / "task.zip"
    assert octolog(settings, "audit", "export", task_id, "--out", str(bundle), "--blobs").exit_code == 0
    assert zipfile.ZipFile(bundle).read(f"blobs/{name}") == out.read_bytes()
    assert told(settings, "audit", "verify", str(bundle))["blobs"] == 1


def _a_flipped_byte_is_found_and_named(settings: Settings, task_id: str, name: str) -> None:
    path = settings.home / "blobs" / name[:2] / name
    right = path.read_bytes()
    path.write_bytes(right[:5_000] + bytes([right[5_000] ^ 4]) + right[5_001:])
    for command in (("blobs", "verify"), ("task", "result", task_id), ("replay", "--verify", "--blobs")):
        result = octolog(settings, *command)
        assert result.exit_code == 1
        assert f"blob {name}" in result.stderr
        assert "is not what was stored" in result.stderr
        assert result.stderr.count("\n") == 1
    assert "is not what was stored" in told(settings, "task", "show", task_id)["output"]["blob_error"]
    _the_facts_that_refer_to_it_are_named(settings, task_id, name)
    path.unlink()
    result = octolog(settings, "blobs", "verify", "--task", task_id)
    assert f"{task_id}): blob {name} is not in {settings.home}/blobs" in result.stderr
    path.write_bytes(right)
    assert told(settings, "blobs", "verify")["ok"] is True


def _the_facts_that_refer_to_it_are_named(settings: Settings, task_id: str, name: str) -> None:
    result = octolog(settings, "replay", "--verify", "--blobs", "--task", task_id, "--json")
    document = json.loads(result.stdout)
    (fault,) = document["blobs"]["faults"]
    assert (result.exit_code, document["ok"], document["difference_count"]) == (1, False, 0)
    assert (fault["sha256"], fault["task_id"], fault["references"]) == (name, task_id, 3)
    named = [each.partition("/")[0] for each in fault["referred_by"]]
    assert [fault["topic"], *named] == ["octolog.results", "octolog.tasks", "octolog.tasks"]
    assert all(each.endswith(f"({task_id})") for each in fault["referred_by"])


def test_an_arm_is_given_large_inputs_and_contexts_whole(settings: Settings) -> None:
    text = "dolor sit amet " * 40_000
    asked: dict[str, Any] = {
        "goal": "large through and through",
        "task_id": f"t-{uuid4().hex}",
        "steps": [
            {"step_id": "a", "goal": "make", "assigned_arm": "bulk", "context": {"chars": 600_000}},
            {
                "step_id": "b", "goal": "weigh", "assigned_arm": "weigh", "depends_on": ["a"],
                "context": {"text": text},
            },
        ],
    }  # fmt: skip
    with Client(settings) as client, hosting(settings):
        assert client.wait(client.submit(contract("weigh", text=text)), 120).result == {
            "inputs": {},
            "context": sha256(text.encode()).hexdigest(),
            "chars": len(text),
        }
        outcome = client.wait(client.submit(asked), 120)
    half = "lorem ipsum " * 25_000
    assert outcome.result == {
        "inputs": {"a": sha256(f"{half} {half}".encode()).hexdigest()},
        "context": sha256(text.encode()).hexdigest(),
        "chars": len(text),
    }
    assert told(settings, "blobs", "verify")["ok"] is True


@pytest.mark.slow  # the rules themselves are in tests/unit/arms/test_large.py
def test_what_is_missing_changed_or_too_large_fails_the_attempt_in_one_line(settings: Settings) -> None:
    missing = contract("weigh", text="consectetur " * 30_000)
    large = contract("bulk", chars=13_000_000)
    with Client(settings) as client:
        before = stored(settings)
        lost = client.submit(missing)
        for name in stored(settings) - before:
            (settings.home / "blobs" / name[:2] / name).unlink()
        with hosting(settings):
            found = client.wait(lost, 120)
            assert (found.status, found.code) == (FAILED, "BLOB_MISSING")
            assert found.error is not None
            assert "is not in" in found.error
            found = client.wait(client.submit(large), 120)
    assert (found.status, found.code) == (FAILED, "BLOB_TOO_LARGE")
    assert "at most 12000000 (OCTOLOG_BLOB_MAX_BYTES)" in str(found.error)


def test_only_what_no_record_names_is_garbage(settings: Settings) -> None:
    blobs = Blobs(open_shelf(str(settings.home / "blobs")))
    named = stored(settings)
    young, old = blobs.put(b"young"), blobs.put(b"old")
    for name in {*named, old.sha256}:
        os.utime(settings.home / "blobs" / name[:2] / name, (1, 1))
    report = told(settings, "blobs", "gc", "--report")
    assert [(each["sha256"], each["deleted"]) for each in report["garbage"]] == [(old.sha256, False)]
    assert report["garbage_bytes"] == 3
    assert report["garbage"][0]["age_s"] > 1e9
    assert told(settings, "blobs", "gc", "--delete")["deleted"] == 1
    assert stored(settings) == {*named, young.sha256}
    with Connection(settings) as connection:
        assert [each.sha256 for each in collect(connection, blobs, grace_s=-60)] == [young.sha256]


def _is_result(record: Any) -> bool:
    return isinstance(record, ExecutionResult)


if __name__ == "__main__":
    host_main(*sys.argv[1:])
