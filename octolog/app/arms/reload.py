"""Runs a command again whenever a source file changes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from octolog.app.processes import Stop

__all__ = ["Watched", "run_again"]

_LOOK_S: Final = 0.3
_STOP_S: Final = 10.0


class Watched:
    """Source files and when they were last written.

    Args:
        files: Lists them; asked again after every change, because a changed file may use one that is new.
    """

    def __init__(self, files: Callable[[], Sequence[Path]]) -> None:
        self._files = files
        self._seen = _stamps(files())

    def changed(self) -> list[str]:
        """Names of the files that changed since the last look, sorted."""
        now = _stamps(list(self._seen))
        found = sorted({path.name for path, stamp in now.items() if stamp != self._seen[path]})
        if found:
            self._seen = {**_stamps(self._files()), **now}
        return found


def run_again(
    arguments: Sequence[str], files: Callable[[], Sequence[Path]], told: Callable[[str], None]
) -> None:
    """Run `octolog ARGUMENTS` until SIGTERM or SIGINT, anew after every change.

    A run that ends by itself is not started again until something changes: it said why.
    """
    stop, watched, said = Stop(), Watched(files), False
    child = _started(arguments)
    try:
        while not stop():
            time.sleep(_LOOK_S)
            changed = watched.changed()
            if changed:
                said = False
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
