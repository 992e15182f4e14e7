"""A bundle holds what the log holds, verifies itself anywhere, and can be decided again."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import fastavro
import pytest

from blobs import Blobs
from blobs.folder import FolderShelf
from octolog.app.audit.bundle import write_archive
from octolog.app.audit.bundle_log import decide_again
from octolog.app.audit.export import Exported, export_bundle
from octolog.domain.errors import LogCorrupted, NotFound, Refused
from octolog.domain.proof.avro import INDEX_SCHEMA
from octolog.verifier.archive import FORMAT
from octolog.verifier.verify import main, summary, verify_bundle
from streams.notary.keys import KeyRing
from streams.topics import CHECKPOINTS, CONTRACTS, DEAD_LETTERS, RESULTS, TASKS
from tests.replay.log import World
from tests.replay.notary import sign
from tests.replay.scenarios import SCENARIOS
from tests.replay.wandering import wander


@dataclass(frozen=True)
class Signed:
    """A world whose notary signed."""

    world: World
    keys: KeyRing


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Signed:
    folder = tmp_path_factory.mktemp("keys")
    world = wander(3, actions=300)
    sign(world, folder, every=30)
    return Signed(world, KeyRing(folder))


def _export(signed: Signed, out: Path, **asked: object) -> Exported:
    return export_bundle(signed.world.source, out, keys=signed.keys, **asked)  # type: ignore[arg-type]


def _root(signed: Signed) -> str:
    """The tree with the most facts."""
    roots = [fact.link.root_task_id for fact in signed.world.facts()]
    return max(set(roots), key=roots.count)


# What happened


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_bundle_of_any_history_is_right(name: str, tmp_path: Path) -> None:
    world = SCENARIOS[name]()
    sign(world, tmp_path / "keys")
    exported = export_bundle(world.source, tmp_path / "b.zip", keys=KeyRing(tmp_path / "keys"))
    report = verify_bundle(tmp_path / "b.zip")
    assert report.ok, summary(report)
    assert report.records == exported.records == len(world.story) + len(world.records[CHECKPOINTS, 0])
    assert report.facts == exported.facts == report.covered == len(world.records[TASKS, 0])


def test_every_record_is_in_the_bundle_as_it_is_in_the_log(signed: Signed, tmp_path: Path) -> None:
    _export(signed, tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        assert archive.testzip() is None
        for topic in (TASKS, CONTRACTS, RESULTS):
            index = list(fastavro.reader(io.BytesIO(archive.read(f"log/{topic}/0.avro"))))
            records = signed.world.records[topic, 0]
            assert [(r["offset"], r["timestamp_ms"], r["key"]) for r in index] == [  # type: ignore[call-overload, index]
                (r.offset, r.timestamp_ms, r.key) for r in records
            ]
        name = next(n for n in archive.namelist() if n.startswith(f"records/{TASKS}/0/"))
        assert all("link" in fact for fact in fastavro.reader(io.BytesIO(archive.read(name))))  # type: ignore[operator]
    assert json.loads(INDEX_SCHEMA)["name"] == "BundledRecord"


def test_the_same_log_gives_the_same_bytes(signed: Signed, tmp_path: Path) -> None:
    one, two = (_export(signed, tmp_path / name) for name in ("one.zip", "two.zip"))
    assert one.sha256 == two.sha256


def test_one_tasks_bundle_proves_each_of_its_facts(signed: Signed, tmp_path: Path) -> None:
    root = _root(signed)
    _export(signed, tmp_path / "b.zip", task=root)
    report = verify_bundle(tmp_path / "b.zip")
    assert report.ok, summary(report)
    facts = [fact for fact in signed.world.facts() if fact.link.root_task_id == root]
    assert (report.trees, report.facts, report.covered) == (1, len(facts), len(facts))


def test_any_single_fact_can_be_proved(signed: Signed, tmp_path: Path) -> None:
    root = _root(signed)
    for seq in range(sum(fact.link.root_task_id == root for fact in signed.world.facts())):
        _export(signed, tmp_path / "b.zip", task=root, fact=seq)
        report = verify_bundle(tmp_path / "b.zip", frozenset({signed.keys.current(0)}))
        assert report.ok, summary(report)
        assert (report.facts, report.covered) == (1, 1)


def test_a_task_or_fact_that_is_not_there_has_no_bundle(signed: Signed, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no task nobody"):
        _export(signed, tmp_path / "b.zip", task="nobody")
    with pytest.raises(NotFound, match="has no fact 99"):
        _export(signed, tmp_path / "b.zip", task=_root(signed), fact=99)
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_facts_that_were_rewritten_after_they_were_signed_have_no_proof(tmp_path: Path) -> None:
    world, other = wander(1, actions=60), wander(2, actions=60)
    sign(world, tmp_path / "keys")
    other.records[CHECKPOINTS, 0] = world.records[CHECKPOINTS, 0]
    root = other.facts()[0].link.root_task_id
    with pytest.raises(LogCorrupted, match="another root"):
        export_bundle(other.source, tmp_path / "b.zip", task=root)
    export_bundle(other.source, tmp_path / "b.zip")
    assert not verify_bundle(tmp_path / "b.zip").ok


def test_without_a_notary_a_bundle_says_that_nobody_signed(tmp_path: Path) -> None:
    world = wander(2, actions=60)
    exported = export_bundle(world.source, tmp_path / "b.zip")
    report = verify_bundle(tmp_path / "b.zip")
    assert report.ok
    assert exported.sealed_by is None
    assert sum("nobody signed" in note for note in report.notes) == 2
    assert not verify_bundle(tmp_path / "b.zip", frozenset({"f" * 64})).ok


def test_a_key_that_is_not_trusted_proves_nothing(signed: Signed, tmp_path: Path) -> None:
    _export(signed, tmp_path / "b.zip")
    report = verify_bundle(tmp_path / "b.zip", frozenset({"f" * 64}))
    assert not report.ok
    assert report.sealed_by is None
    assert not report.covered


def test_what_no_schema_reads_and_what_has_no_value_is_kept_as_it_is(tmp_path: Path) -> None:
    world = SCENARIOS["dead_letters_between"]()
    world.send_bytes(CONTRACTS, None, None)
    world.send_bytes(CONTRACTS, b"k", b"")
    export_bundle(world.source, tmp_path / "b.zip")
    assert verify_bundle(tmp_path / "b.zip").ok
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        raw = list(fastavro.reader(io.BytesIO(archive.read(f"records/{CONTRACTS}/0/raw.avro"))))
    assert b"" in raw
    assert world.records[DEAD_LETTERS, 0]


# Decided again


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_bundle_can_be_decided_again_without_the_log(name: str, tmp_path: Path) -> None:
    world = SCENARIOS[name]()
    export_bundle(world.source, tmp_path / "b.zip")
    verdict = decide_again(tmp_path / "b.zip")
    assert verdict.ok, verdict.to_json()
    assert verdict.facts == len(world.records[TASKS, 0])


def test_a_result_edited_before_the_export_is_found_by_deciding_again(tmp_path: Path) -> None:
    world = SCENARIOS["success_at_once"]()
    index = len(world.records[RESULTS, 0]) - 1
    record = world.records[RESULTS, 0][index]
    said = world.codec.decode(record.value)
    edited = world.codec.encode(replace(said, tokens_used=said.tokens_used + 1))
    world.records[RESULTS, 0][index] = record._replace(value=edited)
    export_bundle(world.source, tmp_path / "b.zip")
    assert verify_bundle(tmp_path / "b.zip").ok
    first = decide_again(tmp_path / "b.zip").first_difference
    assert first is not None
    assert first.kind == "decided-differently"


def test_what_was_left_out_cannot_be_decided_again(signed: Signed, tmp_path: Path) -> None:
    for asked in ({"task": _root(signed)}, {"redact": True}):
        _export(signed, tmp_path / "b.zip", **asked)
        with pytest.raises(Refused, match="whole log"):
            decide_again(tmp_path / "b.zip")


# With nothing but the bundle


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder / "bin" / "python"


def test_a_bundle_checks_itself_in_an_empty_environment(
    signed: Signed, bare_python: Path, tmp_path: Path
) -> None:
    _export(signed, tmp_path / "b.zip")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(bare_python), *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    assert run("-c", "import cryptography").returncode == 1, "the environment is empty"
    done = run("b.zip", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout) == verify_bundle(tmp_path / "b.zip").to_json()
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        archive.extractall(tmp_path / "out")
    assert run("out/verify.py", "b.zip", "--key", signed.keys.current(0)).returncode == 0
    (tmp_path / "bad.zip").write_bytes((tmp_path / "b.zip").read_bytes()[:-1])
    bad = run("out/verify.py", "bad.zip")
    assert bad.returncode == 1
    assert "the file ends 1 bytes too soon" in bad.stdout


def test_the_verifier_ends_with_one_for_a_file_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "none.zip")]) == 1
    assert "No such file" in capsys.readouterr().err


# Large values


def test_a_large_value_in_a_bundle_must_be_what_its_name_says(signed: Signed, tmp_path: Path) -> None:
    right, wrong = sha256(b"large").hexdigest(), sha256(b"another").hexdigest()
    folder = tmp_path / "parts"
    (folder / "blobs").mkdir(parents=True)
    (folder / "blobs" / right).write_bytes(b"large")
    (folder / "blobs" / wrong).write_bytes(b"large")
    manifest = {
        "format": FORMAT,
        "scope": {"task": None, "fact": None},
        "redacted": False,
        "foreign_causes": [],
    }
    write_archive(tmp_path / "b.zip", folder, manifest, signed.world.source.codec().ids, None)
    report = verify_bundle(tmp_path / "b.zip")
    assert report.blobs == 1
    assert [str(fault) for fault in report.faults] == [
        f"blobs/{wrong}: its SHA-256 is {right}, which is not its name"
    ]


def test_a_redacted_bundle_takes_no_large_values(signed: Signed, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="leave them out of a redacted bundle"):
        _export(signed, tmp_path / "b.zip", redact=True, blobs=Blobs(FolderShelf(tmp_path / "blobs")))
