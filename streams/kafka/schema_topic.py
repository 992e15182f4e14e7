"""The `_schemas` topic, for schema ids without a registry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from octolog.domain.errors import BrokerUnavailable
from octolog.ports import LogRecord
from schemas.registry import TopicRecord
from streams.kafka.config import REQUEST_TIMEOUT_S, KafkaConfig
from streams.kafka.publisher import KafkaPublisher
from streams.kafka.reader import KafkaLogReader

SCHEMAS_TOPIC = "_schemas"


class KafkaSchemaTopic:
    """`SchemaTopic` on a real topic."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._reader = KafkaLogReader(config)

    def read_from(self, offset: int) -> Iterable[TopicRecord]:
        """Records from `offset` to the end of the log as it is now."""
        ends = self._reader.ends([SCHEMAS_TOPIC])
        begin = self._reader.begins([SCHEMAS_TOPIC])[SCHEMAS_TOPIC, 0]
        start = {(SCHEMAS_TOPIC, 0): max(offset, begin)}
        for batch in self._reader.read(start, until=ends):
            for record in batch:
                yield TopicRecord(record.offset, record.key, record.value)

    def append(self, records: Sequence[tuple[bytes, bytes]]) -> None:
        """Write keys and values in this order."""
        publisher = KafkaPublisher(self._config)
        failures: list[Exception] = []

        def done(outcome: LogRecord | Exception) -> None:
            if isinstance(outcome, Exception):
                failures.append(outcome)

        for key, value in records:
            publisher.publish(SCHEMAS_TOPIC, key.decode(), value, done=done)
        publisher.flush(REQUEST_TIMEOUT_S)
        if failures:
            raise BrokerUnavailable(str(failures[0]))

    def close(self) -> None:
        """Release the connection."""
        self._reader.close()
