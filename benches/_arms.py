"""The Faust arm host in a process of its own, with the no-op arm. On SIGTERM it closes."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from arms.host import HostSettings, run_host
from arms.noop import noop
from benches._cluster import schema_ids
from octolog.app.processes import die_with_parent
from schemas.codec import Codec
from streams.kafka.config import KafkaConfig
from streams.kafka.publisher import KafkaPublisher


def main(bootstrap_servers: str) -> None:
    """Host the arm until SIGTERM."""
    die_with_parent()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    kafka = KafkaConfig(bootstrap_servers)
    publisher = KafkaPublisher(kafka, background=True)
    run_host(HostSettings(bootstrap_servers, slot="bench"), [noop], publisher, Codec(schema_ids(kafka)))
    publisher.close()


if __name__ == "__main__":
    main(sys.argv[1])
