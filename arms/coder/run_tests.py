"""pytest, in a box: the tests of a folder, each with how it went and where it failed."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from arms.coder.claims import EVIDENCE_MAX_CHARS, Claim
from arms.review.sources import read
from arms.sandbox.box import PYTHON_FILES, Box, Limits, NotConfined, Ran, run

__all__ = ["Tested", "run_tests"]

_RUNNER: Final = Path(__file__).with_name("runner.py").read_text(encoding="utf-8")
_OUTPUT_BYTES: Final = 4_000_000
_USAGE_ERROR: Final = 4


@dataclass(frozen=True, slots=True)
class Tested:
    """How the tests went.

    Attributes:
        counts: Tests by outcome: passed, failed, error, skipped, xfailed, xpassed.
        passed: Names of the tests that passed, the first thousand.
        claims: One for each test that did not pass, at the line that failed.
        exit_code: pytest's: 0 all passed, 1 some failed, 2 and up it could not do its work, 5 there were none.
        problem: Why the tests say nothing, if they do not.
    """

    counts: dict[str, int]
    passed: tuple[str, ...]
    claims: tuple[Claim, ...]
    exit_code: int
    problem: str = ""


def run_tests(root: Path, paths: Sequence[str] = (), *, timeout_s: float) -> Tested:
    """Run the tests of a folder.

    Nothing outside a scratch folder can be written, there is no network, and no other program can be started: tests
    that need one of these fail, and say so.

    Args:
        root: The folder; its own settings of pytest count.
        paths: Files or folders relative to it; empty: where pytest looks by itself.
        timeout_s: All of them together, seconds.
    """
    if importlib.util.find_spec("pytest") is None:
        return _nothing("pytest is not installed: pip install octolog[coder]")
    limits = Limits(timeout_s, int(timeout_s) + 1, 4 << 30, 64 << 20, 256 << 20, 512, 256, _OUTPUT_BYTES)
    readable = (root, Path(sys.prefix), *PYTHON_FILES)
    box = Box(readable=readable, limits=limits, environment={"PYTHONDONTWRITEBYTECODE": "1"})
    try:
        ran, told = _run(root, paths, box, ())
        note = ""
        if told is not None and told["exit_code"] == _USAGE_ERROR:
            ran, told = _run(root, paths, box, ("-o", "addopts="))
            note = "run without the folder's addopts, which need plugins that are not there"
    except NotConfined as error:
        return _nothing(str(error))
    if ran.timed_out:
        return _nothing(f"the tests had not ended after {timeout_s:g} s")
    if told is None:
        reason = ran.stderr.decode(errors="replace").strip().rpartition("\n")[2][:300]
        return _nothing(f"pytest ended with {ran.exit_code}: {reason}")
    claims = tuple(_claim(root, row) for row in told["failures"])
    return Tested(told["counts"], tuple(told["passed"]), claims, told["exit_code"], told["problem"] or note)


def _run(
    root: Path, paths: Sequence[str], box: Box, settings: tuple[str, ...]
) -> tuple[Ran, dict[str, Any] | None]:
    ran = run(
        (sys.executable, "-B", "-I", "-c", _RUNNER, str(root), *settings, "--", *paths), box, cwd=str(root)
    )
    return ran, _told(ran.stdout)


def _claim(root: Path, row: dict[str, Any]) -> Claim:
    source = read(root, row["path"])
    line = row["line"]
    evidence = source.lines[line - 1][:EVIDENCE_MAX_CHARS] if source and line <= len(source.lines) else ""
    return Claim(**row, severity="error", tool="pytest", evidence=evidence)


def _told(stdout: bytes) -> dict[str, Any] | None:
    """The last line that is the runner's: what tests print comes before it."""
    for line in reversed(stdout.splitlines()):
        if line.startswith(b'{"counts"'):
            try:
                found: dict[str, Any] = orjson.loads(line)
            except ValueError:
                return None
            return found
    return None


def _nothing(problem: str) -> Tested:
    return Tested({}, (), (), -1, problem)
