"""Commands that ask the running node: what they get, what they tell when it is silent, and what they do not load."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from octolog.app.knowledge.live_store import LiveStore
from octolog.app.knowledge.queries import open_queries
from octolog.app.knowledge.server import QueryServer
from octolog.app.loopback_client import LoopbackClient
from octolog.app.processes import StateFile
from octolog.app.projector import ProjectorState
from octolog.app.settings import load_settings
from octolog.domain.errors import NotFound, Refused, StoreUnavailable

HEAVY: Final = (
    "click",
    "rich",
    "httpx",
    "duckdb",
    "polars",
    "confluent_kafka",
    "lxml",
    "octolog.domain.shard",
)
"""What a question to the node has no use for; together it was half a second."""


@pytest.fixture
def home(known: Any, tmp_path: Path) -> Iterator[Path]:
    """A home whose node, this process, answers."""
    server = QueryServer(LiveStore(known.store), lambda: ProjectorState(positions={("t", 0): 7}))
    StateFile(tmp_path / "run" / "knowledge.json").write(url=server.start())
    yield tmp_path
    server.stop()


def asked(home: Path, *arguments: str) -> tuple[Any, list[str]]:
    """A command's answer, and which heavy modules its process loaded."""
    script = (
        "import json, sys; from octolog.cli.application import build\n"
        f"build()({arguments!r}, standalone_mode=False)\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    environment = {**os.environ, "OCTOLOG_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=environment,
    )
    answer, loaded = done.stdout.splitlines()
    return json.loads(answer), json.loads(loaded)


def test_a_list_of_tasks_is_asked_for_without_what_only_other_commands_need(home: Path) -> None:
    answer, loaded = asked(home, "task", "list", "--json")
    assert answer["tasks"]
    assert loaded == []


def test_a_query_loads_arrow_and_nothing_else_that_is_heavy(home: Path) -> None:
    answer, loaded = asked(home, "query", "SELECT 1 AS one", "--json")
    assert answer["rows"] == [{"one": 1}]
    assert loaded == []


def test_every_kind_of_question_gets_its_answer_or_its_refusal(home: Path) -> None:
    with open_queries(load_settings(home=home)) as queries:
        assert queries.positions() == {("t", 0): 7}
        assert queries.sql("SELECT 'é' AS letter").table.to_pylist() == [{"letter": "é"}]
        assert queries.tasks(limit=1)
        with pytest.raises(NotFound):
            queries.task("nobody")
        with pytest.raises(Refused):
            queries.sql("DROP TABLE meta.positions")


def test_a_server_that_is_gone_is_said_to_be() -> None:
    client = LoopbackClient("http://127.0.0.1:9", "the query service")
    with pytest.raises(
        StoreUnavailable, match=r"the query service does not answer: .*; see `octolog status`"
    ):
        client.ask("GET", "/positions", timeout_s=5)
