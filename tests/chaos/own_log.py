"""A log on a broker of its own, to be used and hurt by one module of tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.kafka import EmbeddedKafka
from octolog.app.connection import Connection
from tests.chaos.engine import engine_settings


@contextmanager
def own_log(home: Path) -> Iterator[tuple[Connection, str]]:
    """The log with its topics, and where its broker is."""
    broker = EmbeddedKafka(home / "kafka", die_with_parent=True)
    bootstrap = broker.start(timeout_s=120).bootstrap_servers
    try:
        with Connection(engine_settings(home, bootstrap)) as log:
            log.ensure_topics()
            yield log, bootstrap
    finally:
        broker.stop()
