"""The main job, as a user runs it: a folder with planted faults goes in, each fault is found and proven."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import psutil
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

_DOCUMENT = """# Guide

See [the plan](missing.md) and [the end](#the-end).

```python
def broken(:
```
"""
_CODE = '"""A module."""\n\n\ndef undocumented(x):\n    return x\n'


@pytest.fixture(scope="module")
def demo(kafka: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One run of the demo in a home of its own, with the jars the session's broker has fetched."""
    folder = tmp_path_factory.mktemp("reviewed")
    (folder / "guide.md").write_text(_DOCUMENT)
    (folder / "module.py").write_text(_CODE)
    home = tmp_path_factory.mktemp("home")
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith("OCTOLOG_") or k == "OCTOLOG_CACHE"
    }
    environment["OCTOLOG_HOME"] = str(home)
    ran = subprocess.run(
        [sys.executable, "-m", "octolog.cli", "demo", str(folder), "--json"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=220,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3_000:]
    return {"home": home, "folder": folder, **json.loads(ran.stdout)}


def test_the_demo_finds_every_planted_fault_with_its_line(demo: dict[str, Any]) -> None:
    report = demo["report"]
    for planted in ("guide.md:3", "missing.md", "the-end", "guide.md:6", "module.py:4", "undocumented"):
        assert planted in report


def test_the_demo_ends_completed_and_its_log_verifies(demo: dict[str, Any]) -> None:
    assert demo["status"] == "COMPLETED"
    assert demo["verify"]["ok"] is True
    assert demo["verify"]["facts"] > 0
    assert demo["verify"]["lost"] == []


def test_the_custody_chain_has_no_gap_and_ends_with_the_return_of_the_root(demo: dict[str, Any]) -> None:
    entries = demo["custody"]["entries"]
    assert [entry["number"] for entry in entries] == list(range(1, len(entries) + 1))
    assert entries[0]["action"] == "SUBMITTED"
    assert (entries[-1]["action"], entries[-1]["task_id"]) == ("RETURNED", demo["task_id"])


def test_every_step_has_its_cost_and_time(demo: dict[str, Any]) -> None:
    named = {step["step_id"] for step in demo["steps"]}
    assert {"judge", "report"} <= named
    assert all(step["duration_ms"] >= 0 and step["attempts"] == 1 for step in demo["steps"])


def test_the_demo_leaves_no_process_behind(demo: dict[str, Any]) -> None:
    home = str(demo["home"])
    left = [p.pid for p in psutil.process_iter(["cmdline"]) if home in " ".join(p.info["cmdline"] or [])]
    assert left == []


def test_afterwards_the_projections_answer_without_a_node(demo: dict[str, Any]) -> None:
    environment = {**os.environ, "OCTOLOG_HOME": str(demo["home"])}
    ran = subprocess.run(
        [sys.executable, "-m", "octolog.cli", "query", "SELECT count(*) AS n FROM task_completed", "--json"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert f'"n": {len(demo["steps"])}' in ran.stdout.replace('"n":', '"n": ').replace("  ", " ")
