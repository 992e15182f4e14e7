"""Runs a command again whenever a source file changes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from octolog.app.processes import Stop

__all__ = ["run_again"]

_LOOK_S: Final = 0.3
_STOP_S: Final = 10.0


def run_again(arguments: Sequence[str], files: Sequence[Path], told: Callable[[str], None]) -> None:
    """Run `octolog ARGUMENTS` until SIGTERM or SIGINT, anew after every change.

    A run that ends by itself is not started again until something changes: it said why.
    """
    stop, seen, said = Stop(), _stamps(files), False
    child = _started(arguments)
    try:
        while not stop():
            time.sleep(_LOOK_S)
            now = _stamps(files)
            changed = sorted(path.name for path in files if now[path] != seen[path])
            if changed:
                seen, said = now, False
                told(f"{', '.join(changed[:3])} changed; starting again")
                _ended(child)
                child = _started(arguments)
            elif child.poll() is not None and not said:
                said = True
                told("it ended; it is started again when a file changes")
    finally:
        _ended(child)


def _stamps(files: Sequence[Path]) -> dict[Path, int]:
    found = {}
    for path in files:
        try:
            found[path] = path.stat().st_mtime_ns
        except OSError:  # being written anew
            found[path] = 0
    return found


def _started(arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "octolog.cli", *arguments])


def _ended(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
