"""Two nodes on one cluster: they share the partitions, and one goes on with what the other's death left."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator

import psutil
import pytest

from octolog.app.audit.verification import verify_log
from octolog.app.connection import Connection
from octolog.app.node.control import NodeStatus, down, status, up
from octolog.app.processes import wait_until
from octolog.app.settings import Settings, load_settings
from octolog.client import Client
from octolog.client.decisions import COMPLETED

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.timeout(240)]

TASKS = 40
WAIT_S = 90.0


@pytest.fixture(scope="module")
def nodes(kafka_jars: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Settings]]:
    common = {"arms": "noop", "lease_ms": 3_000, "embedding_model": "hashing"}
    first = load_settings(home=tmp_path_factory.mktemp("first"), **common)
    try:
        servers = up(first, detach=True, progress=_quiet).bootstrap_servers
        second = load_settings(
            home=tmp_path_factory.mktemp("second"),
            bootstrap_servers=servers,
            roles="processor,arms",
            **common,
        )
        try:
            up(second, detach=True, progress=_quiet)
            yield first, second
        finally:
            down(second)
    finally:
        down(first)


def test_two_nodes_share_the_work_and_one_goes_on_when_the_other_dies(
    nodes: tuple[Settings, Settings],
) -> None:
    first, second = nodes
    assert {part.name for part in status(second).components} == {"processor-0", "arms"}
    assert wait_until(lambda: bool(_owned(first)) and bool(_owned(second)), WAIT_S), (
        "the partitions are shared"
    )
    assert not _owned(first) & _owned(second)
    everything = _owned(first) | _owned(second)

    with Client(first) as client:
        sent = client.submit_many(
            [{"goal": f"Do {number}", "assigned_arm": "noop"} for number in range(TASKS)]
        )
        _kill_all_of(status(second))
        sent += client.submit_many([{"goal": "Do it late", "assigned_arm": "noop"}] * 4)
        outcomes = [client.wait(each, timeout_s=WAIT_S).status for each in sent]
    assert outcomes == [COMPLETED] * len(sent)
    assert wait_until(lambda: _owned(first) == everything, WAIT_S), "the survivor has all partitions"

    with Connection(first) as connection:
        report = verify_log(connection)
    assert report.ok, report.first_difference


def _owned(settings: Settings) -> set[int]:
    found = [part.detail for part in status(settings).components if part.name == "processor-0"]
    listed = re.search(r"partitions \[([\d, ]*)\]", found[0]) if found else None
    return set() if listed is None else {int(number) for number in listed[1].split(",") if number.strip()}


def _kill_all_of(node: NodeStatus) -> None:
    """A machine that loses its power: nobody says goodbye."""
    pids = [part.pid for part in node.components]
    supervisor = psutil.Process(psutil.Process(pids[0]).ppid())
    for pid in (supervisor.pid, *pids):
        os.kill(pid, signal.SIGKILL)


def _quiet(_stage: str, _done: int, _total: int) -> None:
    pass
