"""A host that stood still for longer than its lease and wakes up spends no more, and nothing of it counts twice."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from deploy.kafka import EmbeddedKafka
from octolog.app.audit.verification import verify_log
from octolog.app.connection import Connection
from octolog.app.processes import wait_until
from octolog.domain import facts as f
from octolog.domain.arm import ArmRegistered
from octolog.domain.ids import TaskId
from octolog.domain.reports import HandlerMetrics
from octolog.domain.task.evolve import evolve
from octolog.domain.task.ledger import ZERO
from octolog.domain.task.state import Tree, absent
from octolog.domain.values import Limits, RetryPolicy
from octolog.testing import submit
from schemas.codec import RecordedFact
from streams.topics import ARMS, RESOURCES, TASKS
from tests.acceptance.stalling import ARM, AT_MOST, HELD, USED
from tests.chaos.engine import ROOT, WAIT_S, Processor, engine_settings, send

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("kafka_jars"), pytest.mark.timeout(300)]

BUDGET = Limits(max_tokens=3_000, max_llm_calls=40)


@dataclass
class Site:
    """A log with a processor, and hosts that are stopped and woken."""

    log: Connection
    bootstrap: str
    folder: Path
    processor: Processor
    hosts: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict[str, Any])

    def start(self, slot: str) -> None:
        arguments = [self.bootstrap, str(self.folder), slot, str(self.folder / "calls")]
        with (self.folder / f"{slot}.log").open("wb") as out:
            self.hosts[slot] = subprocess.Popen(
                [sys.executable, "-m", "tests.acceptance.stalling", *arguments],
                cwd=ROOT,
                stdout=out,
                stderr=out,
            )

    def calls(self, slot: str) -> list[str]:
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if line.startswith(slot)]

    def records(self, topic: str) -> Iterator[Any]:
        reader, codec = self.log.reader(), self.log.codec()
        ends = reader.ends([topic])
        for batch in reader.read(dict.fromkeys(ends, 0), until=ends):
            for record in batch:
                yield codec.decode(record.value)

    def facts_of(self, root_id: str) -> list[f.Fact]:
        found: Iterator[RecordedFact] = self.records(TASKS)
        return [recorded.fact for recorded in found if recorded.link.root_task_id == root_id]

    def tree(self, root_id: str) -> Tree:
        tree = absent(TaskId(root_id))
        for fact in self.facts_of(root_id):
            evolve(tree, fact)
        return tree

    def until(self, true: Callable[[], bool]) -> None:
        if not wait_until(true, WAIT_S, pause_s=0.05):
            said = [(self.folder / f"{slot}.log").read_text() for slot in self.hosts]
            raise AssertionError(
                "\n".join([*said, self.processor.output(), *map(repr, self.facts_of("root"))])
            )


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    broker = EmbeddedKafka(tmp_path / "kafka", die_with_parent=True)
    bootstrap = broker.start(timeout_s=120).bootstrap_servers
    try:
        with Connection(engine_settings(tmp_path, bootstrap)) as log:
            log.ensure_topics()
            processor = Processor(bootstrap, tmp_path / "state", lease_ms=3_000)
            site = Site(log, bootstrap, tmp_path, processor)
            yield site
            for host in site.hosts.values():
                host.kill()
                host.wait(WAIT_S)
            processor.stop()
    finally:
        broker.stop()


def test_a_host_that_wakes_after_its_lease_makes_no_call_and_its_late_words_count_once(site: Site) -> None:
    site.start("one")
    site.start("two")
    site.until(lambda: len([r for r in site.records(ARMS) if isinstance(r, ArmRegistered)]) == 2)
    command = submit("root", required_capabilities=(ARM,), budget=BUDGET, retry=RetryPolicy(10, 10))
    send(site.log, [command])
    site.until(lambda: len(site.calls("")) == HELD)
    stalled, other = ("one", "two") if site.calls("one") else ("two", "one")
    site.hosts[stalled].send_signal(signal.SIGSTOP)
    site.until(lambda: any(isinstance(fact, f.TaskCompleted) for fact in site.facts_of("root")))
    made, (lost,) = site.calls(stalled), {line.split()[1] for line in site.calls(stalled)}

    (site.folder / "go-on").touch()
    site.hosts[stalled].send_signal(signal.SIGCONT)
    site.until(
        lambda: any(isinstance(r, HandlerMetrics) and r.attempt_id == lost for r in site.records(RESOURCES))
    )
    assert site.calls(stalled) == made, "no call after waking"
    assert site.calls(other)
    facts = site.facts_of("root")
    outcomes = [fact.outcome for fact in facts if isinstance(fact, f.AttemptEnded)]
    assert outcomes.count(f.Outcome.SUCCESS) == 1
    assert set(outcomes) <= {f.Outcome.LOST, f.Outcome.SUCCESS}
    assert len([fact for fact in facts if isinstance(fact, f.TaskCompleted)]) == 1
    ledger, made_in_all = site.tree("root").ledger, len(site.calls(""))
    assert ledger.reserved == ledger.running == ZERO
    # The call before the sleep is charged once: by its announcement, whatever was said of it late.
    assert (ledger.settled[0], ledger.settled[3]) == (
        (made_in_all - 1) * USED.tokens + AT_MOST.tokens,
        made_in_all,
    )
    assert verify_log(site.log).ok
