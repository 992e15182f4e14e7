"""`octolog audit` where no node runs: bundles are checked offline, keys are looked at and changed."""

from __future__ import annotations

import json
from pathlib import Path
from zipfile import ZipFile

import pytest
from typer.testing import CliRunner, Result

from octolog.app.audit.export import export_bundle
from octolog.cli.application import build
from streams.notary.keys import KeyRing
from tests.replay.notary import sign
from tests.replay.scenarios import success_at_once


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(build(), ["audit", *arguments])


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    world = success_at_once()
    sign(world, tmp_path / "keys")
    export_bundle(world.source, tmp_path / "b.zip", keys=KeyRing(tmp_path / "keys"))
    return tmp_path / "b.zip"


def test_a_right_bundle_ends_with_zero_and_says_what_it_holds(bundle: Path) -> None:
    said = _run("verify", str(bundle), "--decide", "--json")
    assert said.exit_code == 0, said.output
    document = json.loads(said.stdout)
    assert document["ok"]
    assert document["decided"]["facts"] == document["facts"] == document["covered"] > 0


def test_a_wrong_bundle_ends_with_one_and_names_the_place(bundle: Path) -> None:
    with ZipFile(bundle) as archive:
        part = next(p for p in archive.infolist() if p.filename.startswith("records/octolog.tasks/0/"))
    content = bytearray(bundle.read_bytes())
    content[content.index(b"task-1", part.header_offset)] ^= 1
    bundle.write_bytes(content)
    said = _run("verify", str(bundle))
    assert said.exit_code == 1
    assert "octolog.tasks/0@" in said.stdout
    assert said.stderr.startswith("octolog: ")


def test_a_key_that_is_not_trusted_is_refused(bundle: Path, tmp_path: Path) -> None:
    assert _run("verify", str(bundle), "--key", KeyRing(tmp_path / "keys").current(0)).exit_code == 0
    assert _run("verify", str(bundle), "--key", "f" * 64).exit_code == 1


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    said = _run("verify", str(tmp_path / "none.zip"))
    assert said.exit_code == 1
    assert "cannot read" in said.stderr


def test_an_export_names_a_task_or_everything(tmp_path: Path) -> None:
    assert _run("export", "--out", str(tmp_path / "b.zip")).exit_code == 2
    assert _run("export", "task-1", "--all", "--out", str(tmp_path / "b.zip")).exit_code == 2


def test_keys_are_listed_in_the_order_in_which_they_follow_each_other(tmp_path: Path) -> None:
    home = ("--home", str(tmp_path), "--json")
    assert json.loads(_run("keys", *home).stdout) == {"keys": []}
    first = json.loads(_run("rotate-key", *home).stdout)["key_id"]
    second = json.loads(_run("rotate-key", *home).stdout)["key_id"]
    listed = json.loads(_run("keys", *home).stdout)["keys"]
    assert [(row["key_id"], row["announced_by"]) for row in listed] == [(first, "itself"), (second, first)]
