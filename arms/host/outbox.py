"""Reports on their way into the log: encoded, published, published again until they are there."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from time import gmtime, strftime, time
from typing import Any, Final

from octolog.domain.errors import OctologError
from octolog.ports import LogRecord, Publisher
from schemas.codec import Codec

__all__ = ["Outbox"]

_log: Final = logging.getLogger(__name__)
_RETRY_S: Final = 1.0


class Outbox:
    """Publishes records in the Confluent wire format with CloudEvents headers (binary mode).

    Lives on the event loop; the publisher's answers come on another thread and are handed over in batches, because
    waking the loop costs more than an answer.
    """

    def __init__(self, publisher: Publisher, codec: Codec, loop: asyncio.AbstractEventLoop) -> None:
        self._publisher, self._codec, self._loop = publisher, codec, loop
        self._answers: deque[Callable[[], None]] = deque()
        self._woken = False
        self._second, self._stamp = -1, ""
        self.waiting = 0

    def send(
        self,
        topic: str,
        key: str,
        record: Any,
        *,
        event_id: str,
        source: str,
        trace: str | None = None,
        then: Callable[[LogRecord], None] | None = None,
    ) -> None:
        """Publish a record; `then` is called on the loop, with where it lies, once it is in the log.

        Args:
            topic: Its topic.
            key: Its key.
            record: One of the catalog.
            event_id: CloudEvents id; the same report always has the same one.
            source: The arm.
            trace: W3C traceparent of the assignment, if it had one.
            then: Called on the loop.
        """
        headers = {
            "ce_id": event_id,
            "ce_type": record.schema_name,
            "ce_source": f"/octolog/arms/{source}",
            "ce_specversion": "1.0",
            "ce_time": self._now(),
        }
        if trace is not None:
            headers["traceparent"] = trace
        value = self._codec.encode(record)
        self.waiting += 1
        self._publish(topic, key, value, headers, then)

    def _publish(
        self,
        topic: str,
        key: str,
        value: bytes,
        headers: dict[str, str],
        then: Callable[[LogRecord], None] | None,
    ) -> None:
        def done(answer: LogRecord | Exception) -> None:
            if isinstance(answer, Exception):
                self._hand_over(lambda: again(answer))
            else:
                self._hand_over(lambda: arrived(answer))

        def arrived(record: LogRecord) -> None:
            self.waiting -= 1
            if then is not None:
                then(record)

        def again(error: Exception) -> None:
            _log.warning("%s: a report is not in the log yet (%s); trying again", topic, error)
            self._loop.call_later(_RETRY_S, self._publish, topic, key, value, headers, then)

        try:
            self._publisher.publish(topic, key, value, headers=headers, done=done)
        except OctologError as error:
            again(error)

    def _hand_over(self, answer: Callable[[], None]) -> None:
        self._answers.append(answer)
        if not self._woken:
            self._woken = True
            try:
                self._loop.call_soon_threadsafe(self._drain)
            except RuntimeError:  # the loop is closed: the process ends, the assignment comes again
                _log.debug("an answer came after the end")

    def _drain(self) -> None:
        # Cleared first: an answer that comes from here on wakes the loop again.
        self._woken = False
        answers = self._answers
        while answers:
            answers.popleft()()

    def _now(self) -> str:
        now = time()
        second = int(now)
        if second != self._second:
            self._second, self._stamp = second, strftime("%Y-%m-%dT%H:%M:%S", gmtime(second))
        return f"{self._stamp}.{int((now - second) * 1000):03d}Z"
