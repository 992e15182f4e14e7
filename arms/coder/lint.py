"""ruff, in a box: it reads the folder and its own settings there, and nothing else."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import orjson

from arms.coder.claims import EVIDENCE_MAX_CHARS, Claim
from arms.review.sources import read
from arms.sandbox.box import Box, Limits, NotConfined, run

__all__ = ["Linted", "find_tool", "lint"]

_LIMITS: Final = Limits(wall_s=60, cpu_s=60, memory_bytes=2 << 30, open_files=256, output_bytes=8_000_000)
_MAX_FILES: Final = 500
# Rules of which a hit breaks the program: it does not parse, or a name is not there.
_ERRORS: Final = ("E9", "F7", "F81", "F82", "PLE")
_MINOR: Final = ("E", "W", "D", "I", "Q", "COM")


@dataclass(frozen=True, slots=True)
class Linted:
    """What a linter said.

    Attributes:
        claims: What it found.
        tool: Its name and version; empty when it did not run.
        problem: Why it did not, or what it could not do.
    """

    claims: tuple[Claim, ...]
    tool: str
    problem: str = ""


def find_tool(name: str) -> str | None:
    """A program beside this interpreter, or on the path of this process."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if os.access(beside, os.X_OK) else shutil.which(name)


def lint(root: Path, paths: Sequence[str], *, isolated: bool = False) -> Linted:
    """Check Python files.

    Args:
        root: The folder; its own settings of ruff count.
        paths: Relative to it, at most 500 are checked.
        isolated: The folder's settings do not count; only what breaks a program, and likely bugs, are looked for.
    """
    found = find_tool("ruff")
    if found is None:
        return Linted((), "", "ruff is not installed: pip install octolog[coder]")
    program = str(Path(found).resolve())
    chosen = [path for path in sorted(paths)[:_MAX_FILES] if not path.startswith("-")]
    if not chosen:
        return Linted((), "ruff")
    settings = ("--isolated", "--select", "E9,F,B,PLE") if isolated else ()
    argv = (
        program,
        "check",
        "--no-cache",
        "--exit-zero",
        "--no-fix",
        "--output-format",
        "json",
        *settings,
        "--",
        *chosen,
    )
    box = Box(readable=(root, Path(program)), limits=_LIMITS)
    try:
        ran = run(argv, box, cwd=str(root))
    except NotConfined as error:
        return Linted((), "", str(error))
    if ran.exit_code != 0 or ran.stdout_truncated:
        reason = " ".join(ran.stderr.decode(errors="replace").split())[:300]
        return Linted((), "ruff", reason or "its output was too long")
    claims = tuple(_claim(root, row) for row in orjson.loads(ran.stdout))
    beyond = len(paths) - len(chosen)
    return Linted(claims, "ruff", f"{beyond} files were not checked" if beyond else "")


def _claim(root: Path, row: dict[str, object]) -> Claim:
    rule = str(row["code"] or "invalid-syntax")
    place = row["location"]
    line = int(place["row"]) if isinstance(place, dict) else 1
    path = os.path.relpath(str(row["filename"]), root.resolve())
    source = read(root, path)
    evidence = source.lines[line - 1] if source and line <= len(source.lines) else ""
    return Claim(
        path, line, rule, str(row["message"]), _severity(rule), "ruff", evidence[:EVIDENCE_MAX_CHARS]
    )


def _severity(rule: str) -> Literal["error", "warning", "note"]:
    if rule == "invalid-syntax" or rule.startswith(_ERRORS):
        return "error"
    letters = rule.rstrip("0123456789")
    return "note" if letters in _MINOR else "warning"
