"""`arms run` and `arms bridge`: what they find, and what they say when they find nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from octolog.app.arms.own import files_of, load
from octolog.app.arms.reload import Watched
from octolog.app.arms.services import from_file, service
from octolog.cli.application import build
from octolog.domain.errors import SettingsError

MODULE = """
from arms.arm import arm
from arms.builtin import planner

@arm("first", capabilities=("tag",))
def first(text: str) -> str:
    return text

@arm("second-arm", capabilities=("tag",))
def second(text: str) -> str:
    return text

def bare(work):
    return 1
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "waysin_arms.py").write_text(MODULE)
    (tmp_path / "waysin_broken.py").write_text("x = 1\nraise ValueError('at import')\n")
    (tmp_path / "waysin_needs.py").write_text("import not_installed_here\n")
    (tmp_path / "waysin_none.py").write_text("x = 1\n")
    (tmp_path / "waysin_twice.py").write_text(MODULE.replace('"second-arm"', '"first"'))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("waysin_")]:
        del sys.modules[name]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(build(), ["arms", *arguments])


def test_a_module_gives_all_arms_it_defines_and_none_that_it_imports(folder: Path) -> None:
    assert [made.arm_id for made in load(["waysin_arms"])] == ["first", "second-arm"]
    assert files_of(["waysin_arms"]) == sorted(folder.glob("*.py"))


def test_a_change_is_seen_once_and_files_that_came_with_it_are_watched_from_then_on(folder: Path) -> None:
    load(["waysin_arms"])
    watched = Watched(lambda: files_of(["waysin_arms"]))
    assert watched.changed() == []
    source, added = folder / "waysin_arms.py", folder / "waysin_added.py"
    added.write_text("x = 1\n")
    os.utime(source, ns=(1, 1))
    assert watched.changed() == ["waysin_arms.py"]
    assert watched.changed() == []
    os.utime(added, ns=(1, 1))
    assert watched.changed() == ["waysin_added.py"]
    source.unlink()
    assert watched.changed() == ["waysin_arms.py"]


def test_functions_are_named_by_name_or_by_their_arms_id(folder: Path) -> None:
    assert [made.arm_id for made in load(["waysin_arms:second,first"])] == ["second-arm", "first"]
    assert [made.arm_id for made in load(["waysin_arms:second-arm"])] == ["second-arm"]
    assert [made.arm_id for made in load(["waysin_arms:planner"])] == ["planner"]


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("waysin_arms:secnd", "waysin_arms has no 'secnd'; did you mean second?"),
        ("waysin_arms:zzz", "waysin_arms has no 'zzz'; its arms: first, second"),
        ("waysin_arms:bare", "is a function without @arm(...) over it; its arms: first, second"),
        ("waysin_nowhere:x", "there is no module waysin_nowhere; write MODULE:FUNCTION"),
        ("waysin_arms.py", "waysin_arms.py is a file; write MODULE:FUNCTION"),
        ("waysin_arms:", "names no arm; write MODULE:FUNCTION"),
        ("waysin_none", "waysin_none defines no arm; put @arm(...) over a function"),
        ("waysin_needs", "waysin_needs needs not_installed_here, which is not installed here"),
        ("waysin_broken", "waysin_broken cannot be imported: ValueError: at import (waysin_broken.py:2)"),
        ("waysin_twice", "two arms have the id first; each needs its own"),
    ],
)
def test_what_cannot_be_hosted_is_said_in_one_line(folder: Path, target: str, said: str) -> None:
    result = run("run", target)
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_services_headers_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYSIN_KEY", "Bearer s3cret")
    made = service("http://127.0.0.1:1/", headers=["Authorization: env:WAYSIN_KEY", "X-Team:one"])
    assert made.headers == {"Authorization": "Bearer s3cret", "X-Team": "one"}
    assert "s3cret" not in repr(made)
    for bad, said in (
        ("none", "write NAME:VALUE"),
        ("A:env:WAYSIN_NO", "has no WAYSIN_NO"),
        ("A:\u00e9", "use ASCII"),
    ):
        with pytest.raises(SettingsError, match=said):
            service("http://127.0.0.1:1", headers=[bad])


def test_a_file_says_more_than_a_url_can(tmp_path: Path) -> None:
    file = tmp_path / "services.toml"
    file.write_text(
        '[[service]]\nurl = "https://arms.example.com/one"\narm_id = "one"\nbreaker_failures = 2\n'
        "[service.retry]\nmax_attempts = 5\n"
    )
    (made,) = from_file(file)
    assert (made.arm_id, made.breaker_failures, made.retry.max_attempts, made.retry.base_ms) == (
        "one",
        2,
        5,
        200,
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[service]]\nurl = 3", "service.0.url: "),
        ('[[service]]\nurl = "http://x"\nretries = 3', "service.0.retries: extra inputs are not permitted"),
        (
            '[[service]]\nurl = "http://x"\n[service.retry]\nmax_attempts = 0',
            "retry.max_attempts: 0 is not between",
        ),
        ("[[service", "is no TOML"),
        ("", "service: field required"),
    ],
)
def test_a_wrong_file_is_said_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "services.toml"
    file.write_text(text)
    result = run("bridge", "--config", str(file))
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr


def test_a_bridge_to_nowhere_is_said_before_anything_is_registered() -> None:
    assert "name a service" in run("bridge").stderr
    gone = run("bridge", "http://127.0.0.1:1")
    assert gone.exit_code == 1
    assert gone.stderr.startswith("octolog: GET /arm: ConnectError")
