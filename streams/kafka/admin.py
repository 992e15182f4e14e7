"""Topics: what `deploy/topics.yaml` asks for, applied to a cluster."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ClusterMetadata, OffsetSpec, TopicMetadata  # type: ignore[attr-defined]  # not listed
from confluent_kafka.cimpl import NewTopic

from octolog.domain.errors import BrokerUnavailable, OctologError, SettingsError
from streams.kafka.config import REQUEST_TIMEOUT_S, KafkaConfig
from streams.kafka.errors import Refusals, asked, translated

_CLUSTERS: Final = -1
"""A replication factor that leaves the number to the cluster."""
_KNOWN_S: Final = 30.0
_KNOWN_PAUSE_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it should be.

    Attributes:
        name: Its name.
        partitions: How many.
        replication_factor: Copies of each record; None: the cluster's default.
        config: Topic properties.
    """

    name: str
    partitions: int
    replication_factor: int | None = None
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as it is.

    Attributes:
        name: Its name.
        partitions: How many.
    """

    name: str
    partitions: int


class KafkaAdmin:
    """Creates and lists topics.

    Raises:
        BrokerUnavailable: When Kafka does not answer within 10 s.
    """

    def __init__(self, config: KafkaConfig) -> None:
        self._refusals = Refusals()
        properties: dict[str, Any] = {**config.client(), "error_cb": self._refusals.hear}
        self._client = AdminClient(properties)

    def cluster_id(self) -> str:
        """The cluster's id; differs between two clusters, and after a new format of the same one."""
        try:
            return str(self._client.describe_cluster(request_timeout=REQUEST_TIMEOUT_S).result().cluster_id)
        except KafkaException as error:
            raise self._translated(error, "asking for the cluster id") from error

    def topics(self) -> dict[str, TopicState]:
        """Every topic of the cluster by name."""
        return {name: TopicState(name, len(topic.partitions)) for name, topic in self._listed().items()}

    def high_watermarks(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """The end of each partition with open transactions counted in; a committed reader may see less."""
        latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked = {TopicPartition(topic, number): latest for number in partitions}
        futures = self._client.list_offsets(
            asked, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=REQUEST_TIMEOUT_S
        )
        try:
            return {place.partition: future.result().offset for place, future in futures.items()}
        except KafkaException as error:
            raise self._translated(error, f"asking for the end of {topic}") from error

    def static_members(self, group: str) -> set[str]:
        """Names of the static members that a consumer group has now; none for a group that is not there."""
        futures = self._client.describe_consumer_groups([group], request_timeout=REQUEST_TIMEOUT_S)
        try:
            members = futures[group].result().members
        except KafkaException as error:
            if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                return set()
            raise self._translated(error, f"asking for the members of {group}") from error
        return {member.group_instance_id for member in members if member.group_instance_id}

    def create(self, specs: Iterable[TopicSpec]) -> list[str]:
        """Create what is missing; returns the names created. A topic of another size is an error.

        Raises:
            SettingsError: When a topic exists with another number of partitions.
        """
        existing = self.topics()
        wanted = list(specs)
        for spec in wanted:
            state = existing.get(spec.name)
            if state is not None and state.partitions != spec.partitions:
                raise SettingsError(
                    f"topic {spec.name} has {state.partitions} partitions, not {spec.partitions}; "
                    "a tree's partition must never change"
                )
        missing = [spec for spec in wanted if spec.name not in existing]
        if not missing:
            return []
        futures = self._client.create_topics(
            [
                NewTopic(
                    spec.name,
                    num_partitions=spec.partitions,
                    replication_factor=_CLUSTERS
                    if spec.replication_factor is None
                    else spec.replication_factor,
                    config=dict(spec.config),
                )
                for spec in missing
            ],
            request_timeout=REQUEST_TIMEOUT_S,
        )
        created = []
        for name, future in futures.items():
            try:
                future.result()
                created.append(name)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise self._translated(error, f"creating topic {name}") from error
        self._wait_until_known({spec.name for spec in missing})
        return created

    def _wait_until_known(self, names: set[str]) -> None:
        """A topic exists for its controller first; whoever asks a broker for it too early hears that there is none."""
        until_s = time.monotonic() + _KNOWN_S
        while True:
            found = self._listed()
            late = [name for name in names if name not in found or not _is_ready(found[name])]
            if not late:
                return
            if time.monotonic() > until_s:
                raise BrokerUnavailable(f"no leader for topic {min(late)} after {_KNOWN_S:.0f} s")
            time.sleep(_KNOWN_PAUSE_S)

    def wait(self, timeout_s: float = REQUEST_TIMEOUT_S) -> None:
        """Return once the cluster answers."""
        try:
            self._metadata(timeout_s)
        except KafkaException as error:
            reason = self._refusals.last
            said = f"Kafka: {reason}" if reason else f"Kafka does not answer within {timeout_s:.0f} s"
            raise BrokerUnavailable(said) from error

    def _listed(self) -> dict[str, TopicMetadata]:
        try:
            return self._metadata(REQUEST_TIMEOUT_S).topics
        except KafkaException as error:
            raise self._translated(error, "listing topics") from error

    def _metadata(self, timeout_s: float) -> ClusterMetadata:
        client = self._client
        return asked(lambda s: client.list_topics(timeout=s), timeout_s, self._refusals, client.poll)

    def _translated(self, error: KafkaException, doing: str) -> OctologError:
        self._client.poll(0)
        return translated(error, doing, self._refusals)


def _is_ready(topic: TopicMetadata) -> bool:
    partitions = topic.partitions.values()
    return topic.error is None and bool(partitions) and all(p.leader >= 0 for p in partitions)
