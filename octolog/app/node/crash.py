"""The last words of a process that dies of what nobody expected: a traceback, without personal data and secrets."""

from __future__ import annotations

import sys
import threading
from types import TracebackType

from octolog.safety.logs import crash_report

__all__ = ["redact_crashes"]


def redact_crashes() -> None:
    """From now on, what this process and its threads print when they die goes through the gate."""
    sys.excepthook = _died
    threading.excepthook = _thread_died


def _died(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(crash_report(kind, error, trace))


def _thread_died(died: threading.ExceptHookArgs) -> None:
    if died.exc_type is SystemExit:  # as Python itself does
        return
    name = died.thread.name if died.thread is not None else "a thread"
    sys.stderr.write(f"in {name}: {crash_report(died.exc_type, died.exc_value, died.exc_traceback)}")
