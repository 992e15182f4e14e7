"""The broker's settings files, and what is read back from its logs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from deploy.kafka.broker import _first_error
from deploy.kafka.properties import render_log4j, render_server
from deploy.kafka.storage import new_id, read_cluster_id

# Differ by nature: where it listens and writes, who takes part, and sizes for a laptop.
LOCAL = {
    "node.id",
    "process.roles",
    "controller.quorum.voters",
    "listeners",
    "advertised.listeners",
    "log.dirs",
}
SIZES = {"num.network.threads", "num.io.threads", "num.recovery.threads.per.data.dir"}
COMPOSE = Path(__file__).parents[2] / "deploy" / "compose.yaml"


def _settings() -> dict[str, str]:
    text = render_server(Path("/data"), 1, 2)
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {key: value for key, _, value in (line.partition("=") for line in lines)}


def test_the_broker_listens_on_the_loopback_interface_alone() -> None:
    listeners = _settings()["listeners"].split(",")
    assert {listener.split("//")[1].split(":")[0] for listener in listeners} == {"127.0.0.1"}


def test_the_composed_broker_agrees_with_the_embedded_one_wherever_it_sets_the_same_key() -> None:
    environment = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]["kafka"]["environment"]
    embedded = _settings()
    shared = {key: f"KAFKA_{key.upper().replace('.', '_')}" for key in embedded.keys() - LOCAL - SIZES}
    both = {key: name for key, name in shared.items() if name in environment}
    assert len(both) >= 12
    assert {key: environment[name] for key, name in both.items()} == {key: embedded[key] for key in both}


def test_a_log_path_with_a_space_or_backslash_survives_the_properties_format() -> None:
    assert "fileName=/a b/c\\\\d/kafka.log" in render_log4j(Path("/a b/c\\d/kafka.log"))


def test_ids_are_in_kafkas_spelling() -> None:
    ids = {new_id() for _ in range(500)}
    assert len(ids) == 500
    assert {len(spelled) for spelled in ids} == {22}
    assert not any(spelled.startswith("-") for spelled in ids)


def test_an_unformatted_folder_has_no_cluster_id(tmp_path: Path) -> None:
    assert read_cluster_id(tmp_path) is None
    (tmp_path / "meta.properties").write_text("#\nversion=1\ncluster.id=abc\n")
    assert read_cluster_id(tmp_path) == "abc"


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("2026-01-01T00:00:00Z INFO An Exception message: fine (a.B)\n", None),
        ("2026-01-01T00:00:00Z ERROR No room (a.B)\n2026-01-01T00:00:00Z ERROR later (a.B)\n", "No room"),
        (
            (
                "2026-01-01T00:00:00Z ERROR Cannot bind (a.B)\nx.Outer: up\n\tat x\nCaused by: x.Inner: port taken\n"
                "\t... 3 more\n2026-01-01T00:00:01Z ERROR shutting down (a.B)\n"
            ),
            "Cannot bind: x.Inner: port taken",
        ),
    ],
)
def test_a_failed_start_is_told_by_its_first_error_and_root_cause(log: str, reason: str | None) -> None:
    assert _first_error(log) == reason
