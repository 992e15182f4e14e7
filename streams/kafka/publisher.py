"""Appending records at least once: what clients, arms and the prober use."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from octolog.domain.errors import BrokerUnavailable
from octolog.ports import LogRecord
from streams.kafka.config import KafkaConfig
from streams.kafka.errors import translated

Done = Callable[[LogRecord | Exception], None]


class KafkaPublisher:
    """An idempotent producer.

    Args:
        config: Where Kafka is.
        linger_ms: How long a record may wait for company, milliseconds.
        background: True: a thread of its own serves the callbacks; False: `poll` and `flush` do.
    """

    def __init__(self, config: KafkaConfig, *, linger_ms: float = 0.5, background: bool = False) -> None:
        self._producer = Producer(config.producer(linger_ms=linger_ms))
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
        while True:
            try:
                self._producer.produce(
                    topic,
                    value,
                    key.encode(),
                    headers=None if headers is None else dict(headers),
                    on_delivery=None if done is None else _reporting(done),
                )
            except BufferError:
                self._producer.poll(0.05)
            except KafkaException as error:
                raise translated(error, f"writing to {topic}") from error
            else:
                if self._thread is None:
                    self._producer.poll(0)
                return

    def poll(self, timeout_s: float) -> int:
        """Serve callbacks for at most `timeout_s` seconds; returns how many."""
        return int(self._producer.poll(timeout_s))

    def flush(self, timeout_s: float) -> None:
        """Wait until everything is in the log.

        Raises:
            BrokerUnavailable: When it is not after `timeout_s` seconds.
        """
        left = self._producer.flush(timeout_s)
        if left:
            raise BrokerUnavailable(f"{left} records are not in the log after {timeout_s:.0f} s")

    def close(self) -> None:
        """Flush and release the connection."""
        self._producer.flush(5)
        self._closed.set()
        if self._thread is not None:
            self._thread.join(1.0)

    def _serve(self) -> None:
        while not self._closed.is_set():
            self._producer.poll(0.1)


def _reporting(done: Done) -> Callable[[KafkaError | None, Message], None]:
    def report(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            done(BrokerUnavailable(f"not written to {message.topic()}: {error.str()}"))
            return
        place = message.topic() or "", message.partition() or 0, message.offset() or 0
        done(LogRecord(*place, message.timestamp()[1], None, None))

    return report
