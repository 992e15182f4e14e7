"""Dead letters of readers outside the task processor."""

from __future__ import annotations

from octolog.domain.upkeep import DeadLetter
from octolog.ports import LogRecord, Publisher
from schemas.codec import Codec
from streams.topics import ARMS, DEAD_LETTERS, INPUTS


class PublishedDeadLetters:
    """Publishes what a reader could not use, unless the task processor reports on that topic already.

    Args:
        publisher: Appends the letters.
        codec: Encodes them.
        consumer: Who refused.
    """

    def __init__(self, publisher: Publisher, codec: Codec, consumer: str) -> None:
        self._publisher, self._codec, self._consumer = publisher, codec, consumer

    def refuse(self, record: LogRecord, reason: str, error: str) -> None:
        """Keep the untouched bytes with the reason."""
        if record.topic in (*INPUTS, ARMS, DEAD_LETTERS):
            return
        letter = DeadLetter(
            source_topic=record.topic,
            source_partition=record.partition,
            source_offset=record.offset,
            source_timestamp_ms=max(0, record.timestamp_ms),
            consumer=self._consumer,
            reason=reason.replace("\n", " ")[:2_000],
            error=error,
            key=record.key,
            value=record.value,
            headers_json="[]",
        )
        key = f"{record.topic}/{record.partition}/{record.offset}"
        self._publisher.publish(DEAD_LETTERS, key, self._codec.encode(letter))
