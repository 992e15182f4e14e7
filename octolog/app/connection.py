"""A way to the log: where Kafka is, and what reads and writes it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from types import TracebackType
from typing import Protocol, Self, TypeVar

from deploy.kafka import EmbeddedKafka
from octolog.app.settings import Settings
from octolog.app.topics import assignment_topic, topic_plan
from octolog.domain.errors import BrokerUnavailable
from schemas import catalog
from schemas.codec import Codec
from schemas.registry import SchemaIds, TopicSchemaIds
from streams.kafka.admin import KafkaAdmin
from streams.kafka.config import KafkaConfig
from streams.kafka.publisher import KafkaPublisher
from streams.kafka.reader import BATCH, KafkaLogReader
from streams.kafka.schema_topic import KafkaSchemaTopic
from streams.topics import TASKS


class _Closable(Protocol):
    def close(self) -> None: ...


_C = TypeVar("_C", bound=_Closable)


class Connection:
    """Readers, publishers and codecs for one cluster; closes what it handed out.

    Args:
        settings: Which cluster: the one by address, else the embedded broker of this home if it runs.

    Raises:
        BrokerUnavailable: When there is no cluster to talk to; says how to get one.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.bootstrap_servers = settings.bootstrap_servers or _embedded(settings)
        self._open: list[_Closable] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every reader and publisher handed out."""
        while self._open:
            self._open.pop().close()

    @property
    def kafka(self) -> KafkaConfig:
        """Where Kafka is, for adapters."""
        return KafkaConfig(self.bootstrap_servers, self.settings.kafka)

    def admin(self) -> KafkaAdmin:
        """Creates and lists topics."""
        return KafkaAdmin(self.kafka)

    def reader(self, batch: int = BATCH) -> KafkaLogReader:
        """Reads committed records, so many to a batch at most."""
        return self._keep(KafkaLogReader(self.kafka, batch=batch))

    def publisher(self, *, linger_ms: float = 0.5, background: bool = False) -> KafkaPublisher:
        """Appends records; `background` gives it a thread that serves callbacks."""
        return self._keep(KafkaPublisher(self.kafka, linger_ms=linger_ms, background=background))

    def codec(self) -> Codec:
        """Encodes and decodes with this cluster's schema ids."""
        return Codec(self.schema_ids)

    @cached_property
    def schema_ids(self) -> SchemaIds:
        """Schema ids, every record of the catalog registered."""
        texts = {name: catalog.schema_json(name) for name in catalog.TOP_LEVEL}
        if self.settings.schema_registry_url:
            from schemas.registry import HttpSchemaIds

            remote = self._keep(HttpSchemaIds(self.settings.schema_registry_url))
            for name, text in texts.items():
                remote.register(name, text)
            return remote
        ids = TopicSchemaIds(self._keep(KafkaSchemaTopic(self.kafka)))
        ids.register_all(texts)
        return ids

    def ensure_topics(self, partitions: int | None = None) -> list[str]:
        """Create what `deploy/topics.yaml` asks for and is missing; returns the names created.

        Args:
            partitions: Of the topics keyed by task. None: as many as they have, or the setting's when they are
                made now, because a tree's partition must never change.

        Raises:
            SettingsError: When a topic exists with another number of partitions.
        """
        admin = self.admin()
        if partitions is None:
            made = admin.topics().get(TASKS)
            partitions = made.partitions if made else self.settings.partitions
        return admin.create(topic_plan(partitions, self.settings.replication_factor).topics)

    def ensure_assignment_topic(self, arm_id: str) -> None:
        """Create an arm's assignment topic if it is missing."""
        self.admin().create([assignment_topic(arm_id, self.settings.replication_factor)])

    def topics(self) -> list[Mapping[str, object]]:
        """Every octolog topic as it is: name, partitions, records' end offsets summed, what it carries."""
        carries = topic_plan(self.settings.partitions).carries
        reader = self.reader()
        rows: list[Mapping[str, object]] = []
        for name, state in sorted(self.admin().topics().items()):
            if name in carries or name.startswith("octolog."):
                end = sum(reader.ends([name]).values())
                what = carries.get(name, "attempts for one arm")
                rows.append(
                    {"topic": name, "partitions": state.partitions, "end_offsets": end, "carries": what}
                )
        return rows

    def _keep(self, opened: _C) -> _C:
        self._open.append(opened)
        return opened


def _embedded(settings: Settings) -> str:
    running = EmbeddedKafka(settings.home, port=settings.broker_port).find_running()
    if running is None:
        raise BrokerUnavailable(
            "no node runs here; start one with `octolog up`, or set OCTOLOG_BOOTSTRAP_SERVERS"
        )
    return running.bootstrap_servers
