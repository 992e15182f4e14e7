"""Child processes of a node: their files, their signals, their ends."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

_PR_SET_PDEATHSIG: Final = 1

NODE_VARIABLE: Final = "OCTOLOG_WORKER"
SPARE: Final = "spare"
"""Instead of kind and name: load what a processor needs, and wait on stdin to be told who to be."""


class StateFile:
    """What a process says about itself: a small JSON file, replaced whole at every change.

    Args:
        path: Where; the folder is made when missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, **state: Any) -> None:
        """Replace the file."""
        document = {"pid": os.getpid(), "written_s": time.time(), **state}
        temporary = self._path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps(document, sort_keys=True))
        temporary.replace(self._path)

    def read(self) -> dict[str, Any] | None:
        """The file's content; None when there is none, or it is torn."""
        try:
            content = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return None
        return content if isinstance(content, dict) else None

    def remove(self) -> None:
        """Delete the file."""
        with suppress(OSError):
            self._path.unlink()


class Stop:
    """Turns SIGTERM and SIGINT into a flag that loops look at."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def __call__(self) -> bool:
        """True once the process was asked to stop."""
        return self.asked

    def _ask(self, _number: int, _frame: object) -> None:
        self.asked = True


def die_with_parent() -> None:
    """Ask the kernel to end this process with its parent (Linux); elsewhere nothing."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() == 1:
        os.kill(os.getpid(), signal.SIGTERM)


def wait_until(condition: Callable[[], bool], timeout_s: float, *, pause_s: float = 0.02) -> bool:
    """Poll until the condition holds; False when it does not within `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause_s)
    return True
