"""Record headers: CloudEvents in binary mode, and the W3C trace context.

Everything derives from the record, so a record written twice is written alike. A tree is one trace.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256

from octolog.domain.ids import TaskId


@lru_cache(maxsize=4_096)
def _time(at_ms: int) -> str:
    return (
        datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


@lru_cache(maxsize=8_192)
def trace_id(root_id: TaskId) -> str:
    """The trace of a tree: 32 hex digits of SHA-256 of its id."""
    return sha256(root_id.encode()).hexdigest()[:32]


def event_headers(
    event_id: str, event_type: str, source: str, at_ms: int, root_id: TaskId
) -> dict[str, str | bytes]:
    """Headers of a record that is about a tree.

    Args:
        event_id: Unique within `source`.
        event_type: The record's full name.
        source: Which writer.
        at_ms: When, milliseconds since the epoch.
        root_id: The tree.
    """
    span = sha256(event_id.encode()).hexdigest()[:16]
    return {
        "ce_specversion": "1.0",
        "ce_id": event_id,
        "ce_type": event_type,
        "ce_source": source,
        "ce_time": _time(at_ms),
        "content-type": "application/avro",
        "traceparent": f"00-{trace_id(root_id)}-{span}-01",
    }
