"""Health and circuit breakers through a real broker: a processor in a process of its own, and the registry's keeper."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from octolog.app.arms.prober import HttpProber
from octolog.app.audit.verification import verify_log
from octolog.app.connection import Connection
from octolog.app.processes import wait_until
from octolog.domain import facts as f
from octolog.domain.arm import (
    ArmBreakerChanged,
    ArmCallCounted,
    ArmCapability,
    ArmEvent,
    ArmHealthChanged,
    ArmRegistered,
    BreakerState,
    Health,
)
from octolog.domain.assignment import AttemptAssignment
from octolog.domain.reports import ExecutionResult
from octolog.domain.values import RetryPolicy
from octolog.testing import capability, failure, submit, success
from schemas.codec import RecordedFact
from streams.registry_keeper import RegistryKeeper
from streams.topics import ARMS, TASKS
from tests.chaos.engine import WAIT_S, Answering, Facts, Processor, produce, send
from tests.chaos.own_log import own_log

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("kafka_jars"), pytest.mark.timeout(300)]

ONCE = RetryPolicy(max_attempts=1)


@dataclass
class Engine:
    """A log with a processor and a keeper."""

    log: Connection
    processor: Processor

    def records(self, topic: str) -> Iterator[Any]:
        reader, codec = self.log.reader(), self.log.codec()
        ends = reader.ends([topic])
        for batch in reader.read(dict.fromkeys(ends, 0), until=ends):
            for record in batch:
                yield codec.decode(record.value)

    def said_of(self, arm: str, *kinds: type[Any]) -> list[Any]:
        """What the registry says of an arm, in order."""
        return [e for e in self.records(ARMS) if isinstance(e, kinds) and getattr(e, "arm_id", "") == arm]

    def facts_of(self, root_id: str) -> list[f.Fact]:
        found: Iterator[RecordedFact] = self.records(TASKS)
        return [recorded.fact for recorded in found if recorded.link.root_task_id == root_id]

    def tell(self, arm: str, event: ArmEvent) -> None:
        produce(self.log, ARMS, [(arm, self.log.codec().encode(event))])

    def register(self, arm: ArmCapability) -> None:
        self.tell(arm.arm_id, ArmRegistered(arm, "test"))

    def until(self, true: Callable[[], bool]) -> None:
        assert wait_until(true, WAIT_S, pause_s=0.05), self.processor.output()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("registry")
    with own_log(folder) as (log, bootstrap):
        processor = Processor(bootstrap, folder / "state")
        with keeping(log, "keeper"):
            yield Engine(log, processor)
        processor.stop()


@contextmanager
def keeping(log: Connection, member: str) -> Iterator[RegistryKeeper]:
    """A keeper that looks often."""
    over = threading.Event()
    prober = HttpProber(every_s=0.1, confirm_after_s=0.1)
    keeper = RegistryKeeper(log.kafka, log.codec(), member, prober)
    thread = threading.Thread(target=keeper.run, args=(over.is_set,), daemon=True)
    thread.start()
    try:
        yield keeper
    finally:
        over.set()
        thread.join(WAIT_S)
        prober.close()


@dataclass
class Health200:
    """A health page."""

    status: int = 200
    url: str = ""
    server: ThreadingHTTPServer | None = None

    def open(self) -> None:
        page = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(page.status)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class names it
                pass

        port = int(self.url.rsplit(":", 1)[1].rstrip("/")) if self.url else 0
        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        assert self.server is not None
        self.server.shutdown()
        self.server.server_close()


def test_behaviour_13_each_change_of_health_is_one_fact_whoever_keeps_the_registry(engine: Engine) -> None:
    page = Health200()
    page.open()
    engine.register(capability("probed", health_check_url=page.url))

    def healths() -> list[Health]:
        return [event.health for event in engine.said_of("probed", ArmHealthChanged)]

    page.status = 500
    engine.until(lambda: healths() == [Health.DEGRADED])
    page.close()
    engine.until(lambda: healths() == [Health.DEGRADED, Health.UNAVAILABLE])
    with keeping(engine.log, "second") as second:  # one of two writes, and what is known is not said again
        page.status = 200
        page.open()
        engine.until(lambda: Health.HEALTHY in healths())
        assert healths() == [Health.DEGRADED, Health.UNAVAILABLE, Health.HEALTHY]
        assert second is not None
    page.close()
    engine.until(lambda: len(healths()) == 4)
    assert healths()[-1] is Health.UNAVAILABLE


@dataclass
class Service:
    """An arm that fails as long as it is told to."""

    broken: bool = True
    calls: list[str] = field(default_factory=list)

    def __call__(self, of: AttemptAssignment) -> ExecutionResult:
        self.calls.append(of.root_task_id)
        return failure(of, "its backend is away", retryable=True) if self.broken else success(of)


def test_behaviour_14_five_failures_open_the_breaker_and_probes_close_it(engine: Engine) -> None:
    service = Service()
    answering = Answering(engine.log, "flaky", service)
    try:
        engine.register(capability("flaky", "flaky", breaker_reset_ms=1_500, breaker_probes=2))
        want: dict[str, Any] = {"required_capabilities": ("flaky",), "retry": ONCE}
        five = [f"flaky-{number}" for number in range(5)]
        send(engine.log, [submit(root, **want) for root in five])
        Facts(engine.log).wait_until_over(five, tell=engine.processor.output)
        engine.until(lambda: _states(engine) == [BreakerState.OPEN])
        send(engine.log, [submit("flaky-sixth", **want)])
        engine.until(lambda: any(isinstance(x, f.RoutingDeferred) for x in engine.facts_of("flaky-sixth")))
        assert sorted(service.calls) == five  # the sixth was not sent
        service.broken = False
        Facts(engine.log).wait_until_over(["flaky-sixth"], tell=engine.processor.output)
        send(engine.log, [submit("flaky-seventh", **want)])
        Facts(engine.log).wait_until_over(["flaky-seventh"], tell=engine.processor.output)
        expected = [BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED]
        engine.until(lambda: _states(engine) == expected)
    finally:
        answering.finish()
    [waited] = [x for x in engine.facts_of("flaky-sixth") if isinstance(x, f.RoutingDeferred)]
    assert waited.reason.endswith("nearest: flaky has an open circuit breaker")
    calls = engine.said_of("flaky", ArmCallCounted)
    assert [call.failed for call in calls] == [True] * 5 + [False] * 2
    report = verify_log(engine.log)
    assert report.ok, report


def _states(engine: Engine) -> list[BreakerState]:
    return [event.state for event in engine.said_of("flaky", ArmBreakerChanged)]
