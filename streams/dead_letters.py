"""Dead letters: what could not be used, as it was, with its place and the reason."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable
from typing import Any, Final

from octolog.domain.upkeep import DeadLetter
from octolog.ports import LogRecord, Publisher
from schemas.codec import Codec
from streams.topics import ARMS, DEAD_LETTERS, EPISODES, INPUTS, MEMORY

MAX_LETTER_BYTES: Final = 24 * 1024 * 1024
"""Of a longer record the dead letter names the place alone; there it lies untouched."""

_REASON_CHARS: Final = 2_000
_PROCESSOR: Final = "task-processor"
_REPORTS: Final = {
    **dict.fromkeys((*INPUTS, ARMS), _PROCESSOR),
    **dict.fromkeys((MEMORY, EPISODES), "memory"),
    DEAD_LETTERS: "",
}
"""Topics that several consumers read, and the one that reports what is bad in them: of a bad record there is one
letter, by whoever refuses most. About dead letters there are none."""


def dead_letter(
    record: LogRecord, headers: Iterable[tuple[str, Any]], reason: str, *, error: str, consumer: str
) -> DeadLetter:
    """A record nobody could use.

    Args:
        record: The record.
        headers: Its headers; values are bytes or None.
        reason: Why, in words.
        error: Name of the error's class.
        consumer: Who refused.
    """
    plain = [[name, None if value is None else b64encode(value).decode()] for name, value in headers]
    headers_json, line = json.dumps(plain, separators=(",", ":")), reason.replace("\n", " ")[:_REASON_CHARS]
    key, value = record.key, record.value
    size_bytes = len(key or b"") + len(value or b"") + len(headers_json)
    if size_bytes > MAX_LETTER_BYTES:
        key, value, headers_json = None, None, "[]"
        line += f"; {size_bytes} bytes, too many to be repeated here"
    return DeadLetter(
        source_topic=record.topic,
        source_partition=record.partition,
        source_offset=record.offset,
        source_timestamp_ms=max(0, record.timestamp_ms),
        consumer=consumer,
        reason=line,
        error=error,
        key=key,
        value=value,
        headers_json=headers_json,
    )


class PublishedDeadLetters:
    """Publishes what a reader could not use, unless another consumer reports on that topic.

    Args:
        publisher: Appends the letters.
        codec: Encodes them.
        consumer: Who refused.
    """

    def __init__(self, publisher: Publisher, codec: Codec, consumer: str) -> None:
        self._publisher, self._codec, self._consumer = publisher, codec, consumer

    def refuse(self, record: LogRecord, reason: str, error: str) -> None:
        """Keep the untouched bytes with the reason; nobody kept the headers for a reader outside."""
        if _REPORTS.get(record.topic, self._consumer) != self._consumer:
            return
        letter = dead_letter(record, (), reason, error=error, consumer=self._consumer)
        key = f"{record.topic}/{record.partition}/{record.offset}"
        self._publisher.publish(DEAD_LETTERS, key, self._codec.encode(letter))
