"""Appending records at least once: what clients, arms and the prober use."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from octolog.domain.errors import BrokerUnavailable
from octolog.ports import LogRecord
from streams.kafka.config import KafkaConfig
from streams.kafka.errors import translated

Done = Callable[[LogRecord | Exception], None]

_UNKNOWN: Final = frozenset(
    {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}  # noqa: SLF001 -- no public names
)
_STARTING_S: Final = 30.0
"""A broker that starts says for a moment that it knows no topic, and the client takes its word: the record was not
sent, and is sent again. As long as librdkafka itself waits for a topic it has not seen yet."""
_PAUSE_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class _Record:
    topic: str
    key: bytes
    value: bytes
    headers: dict[str, str | bytes | None] | None
    done: Done | None
    until_s: float


class KafkaPublisher:
    """An idempotent producer.

    Args:
        config: Where Kafka is.
        linger_ms: How long a record may wait for company, milliseconds.
        background: True: a thread of its own serves the callbacks; False: `poll` and `flush` do.
    """

    def __init__(self, config: KafkaConfig, *, linger_ms: float = 0.5, background: bool = False) -> None:
        self._producer = Producer(config.producer(linger_ms=linger_ms))
        self._again: deque[_Record] = deque()
        self._closed = threading.Event()
        self._thread = (
            threading.Thread(target=self._serve, name="publisher", daemon=True) if background else None
        )
        if self._thread is not None:
            self._thread.start()

    def publish(
        self,
        topic: str,
        key: str,
        value: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        done: Done | None = None,
    ) -> None:
        """Append one record; `done` is called from `poll` or `flush` with where it lies, or why it does not.

        What it is told has neither key nor value: the caller knows them.
        """
        plain: dict[str, str | bytes | None] | None = None if headers is None else {**headers}
        record = _Record(topic, key.encode(), value, plain, done, time.monotonic() + _STARTING_S)
        self._send(record)
        if self._thread is None:
            self.poll(0)

    def poll(self, timeout_s: float) -> int:
        """Serve callbacks for at most `timeout_s` seconds; returns how many."""
        served = int(self._producer.poll(timeout_s))
        self._send_again()
        return served

    def flush(self, timeout_s: float) -> None:
        """Wait until everything is in the log.

        Raises:
            BrokerUnavailable: When it is not after `timeout_s` seconds.
        """
        until_s = time.monotonic() + timeout_s
        left = self._producer.flush(timeout_s)
        while self._again and time.monotonic() < until_s:
            time.sleep(_PAUSE_S)
            self._send_again()
            left = self._producer.flush(max(0.0, until_s - time.monotonic()))
        left += len(self._again)
        if left:
            raise BrokerUnavailable(f"{left} records are not in the log after {timeout_s:.0f} s")

    @property
    def waiting(self) -> int:
        """Records that are sent again because the broker knew no such topic."""
        return len(self._again)

    def close(self) -> None:
        """Flush and release the connection."""
        with suppress(BrokerUnavailable):
            self.flush(5)
        self._closed.set()
        if self._thread is not None:
            self._thread.join(1.0)

    def _serve(self) -> None:
        while not self._closed.is_set():
            self._producer.poll(_PAUSE_S)
            self._send_again()

    def _send(self, record: _Record) -> None:
        def report(error: KafkaError | None, message: Message) -> None:
            if error is None:
                if record.done is not None:
                    place = record.topic, message.partition() or 0, message.offset() or 0
                    record.done(LogRecord(*place, message.timestamp()[1], None, None))
            elif error.code() in _UNKNOWN and time.monotonic() < record.until_s:
                self._again.append(record)
            elif record.done is not None:
                record.done(BrokerUnavailable(f"not written to {record.topic}: {error.str()}"))

        while True:
            try:
                self._producer.produce(
                    record.topic, record.value, record.key, headers=record.headers, on_delivery=report
                )
            except BufferError:
                self._producer.poll(0.05)
            except KafkaException as error:
                if error.args[0].code() not in _UNKNOWN or time.monotonic() > record.until_s:
                    raise translated(error, f"writing to {record.topic}") from error
                self._again.append(record)
                return
            else:
                return

    def _send_again(self) -> None:
        """In the order they failed in: a partition's records keep theirs among each other."""
        for _ in range(len(self._again)):
            record = self._again.popleft()
            try:
                self._send(record)
            except BrokerUnavailable as error:
                if record.done is not None:
                    record.done(error)
