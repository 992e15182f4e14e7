"""How far a consumer group has come, asked without joining it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from confluent_kafka import Consumer, KafkaException, TopicPartition

from octolog.domain.errors import NotFound
from octolog.ports import Positions
from streams.kafka.config import REQUEST_TIMEOUT_S, KafkaConfig
from streams.kafka.errors import translated


def committed(config: KafkaConfig, group: str, topics: Sequence[str]) -> Positions:
    """The group's next offset in every partition of `topics`; 0 where it has committed none.

    Raises:
        BrokerUnavailable: When Kafka does not answer within 10 s.
        NotFound: When a topic does not exist.
    """
    with closing(Consumer(config.consumer(group))) as consumer:
        try:
            known = consumer.list_topics(timeout=REQUEST_TIMEOUT_S).topics
            missing = [topic for topic in topics if topic not in known]
            if missing:
                raise NotFound(f"topic {missing[0]} does not exist; run `octolog topics apply`")
            asked = [TopicPartition(topic, number) for topic in topics for number in known[topic].partitions]
            found = consumer.committed(asked, timeout=REQUEST_TIMEOUT_S)
        except KafkaException as error:
            raise translated(error, f"asking for the positions of {group}") from error
    return {(tp.topic, tp.partition): max(0, tp.offset) for tp in found}
