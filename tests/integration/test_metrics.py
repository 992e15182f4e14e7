"""What Prometheus reads: its own parser reads what a node serves, and the figures are those of the log."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from octolog.app.knowledge.metrics import registry_of
from octolog.app.node.control import down, status, up
from octolog.app.processes import wait_until
from octolog.app.settings import Settings, load_settings
from octolog.client import Client

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

WAIT_S = 60.0
TASKS = 3


@pytest.fixture(scope="module")
def node(kafka_jars: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = load_settings(
        home=tmp_path_factory.mktemp("node"),
        arms="noop",
        roles="processor,knowledge,arms",
        metrics_port=port,
    )
    try:
        up(settings, detach=True, progress=lambda _stage, _done, _total: None)
        with Client(settings) as client:
            sent = client.submit_many([{"goal": "Do", "assigned_arm": "noop"}] * TASKS)
            for each in sent:
                client.wait(each, timeout_s=WAIT_S)
        yield settings
    finally:
        down(settings)


def test_what_a_node_serves_tells_of_attempts_trees_lag_and_processes(node: Settings) -> None:
    assert wait_until(
        lambda: _scraped(node).get(("octolog_trees", "COMPLETED")) == TASKS, WAIT_S, pause_s=0.2
    )
    found = _scraped(node)
    assert found["octolog_attempts_ended_total", "noop", "SUCCESS"] == TASKS
    assert found["octolog_attempts_open", "noop"] == 0
    assert found["octolog_arm_health", "noop", "HEALTHY"] == 1
    assert (
        sum(
            value
            for name, value in found.items()
            if name[:2] == ("octolog_log_offsets_total", "octolog.contracts")
        )
        == TASKS
    )
    lag = {name: value for name, value in found.items() if name[0] == "octolog_processor_lag_offsets"}
    assert lag
    assert not any(value for name, value in lag.items() if name[1] != "octolog.timers")
    ready = {name[1] for name, value in found.items() if name[0] == "octolog_process_ready" and value}
    assert ready == {"processor-0", "knowledge", "arms", "metrics"}
    assert (found["octolog_source_up", "log"], found["octolog_source_up", "projections"]) == (1, 1)


@pytest.mark.parametrize("roles", ["processor,knowledge,arms", "processor"])
def test_what_does_not_answer_is_said_and_left_out(roles: str, tmp_path: Path) -> None:
    away = load_settings(home=tmp_path, roles=roles)  # no node, no broker, no file
    samples = [sample for family in registry_of(away).collect() for sample in family.samples]
    up = {sample.labels["source"]: sample.value for sample in samples if sample.name == "octolog_source_up"}
    asked = {"log": 0.0, "projections": 0.0} if "knowledge" in roles else {"log": 0.0}
    assert up == asked, "a node without projections asks nobody for them"
    assert not any(sample.name.startswith("octolog_trees") for sample in samples)


def _scraped(node: Settings) -> dict[tuple[str, ...], float]:
    url = next(part.detail for part in status(node).components if part.name == "metrics")
    with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
        text = answer.read().decode()
    families = text_string_to_metric_families(text)
    return {
        (sample.name, *(sample.labels[name] for name in _ORDER if name in sample.labels)): sample.value
        for family in families
        for sample in family.samples
    }


_ORDER = ("source", "process", "topic", "partition", "arm", "outcome", "status", "health")
