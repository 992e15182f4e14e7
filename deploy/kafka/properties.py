"""The broker's settings files: `server.properties` and `log4j2.properties`, each line with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.kafka.ports import HOST

NODE_ID: Final = 1
LOG_FILE_MB: Final = 5
LOG_FILES_KEPT: Final = 3

_SERVER: Final = """\
# Written by octolog at every start of the embedded broker; edits here are lost.
process.roles=broker,controller
node.id={node_id}
controller.quorum.voters={node_id}@{host}:{controller_port}
listeners={advertised},CONTROLLER://{host}:{controller_port}
advertised.listeners={advertised}
controller.listener.names=CONTROLLER
log.dirs={data_dir}

# One node: every internal topic has one replica, and few partitions so that a start has little to load.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
default.replication.factor=1

# Topics are declared in topics.yaml; a misspelt name must fail, not be made.
auto.create.topics.enable=false

# Takeovers in about a second: nobody waits for more members, and clients may ask for short sessions.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=300
group.consumer.session.timeout.ms=6000
group.consumer.heartbeat.interval.ms=1000

# Offsets commit in the same transaction as facts; do not hold them back to batch them.
group.coordinator.append.linger.ms=0
# A dead producer's open transaction blocks read_committed readers until this sweep aborts it (default 10 s).
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
# A home left alone for a week must not forget where its consumers were (default 7 days); ten years.
offsets.retention.minutes=5256000

# Sized for a laptop beside other work: fewer threads, 16 MB instead of 128 MB for the cleaner's map.
num.network.threads=2
num.io.threads=4
num.recovery.threads.per.data.dir=2
log.cleaner.dedupe.buffer.size=16777216
# A heartbeat record to the metadata log every 5 s instead of twice a second: an idle broker stays idle.
metadata.max.idle.interval.ms=5000
"""

_AFTER_A_KILL: Final = """
# The last broker was killed, and the controller waits out its session before it admits this one: 1.5 s, not 9 s.
broker.session.timeout.ms=1500
broker.heartbeat.interval.ms=250
"""

_LOG4J: Final = """\
status=error
shutdownHook=disable
appender.file.type=RollingFile
appender.file.name=file
appender.file.fileName={log_path}
appender.file.filePattern={log_path}.%i
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d{{yyyy-MM-dd'T'HH:mm:ss.SSSXXX}} %p %m (%c)%n
appender.file.policies.type=Policies
appender.file.policies.size.type=SizeBasedTriggeringPolicy
appender.file.policies.size.size={file_mb}MB
appender.file.strategy.type=DefaultRolloverStrategy
appender.file.strategy.max={files}
rootLogger.level=info
rootLogger.appenderRef.file.ref=file
"""


@dataclass(frozen=True, slots=True)
class Security:
    """Listeners beside the plain one, for clients that must say who they are.

    Attributes:
        listeners: Port by protocol: SASL_PLAINTEXT, SSL, SASL_SSL.
        properties: Lines of `server.properties`: mechanisms, users, key stores.
    """

    listeners: Mapping[str, int]
    properties: Mapping[str, str]


def render_server(
    data_dir: Path,
    port: int,
    controller_port: int,
    *,
    after_a_kill: bool = False,
    security: Security | None = None,
) -> str:
    """Return `server.properties` of a single KRaft node that listens on the loopback interface alone.

    Args:
        data_dir: Kafka's `log.dirs`.
        port: For clients.
        controller_port: For the broker itself.
        after_a_kill: The last broker of `data_dir` did not end cleanly.
        security: More listeners, and what they need.
    """
    more = security.listeners if security else {}
    names = [f"{protocol}://{HOST}:{number}" for protocol, number in {"PLAINTEXT": port, **more}.items()]
    server = _SERVER.format(
        node_id=NODE_ID,
        host=HOST,
        advertised=",".join(names),
        controller_port=controller_port,
        data_dir=_escape(data_dir),
    )
    if security:
        protocols = ",".join(f"{protocol}:{protocol}" for protocol in ("PLAINTEXT", *more))
        server += f"\nlistener.security.protocol.map=CONTROLLER:PLAINTEXT,{protocols}\n"
        server += "".join(f"{name}={value}\n" for name, value in security.properties.items())
    return server + _AFTER_A_KILL if after_a_kill else server


def render_log4j(log_path: Path) -> str:
    """Return `log4j2.properties`: one file, rolled by size, so that logs never fill the disk."""
    return _LOG4J.format(log_path=_escape(log_path), file_mb=LOG_FILE_MB, files=LOG_FILES_KEPT)


def _escape(path: Path) -> str:
    return str(path).replace("\\", "\\\\")
