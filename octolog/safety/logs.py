"""Log lines without personal data and secrets: for structlog, and for the standard library's logging."""

from __future__ import annotations

import logging
import traceback
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any

from octolog.safety.redact import redact

__all__ = ["RedactingFormatter", "crash_report", "redact_event"]


class RedactingFormatter(logging.Formatter):
    """Formats a record as usual, traceback and all, then redacts what it made."""

    def format(self, record: logging.LogRecord) -> str:
        """The line that is written."""
        return redact(super().format(record)).text


def crash_report(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> str:
    """A traceback as it may be printed."""
    return redact("".join(traceback.format_exception(kind, error, trace))).text


def redact_event(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: stands last before the renderer and redacts every text of the event."""
    for key, value in event.items():
        event[key] = _redacted(value, key)
    return event


def _redacted(value: Any, key: str) -> Any:
    match value:
        case str():
            return redact(value, key=key).text
        case dict():
            return {name: _redacted(item, str(name)) for name, item in value.items()}
        case list() | tuple():
            return [_redacted(item, key) for item in value]
        case BaseException():
            return redact(f"{type(value).__name__}: {value}").text
        case _:
            return value
