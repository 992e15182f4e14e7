"""The Faust arm host in a process of its own, with the no-op arm. On SIGTERM it closes."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from _cluster import schema_ids  # noqa: E402

from arms.host import HostSettings, run_host  # noqa: E402
from arms.noop import noop  # noqa: E402
from octolog.app.processes import die_with_parent  # noqa: E402
from schemas.codec import Codec  # noqa: E402
from streams.kafka.config import KafkaConfig  # noqa: E402
from streams.kafka.publisher import KafkaPublisher  # noqa: E402


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
