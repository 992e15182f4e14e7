"""How clients reach Kafka."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

TRANSACTION_TIMEOUT_MS: Final = 10_000
"""How long an orphaned transaction may block readers; the stable id usually ends it at once."""

DELIVERY_TIMEOUT_MS: Final = 8_000
"""Must lie below the transaction timeout, or a late batch could follow its own abort."""

SESSION_TIMEOUT_MS: Final = 6_000
"""A killed member of another slot holds its partitions this long."""

_LOG: Final = logging.getLogger("octolog.kafka")
"""librdkafka's own log: kept in the logs of a node's processes, and out of the command line's output."""

MAX_RECORD_BYTES: Final = 16 * 1024 * 1024
"""Largest record written; the topics take as much (`deploy/topics.yaml`). Values stay far below it."""

REQUEST_TIMEOUT_S: Final = 10.0
"""Bound of every administrative request."""


@dataclass(frozen=True, slots=True)
class KafkaConfig:
    """Where Kafka is, and what is passed through to the client unseen.

    Attributes:
        bootstrap_servers: `host:port`, comma separated.
        extra: librdkafka properties, e.g. `security.protocol`, from `OCTOLOG_KAFKA_*`.
    """

    bootstrap_servers: str
    extra: Mapping[str, str] = field(default_factory=dict)

    def client(self, **properties: Any) -> dict[str, Any]:
        """A client's properties; underscores in names stand for dots. What the user passes through wins."""
        own = {name.replace("_", "."): value for name, value in properties.items()}
        return {
            "bootstrap.servers": self.bootstrap_servers,
            "logger": _LOG,
            "log.connection.close": False,
            "reconnect.backoff.ms": 20,
            "reconnect.backoff.max.ms": 500,
            **own,
            **self.extra,
        }

    def consumer(self, group: str, **properties: Any) -> dict[str, Any]:
        """A consumer's properties: committed records only, no commits of its own."""
        defaults: dict[str, Any] = {
            "group.id": group,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 100,
            "fetch.error.backoff.ms": 20,
        }
        own = {name.replace("_", "."): value for name, value in properties.items()}
        return {**self.client(), **defaults, **own, **self.extra}

    def producer(self, **properties: Any) -> dict[str, Any]:
        """A producer's properties: idempotent, all replicas, the partitioner of the Java client."""
        defaults: dict[str, Any] = {
            "enable.idempotence": True,
            "acks": "all",
            "compression.type": "lz4",
            "partitioner": "murmur2_random",
            "message.max.bytes": MAX_RECORD_BYTES,
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 256 * 1024,
        }
        own = {name.replace("_", "."): value for name, value in properties.items()}
        return {**self.client(), **defaults, **own, **self.extra}
