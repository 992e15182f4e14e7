"""Runs a Python script in a box, with the standard library and nothing else installed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from arms.sandbox.box import BASE_PYTHON, DEFAULT_LIMITS, PYTHON_FILES, Box, Limits, Ran, run

__all__ = ["SCRIPT", "run_script"]

SCRIPT: Final = "script.py"
"""The script's name in its own error messages."""

_GUARD: Final = Path(__file__).with_name("guard.py").read_text(encoding="utf-8")


def run_script(
    code: str,
    arguments: Sequence[str] = (),
    *,
    timeout_s: float,
    readable: Sequence[Path] = (),
    limits: Limits = DEFAULT_LIMITS,
    strict: bool = True,
    cwd: str | None = None,
) -> Ran:
    """Run a script to its end, or to the end of its time.

    Args:
        code: The whole script.
        arguments: Its `sys.argv[1:]`.
        timeout_s: Wall clock, seconds.
        readable: Files and folders it may read.
        limits: The most it may use; its `wall_s` is replaced by `timeout_s`.
        strict: See `Box`.
        cwd: See `run`.

    Raises:
        NotConfined: See `run`.
    """
    box = Box(
        readable=(*PYTHON_FILES, *readable),
        files={SCRIPT: code.encode("utf-8", "surrogatepass")},
        limits=replace(limits, wall_s=timeout_s),
        strict=strict,
    )
    # `-I`: nothing of the environment and the folder it runs in; `-B`: no byte code is written.
    argv = (BASE_PYTHON, "-I", "-B", "-X", "utf8", "-c", _GUARD, "{files}/" + SCRIPT, *arguments)
    return run(argv, box, cwd=cwd)
