"""`replay` on a connection: where to read, and how far the task processor must have come."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from octolog.app.connection import Connection
from octolog.ports import Positions, Progress
from schemas.registry import SchemaIds
from streams.kafka.positions import committed
from streams.replay import KafkaSource, Report, verify
from streams.runner import GROUP
from streams.topics import INPUTS


def verify_log(
    connection: Connection,
    *,
    partitions: Iterable[int] | None = None,
    until: Positions | None = None,
    progress: Progress | None = None,
    processes: int = 1,
) -> Report:
    """Decide the log again; without `until`, every input the processor has passed must be accounted for.

    Args:
        connection: Which log.
        partitions: Which of its partitions; None: all.
        until: Facts before these offsets; None: all there are.
        progress: Called with facts checked and an estimate of how many there are.
        processes: How many processes share the partitions.

    Raises:
        BrokerUnavailable: When Kafka does not answer.
    """
    passed = None if until is not None else committed(connection.kafka, GROUP, INPUTS)
    return verify(
        log_source(connection),
        partitions=partitions,
        until=until,
        committed=passed,
        progress=progress,
        processes=processes,
    )


def log_source(connection: Connection) -> KafkaSource:
    """The connection's log, for processes of their own too."""
    url = connection.settings.schema_registry_url
    return KafkaSource(connection.kafka, partial(_registry, url) if url else None)


def _registry(url: str) -> SchemaIds:
    from schemas.registry import HttpSchemaIds

    return HttpSchemaIds(url)
