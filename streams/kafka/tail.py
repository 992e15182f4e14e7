"""Following a small topic from its beginning: the registry, for instance."""

from __future__ import annotations

from confluent_kafka import Consumer, TopicPartition

from octolog.ports import LogRecord
from streams.kafka.config import KafkaConfig
from streams.kafka.reader import KafkaLogReader, records


class Tail:
    """All records of a topic's first partition, in order, and then what comes.

    Args:
        config: Where Kafka is.
        topic: A topic of one partition.
    """

    def __init__(self, config: KafkaConfig, topic: str) -> None:
        self._config, self._topic = config, topic
        self._consumer = Consumer(config.consumer("octolog-tail", fetch_wait_max_ms=500))
        self._next = 0

    def catch_up(self) -> list[LogRecord]:
        """Everything up to the end as it is now; `poll` goes on from there."""
        reader = KafkaLogReader(self._config)
        try:
            ends = reader.ends([self._topic])
            found = [r for batch in reader.read({(self._topic, 0): 0}, until=ends) for r in batch]
        finally:
            reader.close()
        self._next = ends[self._topic, 0]
        self._consumer.assign([TopicPartition(self._topic, 0, self._next)])
        return found

    def poll(self) -> list[LogRecord]:
        """What has come since; never waits."""
        return records(self._consumer.consume(500, 0))

    def close(self) -> None:
        """Release the connection."""
        self._consumer.close()
