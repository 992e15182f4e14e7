"""Where a replay reads: readers of the log and a codec, made anew in every process that takes part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from octolog.ports import LogReader
from schemas.codec import Codec
from schemas.registry import SchemaIds, TopicSchemaIds
from streams.kafka.config import KafkaConfig
from streams.kafka.reader import KafkaLogReader
from streams.kafka.schema_topic import KafkaSchemaTopic


class Source(Protocol):
    """A log that can be replayed. Where several processes take part, it must be picklable."""

    def reader(self) -> LogReader:
        """A reader of its own, to be closed by who asked for it."""
        ...

    def codec(self) -> Codec:
        """Encodes and decodes the log's records."""
        ...


@dataclass(frozen=True, slots=True)
class KafkaSource:
    """A log in Kafka.

    Attributes:
        config: Where Kafka is.
        schema_ids: Makes the source of schema ids; None: the `_schemas` topic. A function of a module, so
            that other processes can call it too.
    """

    config: KafkaConfig
    schema_ids: Callable[[], SchemaIds] | None = None

    def reader(self) -> LogReader:
        """A consumer of committed records."""
        return KafkaLogReader(self.config)

    def codec(self) -> Codec:
        """A codec with the ids of the registry in use."""
        ids = TopicSchemaIds(KafkaSchemaTopic(self.config)) if self.schema_ids is None else self.schema_ids()
        return Codec(ids)
