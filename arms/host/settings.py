"""What a host is told."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from octolog.safety import PiiMode


def _default_instance() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


@dataclass(frozen=True, slots=True)
class HostSettings:
    """Settings of one host process.

    Attributes:
        bootstrap_servers: `host:port`, several joined by commas.
        instance_id: Name of this process in heartbeats.
        group_id: Consumer group; hosts of one group share the assignments of the arms they have in common.
        slot: Stable name for static membership: a restarted process with the same slot takes over at once, instead
            of after the session timeout. Two live processes must never share one. None: a new member at each start.
        web_port: Port of the health view on 127.0.0.1; None: no view.
        partitions: Partitions of an assignment topic that does not exist yet.
        replication_factor: Replicas of the same.
        grace_ms: A run shorter than this is not announced with AttemptStarted, milliseconds.
        stop_s: How long running attempts may take to finish after SIGTERM, seconds.
        max_held: Attempts held at once, over all arms; reading pauses above it.
        threads: Threads for sync arms, over all arms.
        pii: What becomes of personal data and secrets in what an arm reports.
        tokens_required: Every attempt needs a capability token, also where its policy asks for none.
        token_keys: Ids of the keys whose tokens count; empty: all that were announced in the log.
        session_timeout_ms: How long a host may be silent in its group before its partitions go to others.
        kafka: Properties passed through to the Kafka client, in librdkafka's names, for SASL and TLS.
    """

    bootstrap_servers: str
    instance_id: str = field(default_factory=_default_instance)
    group_id: str = "octolog-arms"
    slot: str | None = None
    web_port: int | None = None
    partitions: int = 4
    replication_factor: int = 1
    grace_ms: int = 100
    stop_s: float = 1.5
    max_held: int = 20_000
    threads: int = 32
    pii: PiiMode = PiiMode.REDACT
    tokens_required: bool = False
    token_keys: frozenset[str] = frozenset()
    session_timeout_ms: int = 10_000
    kafka: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
