"""Fixtures that every test may use; `kafka` is a real broker, started once per session.

`OCTOLOG_EXAMPLES=1000` draws so many examples for each property whose test does not say how many it needs, and
as many more of the others in proportion.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

import pytest
from hypothesis import settings

from deploy.kafka import EmbeddedKafka, JarUnavailable, ports

_USUAL: Final = 40
_EXAMPLES: Final = int(os.environ.get("OCTOLOG_EXAMPLES", _USUAL))

# A bound on the time of one example says how busy the machine is, and nothing of the code.
settings.register_profile("octolog", max_examples=_EXAMPLES, deadline=None)
settings.load_profile("octolog")


def examples(usual: int) -> int:
    """How many examples to draw where the default run takes `usual`."""
    return max(1, usual * _EXAMPLES // _USUAL)


@dataclass(frozen=True, slots=True)
class KafkaUnderTest:
    """The broker tests talk to.

    Attributes:
        bootstrap_servers: `host:port`, for clients.
        home: The embedded broker's home; None when `OCTOLOG_BOOTSTRAP_SERVERS` names a cluster.
        broker: The embedded broker; None likewise.
    """

    bootstrap_servers: str
    home: Path | None
    broker: EmbeddedKafka | None


@pytest.fixture(scope="session", autouse=True)
def _own_port() -> Iterator[None]:
    """Let no two workers of pytest-xdist prefer the same port: a killed broker is to find its own free again."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ports, "PREFERRED_PORT", ports.free_port())
        yield


@pytest.fixture(scope="session")
def kafka_jars() -> None:
    """Have the broker's jars in the user's cache, or skip with the reason."""
    if os.environ.get("OCTOLOG_TEST_NO_KAFKA") == "1":
        pytest.skip("OCTOLOG_TEST_NO_KAFKA=1: no test may start Kafka")
    try:
        EmbeddedKafka(Path(os.devnull)).ensure_jars()
    except JarUnavailable as error:
        pytest.skip(f"no Kafka: {error}")


def _session_home() -> Path:
    return Path(mkdtemp(prefix="octolog-kafka-"))


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Iterator[KafkaUnderTest]:
    """A real broker for the session: `OCTOLOG_BOOTSTRAP_SERVERS` if set, else an embedded one on a fresh home."""
    given = os.environ.get("OCTOLOG_BOOTSTRAP_SERVERS")
    if given:
        yield KafkaUnderTest(given, None, None)
        return
    request.getfixturevalue("kafka_jars")
    home = _session_home()
    broker = EmbeddedKafka(home, die_with_parent=True)
    try:
        yield KafkaUnderTest(broker.start(timeout_s=120).bootstrap_servers, home, broker)
    finally:
        broker.stop()
        shutil.rmtree(home, ignore_errors=True)
