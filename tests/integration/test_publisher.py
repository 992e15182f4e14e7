"""A publisher whose topic is away for a moment, as a broker that starts says of every topic."""

from __future__ import annotations

import time
from typing import Any

from confluent_kafka.admin import AdminClient

from octolog.ports import LogRecord
from streams.kafka.admin import KafkaAdmin, TopicSpec
from streams.kafka.config import KafkaConfig
from streams.kafka.publisher import KafkaPublisher

TOPIC = "octolog.test.away"
SPEC = TopicSpec(TOPIC, 1, 1, {})


def test_a_record_waits_for_a_topic_that_was_there_and_comes_back(kafka: Any) -> None:
    # In its first 30 s with a topic, librdkafka itself waits; later it takes the broker's word at once.
    config = KafkaConfig(kafka.bootstrap_servers, {"topic.metadata.propagation.max.ms": "0"})
    admin, client = KafkaAdmin(config), AdminClient(KafkaConfig(kafka.bootstrap_servers).client())
    admin.create([SPEC])
    publisher = KafkaPublisher(config)
    answers: list[LogRecord | Exception] = []
    publisher.publish(TOPIC, "a", b"before", done=answers.append)
    publisher.flush(60)
    client.delete_topics([TOPIC])[TOPIC].result(60)

    publisher.publish(TOPIC, "a", b"while away", done=answers.append)
    _until_it_is_known_to_be_away(publisher)
    publisher.publish(TOPIC, "a", b"while known to be away", done=answers.append)
    admin.create([SPEC])
    publisher.flush(60)
    publisher.close()

    assert [(type(answer), getattr(answer, "offset", None)) for answer in answers] == [
        (LogRecord, 0), (LogRecord, 0), (LogRecord, 1)
    ]  # fmt: skip


def _until_it_is_known_to_be_away(publisher: KafkaPublisher) -> None:
    until_s = time.monotonic() + 60
    while not publisher.waiting and time.monotonic() < until_s:
        publisher.poll(0.05)
