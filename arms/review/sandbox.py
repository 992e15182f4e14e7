"""Runs one Python example where it can do little harm: in the box that the executor uses, see `arms.sandbox`.

An audit hook beside the kernel's walls says in words what the example tried. Where the kernel offers no walls the hook
stands alone: it stops accidents and simple malice in documents people review, not an exploit of the interpreter.
"""

from __future__ import annotations

import re
from typing import Final

from arms.review.parsers import Problem
from arms.sandbox.box import Limits, NotConfined
from arms.sandbox.python import SCRIPT, run_script

__all__ = ["RUN_TIMEOUT_S", "run_python"]

RUN_TIMEOUT_S: Final = 5
_LIMITS: Final = Limits(cpu_s=RUN_TIMEOUT_S, memory_bytes=1 << 30, output_bytes=100_000)
_LINE: Final = re.compile(rf'File "{re.escape(SCRIPT)}", line (\d+)')


def run_python(code: str, timeout_s: float = RUN_TIMEOUT_S) -> Problem | None:
    """Run a program to its end.

    Args:
        code: The whole program.
        timeout_s: Wall clock, in seconds, after which it and its children are killed.

    Returns:
        None when it ends well (also by `sys.exit(0)`), else the line that failed and the last line of the error.
    """
    try:
        ran = run_script(code, timeout_s=timeout_s, limits=_LIMITS, strict=False)
    except NotConfined as error:
        return Problem(1, str(error))
    if ran.timed_out:
        return Problem(1, f"not finished after {timeout_s:g} s")
    return _failure(ran.exit_code, ran.stderr.decode(errors="replace"))


def _failure(returncode: int, errors: str) -> Problem | None:
    if returncode == 0:
        return None
    lines = [line for line in errors.split("\n") if line.strip()]
    places = _LINE.findall(errors)
    if not lines or returncode < 0:
        return Problem(1, f"ended by signal {-returncode}" if returncode < 0 else f"exit status {returncode}")
    return Problem(int(places[-1]) if places else 1, lines[-1].replace("`", "'")[:200])
