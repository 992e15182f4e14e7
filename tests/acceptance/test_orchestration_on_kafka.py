"""Orchestration and budgets through a real broker: a processor and arms in processes of their own, some killed."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from typer.testing import CliRunner

from octolog.app.audit.verification import verify_log
from octolog.app.connection import Connection
from octolog.app.processes import wait_until
from octolog.cli.application import build
from octolog.client import Client
from octolog.domain import facts as f
from octolog.domain.assignment import AttemptAssignment, FeedbackKind
from octolog.domain.ids import AttemptId
from octolog.domain.memory import EntityType, MemoryProposal, MemoryRecorded
from octolog.domain.reports import ExecutionResult, ModelCallIntended, ResourceUsed
from octolog.domain.values import Amounts, Limits, RetryPolicy
from octolog.testing import failure, step, submit, success
from streams.topics import MEMORY, RESOURCES, TASKS
from tests.acceptance.spender import SPENDER
from tests.chaos.engine import ROOT, WAIT_S, Answering, Facts, Processor, send
from tests.chaos.own_log import own_log
from tests.integration.test_memory_service import records, running

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("kafka_jars"), pytest.mark.timeout(600)]

LEASE_MS: Final = 6_000
CRITERIA: Final = ["short", "true", "cited"]
MISSES_ONE: Final = json.dumps({"valid": False, "passed": CRITERIA[:2], "failed": CRITERIA[2:]})
MEETS_ALL: Final = json.dumps({"valid": True, "passed": CRITERIA})


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Connection, Processor, Path]]:
    """A broker with one processor."""
    folder = tmp_path_factory.mktemp("orchestration")
    with own_log(folder) as (connection, bootstrap):
        processor = Processor(bootstrap, folder / "state", lease_ms=LEASE_MS)
        yield connection, processor, folder
        processor.stop()


def _told(connection: Connection, topic: str) -> Iterator[Any]:
    reader, codec = connection.reader(), connection.codec()
    ends = reader.ends([topic])
    for batch in reader.read(dict.fromkeys(ends, 0), until=ends):
        for record in batch:
            yield codec.decode(record.value)


def _facts(connection: Connection, root: str) -> list[Any]:
    return [r.fact for r in _told(connection, TASKS) if r.link.root_task_id == root]


def worker(of: AttemptAssignment) -> ExecutionResult:
    """Plans, fails where it is told to, asks where it is told to, and does better when it is told what was missed."""
    told = of.feedback
    if of.goal == "plan it":
        if told is None:
            return success(of, "[]", plan=(step("a", "z", goal="do a"),))
        if told.kind is FeedbackKind.PLAN_REFUSED:
            tags = (of.arm_id,)
            plan = (step("a", required_capabilities=tags), step("b", goal="fail", required_capabilities=tags))
            return success(of, "[]", plan=plan)
        return success(of, "[]", plan=(step("c", *(each.step_id for each in told.done)),))
    if of.goal == "fail":
        return failure(of, "told to fail")
    if of.goal == "ask" and told is None:
        return success(of, question="may I?")
    repaired = told is not None and told.kind is FeedbackKind.REPAIR
    return success(of, '"final"' if repaired else '"draft"')


def judge(of: AttemptAssignment) -> ExecutionResult:
    """Accepts a final text, and nothing else."""
    return success(of, MEETS_ALL if of.inputs[0].output == '"final"' else MISSES_ONE)


def test_plans_verdicts_and_people_through_the_log(log: tuple[Connection, Processor, Path]) -> None:
    connection, processor, _ = log
    arms = [Answering(connection, "worker", worker), Answering(connection, "the-judge", judge)]
    rule = {"judge_capabilities": ["the-judge"], "approval_timeout_seconds": 3_600}
    common = {"required_capabilities": ["worker"]}
    client = Client(connection)
    try:
        repaired = client.submit(
            {"goal": "write", "acceptance_criteria": CRITERIA, "orchestration": rule, **common}
        )
        planned = client.submit({"goal": "plan it", "orchestration": {**rule, "judge": False}, **common})
        asking = client.submit({"goal": "ask", **common})
        gated = client.submit({"goal": "write", "approval": {"question": "now?"}, **common})
        silent = client.submit({"goal": "write", "approval": {"timeout_seconds": 1}, **common})
        held = client.submit({"goal": "write", "approval": True, **common})

        def asked(root: str) -> bool:
            return any(isinstance(x, f.ApprovalRequested) for x in _facts(connection, root))

        for each in (asking, gated, held):
            assert wait_until(lambda root=each.task_id: asked(root), WAIT_S), processor.output()  # type: ignore[misc]
        for each in (asking, gated):
            sent = client.approve(each.task_id, root_task_id=each.task_id, comment="yes", number=1)
            assert client.accepted(sent, WAIT_S) is True
        assert client.accepted(client.cancel(held.task_id, reason="never mind"), WAIT_S) is True

        ends = {
            each.task_id: client.wait(each, WAIT_S)
            for each in (repaired, planned, asking, gated, silent, held)
        }
        assert [(end.status, end.code) for end in ends.values()] == [
            ("completed", None), ("completed", None), ("completed", None), ("completed", None),
            ("failed", "DENIED"), ("cancelled", "CANCELLED"),
        ]  # fmt: skip
        assert ends[repaired.task_id].result == "final"
        kinds = Counter(type(x).__name__ for x in _facts(connection, planned.task_id))
        assert (kinds["PlanRefused"], kinds["ReplanStarted"], kinds["TaskPlanned"]) == (1, 1, 2)
        assert verify_log(connection).ok
    finally:
        for arm in arms:
            arm.finish()


# Memories


def proposing(of: AttemptAssignment) -> ExecutionResult:
    """Proposes to remember what it wrote; only what is good is accepted."""
    good = of.goal == "write it well"
    content = f"the heron fishes at {'dawn' if good else 'noon'}"
    proposal = MemoryProposal(EntityType.FACT, content, 0.9, ("heron",))
    return success(of, '"final"' if good else '"draft"', memories=(proposal,))


def test_29_what_an_arm_proposes_is_found_once_its_result_is_accepted_and_else_never(
    log: tuple[Connection, Processor, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, processor, folder = log
    arms = [Answering(connection, "proposer", proposing), Answering(connection, "heron-judge", judge)]
    rule = {"judge_capabilities": ["heron-judge"], "max_repairs": 0}
    common = {
        "required_capabilities": ["proposer"],
        "acceptance_criteria": CRITERIA,
        "orchestration": rule,
    }
    client = Client(connection)
    try:
        bad = client.submit({"goal": "write it", **common})
        good = client.submit({"goal": "write it well", **common})
        ends = [client.wait(each, WAIT_S).status for each in (bad, good)]
        assert ends == ["failed", "completed"], processor.output()
    finally:
        for arm in arms:
            arm.finish()
    (accepted,) = [x for x in _facts(connection, good.task_id) if isinstance(x, f.MemoriesAccepted)]
    recorded = [x for x in _told(connection, MEMORY) if isinstance(x, MemoryRecorded)]
    assert [(x.task_id, x.memory.source, x.memory.memory_id) for x in recorded] == [
        (good.task_id, "proposer", accepted.memory_ids[0])
    ]
    assert any(isinstance(x, f.MemoriesProposed) for x in _facts(connection, bad.task_id))
    assert verify_log(connection).ok

    home = folder / "memories"
    settings = connection.settings.model_copy(update={"home": home, "embedding_model": "hashing"})
    with running(settings) as node:
        for place, _ in records(node, MEMORY):
            node.wait_for(MEMORY, place.partition, place.offset)
    monkeypatch.setenv("OCTOLOG_EMBEDDING_MODEL", "hashing")
    arguments = ["memory", "search", "when the heron fishes", "--json", "--home", str(home)]
    found = CliRunner().invoke(build(), arguments)
    assert found.exit_code == 0, found.output
    assert [hit["memory_id"] for hit in json.loads(found.stdout)["hits"]] == list(accepted.memory_ids)


# Budgets


@dataclass
class Spent:
    """What the log says of one attempt.

    Attributes:
        actual: Sum of what calls really used.
        open: The most that calls without an outcome can have used, by number.
    """

    actual: Amounts = field(default_factory=Amounts)
    open: dict[int, Amounts] = field(default_factory=dict)

    def total(self) -> tuple[int, int, int]:
        """Tokens, micro-dollars, calls."""
        every = (self.actual, *self.open.values())
        return sum(x.tokens for x in every), sum(x.cost_micros for x in every), sum(x.calls for x in every)

    def add(self, number: int, amounts: Amounts, *, actual: bool) -> None:
        """A use of this number, announced or real."""
        self.open.pop(number, None)
        if not actual:
            self.open[number] = amounts
            return
        was = self.actual
        self.actual = Amounts(
            was.tokens + amounts.tokens, 0, was.cost_micros + amounts.cost_micros, was.calls + amounts.calls
        )


class Hosts:
    """Processes that host the spender; they die and come back."""

    def __init__(self, bootstrap: str, folder: Path, count: int, rng: random.Random) -> None:
        self._bootstrap, self._folder, self._rng, self.kills = bootstrap, folder, rng, 0
        self._running = [self._start(n) for n in range(count)]

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        arguments = [
            self._bootstrap,
            str(self._folder / f"host-{number}"),
            f"s{number}",
            str(self._rng.randrange(2**31)),
        ]
        with (self._folder / f"host-{number}.log").open("ab") as out:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.acceptance.spender", *arguments],
                cwd=ROOT,
                stdout=out,
                stderr=out,
            )

    def kill_one(self) -> None:
        """SIGKILL one, and start it again."""
        number = self._rng.randrange(len(self._running))
        self._running[number].kill()
        self._running[number].wait(WAIT_S)
        self._running[number] = self._start(number)
        self.kills += 1

    def stop(self) -> None:
        """End them all."""
        for process in self._running:
            process.kill()
            process.wait(WAIT_S)


def _moves(connection: Connection, root: str) -> bool:
    """Wait until another attempt of a tree has ended."""

    def ended() -> int:
        return sum(isinstance(x, f.AttemptEnded) for x in _facts(connection, root))

    before = ended()
    return wait_until(lambda: ended() > before or _is_over(connection, root), WAIT_S)


def _is_over(connection: Connection, root: str) -> bool:
    ends = (f.TaskCompleted, f.TaskFailed)
    return any(isinstance(x, ends) and x.task_id == root for x in _facts(connection, root))


def _spend(
    log: tuple[Connection, Processor, Path], children: int, hosts: int, kills: int, seed: int
) -> list[Any]:
    connection, processor, folder = log
    rng = random.Random(seed)
    root = f"spend-{seed}"
    wants = [
        Limits(
            rng.choice((None, rng.randint(1, 1_500))),
            None,
            rng.choice((None, rng.randint(1, 3_000))),
            rng.choice((None, 3)),
        )
        for _ in range(children)
    ]
    limits = Limits(children * 250, None, children * 600, children * 3)
    steps = tuple(
        step(f"c{n}", budget=want, required_capabilities=(SPENDER,)) for n, want in enumerate(wants)
    )
    retry = RetryPolicy(max_attempts=50, base_ms=100, cap_ms=500)
    running = Hosts(connection.bootstrap_servers, folder, hosts, rng)
    try:
        send(connection, [submit(root, budget=limits, steps=steps, retry=retry, nested_budgets=True)])
        facts = Facts(connection)
        while running.kills < kills and not _is_over(connection, root):
            assert _moves(connection, root), processor.output()
            time.sleep(rng.uniform(0.0, 1.0))  # a kill comes at any moment, not at the end of something
            running.kill_one()
        facts.wait_until_over([root], 240, tell=processor.output)
    finally:
        running.stop()
    found = _facts(connection, root)
    _check_the_books(connection, root, found, limits)
    return found


def _check_the_books(connection: Connection, root: str, found: list[Any], limits: Limits) -> None:
    ended = {x.attempt_id: x for x in found if isinstance(x, f.AttemptEnded)}
    assigned = {x.attempt_id: x for x in found if isinstance(x, f.AttemptAssigned)}
    assert assigned.keys() == ended.keys()  # every reservation is settled or released

    entered: dict[str, Spent] = defaultdict(Spent)
    for x in found:
        if isinstance(x, f.UsageRecorded):
            entered[x.attempt_id].add(x.call_number, x.amounts, actual=x.phase is f.UsagePhase.ACTUAL)
    for attempt_id, end in ended.items():
        settled = end.settled.tokens, end.settled.cost_micros, end.settled.calls
        assert settled == entered[attempt_id].total()
        allowed = assigned[attempt_id].allowance
        for used, most in zip(
            settled, (allowed.max_tokens, allowed.max_cost_micros, allowed.max_llm_calls), strict=True
        ):
            assert most is None or used <= most

    reported: dict[str, Spent] = defaultdict(Spent)
    for x in _told(connection, RESOURCES):
        if isinstance(x, ModelCallIntended | ResourceUsed) and x.root_task_id == root:
            is_use = isinstance(x, ResourceUsed)
            reported[x.attempt_id].add(
                x.call_number, x.used if isinstance(x, ResourceUsed) else x.at_most, actual=is_use
            )
    for attempt, spent in reported.items():
        end = ended[AttemptId(attempt)]
        charged = end.settled.tokens, end.settled.cost_micros, end.settled.calls
        if end.provenance is not None:
            assert spent.total() == charged
        assert all(used <= most for used, most in zip(spent.total(), charged, strict=True))

    sums = [
        sum(getattr(x.settled, name) for x in ended.values()) for name in ("tokens", "cost_micros", "calls")
    ]
    bounds = (limits.max_tokens, limits.max_cost_micros, limits.max_llm_calls)
    overspent = [max(0, used - (most or 0)) for used, most in zip(sums, bounds, strict=True)]
    assert overspent == [0, 0, 0]
    assert not [x for x in found if isinstance(x, f.BudgetExhausted)]


def test_children_of_one_budget_never_overspend_it_while_arms_are_killed(
    log: tuple[Connection, Processor, Path],
) -> None:
    found = _spend(log, children=30, hosts=2, kills=2, seed=1)
    assert [x.task_id for x in found if isinstance(x, f.TaskCompleted)][-1] == "spend-1"
    assert verify_log(log[0]).ok


@pytest.mark.slow
def test_200_children_of_one_budget_never_overspend_it_while_arms_are_killed(
    log: tuple[Connection, Processor, Path],
) -> None:
    found = _spend(log, children=200, hosts=3, kills=12, seed=2)
    ends = Counter(x.outcome for x in found if isinstance(x, f.AttemptEnded))
    assert ends[f.Outcome.SUCCESS] >= 200
    assert sum(ends.values()) > ends[f.Outcome.SUCCESS]  # some were killed, and some failed
    assert verify_log(log[0]).ok
