"""A fresh embedded broker with octolog's topics, for one run; gone afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import psutil
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType

from deploy.kafka import EmbeddedKafka
from octolog.app.topics import assignment_topic, topic_plan
from octolog.domain.arm import ArmCapability, ArmRegistered
from octolog.domain.ids import ArmId
from schemas import catalog
from schemas.codec import Codec
from schemas.registry import TopicSchemaIds
from streams.kafka.admin import KafkaAdmin, TopicSpec
from streams.kafka.config import KafkaConfig
from streams.kafka.publisher import KafkaPublisher
from streams.kafka.reader import KafkaLogReader
from streams.kafka.schema_topic import KafkaSchemaTopic
from streams.topics import ARMS, DEAD_LETTERS, TASKS

PARTITIONS: Final = 4
_INTERNAL: Final = ("__transaction_state", "__consumer_offsets")


@dataclass(slots=True)
class Cluster:
    """A running broker.

    Attributes:
        bootstrap_servers: Where it is.
        folder: For whatever else the run leaves; deleted with it.
        pid: The broker's process.
        topic_config: Set on every topic made, assignment topics included.
        ids: Schema ids, registered here.
        codec: With those ids.
    """

    bootstrap_servers: str
    folder: Path
    pid: int
    topic_config: Mapping[str, str] = field(default_factory=dict[str, str])
    ids: TopicSchemaIds = field(init=False)
    codec: Codec = field(init=False)

    @property
    def kafka(self) -> KafkaConfig:
        """Where Kafka is, for adapters."""
        return KafkaConfig(self.bootstrap_servers)

    def create(self, specs: list[TopicSpec]) -> None:
        """Make topics."""
        KafkaAdmin(self.kafka).create(
            [replace(spec, config={**spec.config, **self.topic_config}) for spec in specs]
        )

    def register_arm(self, arm_id: str) -> ArmRegistered:
        """Put an arm that nobody hosts into the registry, as its first entry, with the topic of its assignments."""
        self.create([assignment_topic(arm_id)])
        arm = ArmRegistered(
            ArmCapability(ArmId(arm_id), arm_id, "", (arm_id,), 1, timeout_seconds=300), "bench"
        )
        publisher = KafkaPublisher(self.kafka)
        publisher.publish(ARMS, arm_id, self.codec.encode(arm))
        publisher.close()
        return arm

    def cpu_s(self) -> float:
        """Processor time of the broker so far, seconds."""
        return cpu_s(self.pid)

    def committed(self, topic: str) -> list[Any]:
        """Every committed record of a topic, partition by partition, as messages."""
        reader = KafkaLogReader(self.kafka)
        try:
            ends = reader.ends([topic])
            return [r for batch in reader.read(dict.fromkeys(ends, 0), until=ends) for r in batch]
        finally:
            reader.close()

    def dead_letters(self) -> int:
        """Records nobody could use."""
        return len(self.committed(DEAD_LETTERS))

    def flush_every_record(self) -> None:
        """Have the broker flush its own topics, too, to disk before it answers: positions, transactions' states."""
        admin = AdminClient(self.kafka.client())
        entry = ConfigEntry("flush.messages", "1", incremental_operation=AlterConfigOpType.SET)
        found = admin.list_topics(timeout=10).topics
        names = [name for name in _INTERNAL if name in found]
        resources = [ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry]) for name in names]
        for done in admin.incremental_alter_configs(resources).values() if resources else ():
            done.result()


class Facts:
    """Follows the facts as a reader that sees only what is committed; decodes nothing.

    Args:
        cluster: Where.
        topic: The topic of facts.
    """

    def __init__(self, cluster: Cluster, topic: str = TASKS) -> None:
        self._consumer = Consumer(
            cluster.kafka.consumer("bench-observer", fetch_wait_max_ms=100, queued_max_messages_kbytes=65_536)
        )
        self._consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
        self.seen = 0

    def poll(self, timeout_s: float) -> list[Any]:
        """What has come: at least one fact, or none after `timeout_s` seconds."""
        first = self._consumer.poll(timeout_s)
        if first is None:
            return []
        found = [m for m in (first, *self._consumer.consume(10_000, 0)) if m.error() is None]
        self.seen += len(found)
        return found

    def close(self) -> None:
        """Release the connection."""
        self._consumer.close()


@contextmanager
def cluster(
    *, topic_config: Mapping[str, str] | None = None, inputs_config: Mapping[str, str] | None = None
) -> Iterator[Cluster]:
    """Start a broker with every topic and schema; stop and delete it at the end.

    Args:
        topic_config: Set on every topic, e.g. `flush.messages`; then the broker's own topics flush too.
        inputs_config: Set on the topics of contracts and results.
    """
    with tempfile.TemporaryDirectory(prefix="octolog-bench-") as folder:
        broker = EmbeddedKafka(Path(folder) / "home", die_with_parent=True)
        info = broker.start()
        try:
            found = Cluster(info.bootstrap_servers, Path(folder), info.pid, dict(topic_config or {}))
            wanted = [
                replace(spec, config={**spec.config, **(inputs_config or {})})
                if spec.name in ("octolog.contracts", "octolog.results")
                else spec
                for spec in topic_plan(PARTITIONS).topics
            ]
            found.create(wanted)
            found.ids = schema_ids(found.kafka)
            found.codec = Codec(found.ids)
            if topic_config and "flush.messages" in topic_config:
                found.flush_every_record()
            yield found
        finally:
            broker.stop()


def schema_ids(kafka: KafkaConfig) -> TopicSchemaIds:
    """Schema ids from the cluster's own topic, every record of the catalog registered."""
    ids = TopicSchemaIds(KafkaSchemaTopic(kafka))
    ids.register_all({name: catalog.schema_json(name) for name in catalog.TOP_LEVEL})
    return ids


def cpu_s(pid: int) -> float:
    """Processor time of a process and its children so far, seconds."""
    process = psutil.Process(pid)
    times = process.cpu_times()
    below = sum(sum(child.cpu_times()[:2]) for child in process.children(recursive=True))
    return float(times.user + times.system + below)
