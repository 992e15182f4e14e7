"""A broker, task processors in processes of their own, and an arm: the engine alone, to be hurt on purpose.

Run as a module, this is a task processor: `python -m tests.chaos.engine BOOTSTRAP STATE_DIR SLOT OPTIONS`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import structlog

from octolog.app.connection import Connection
from octolog.app.processes import Stop, die_with_parent, wait_until
from octolog.app.settings import Settings
from octolog.domain.arm import ArmRegistered
from octolog.domain.assignment import AttemptAssignment
from octolog.domain.errors import Unavailable
from octolog.domain.reports import ExecutionResult
from octolog.ports import LogRecord, Positions
from octolog.testing import capability, success
from streams.kafka.pipeline import TransactionPipeline
from streams.runner import TaskWorker, WorkerSettings
from streams.topics import ARMS, ASSIGNMENTS, CONTRACTS, RESULTS, TASKS
from tests.chaos.ledger import Ledger

ROOT: Final = Path(__file__).resolve().parents[2]
WAIT_S: Final = 60.0


def engine_settings(home: Path, bootstrap_servers: str) -> Settings:
    """Settings that owe nothing to this machine's environment."""
    return Settings(
        home=home, bootstrap_servers=bootstrap_servers, schema_registry_url=None, partitions=4, arms=""
    )


# ------------------------------------------------------------------------------- the processor's process


def die_at(moment: str, nth: int) -> None:
    """Kill this process at its `nth` transaction with inputs: at one of the moments of its way."""
    prepare, commit, seen = TransactionPipeline.prepare, TransactionPipeline.commit, 0

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def prepare_or_die(self: TransactionPipeline, offsets: list[Any], group: Any) -> None:
        nonlocal seen
        seen += bool(offsets)
        if seen == nth and moment == "written":
            self._turns[0]._producer.flush(5)
            die()
        prepare(self, offsets, group)
        if seen == nth and moment == "offsets sent":
            die()

    def commit_or_die(self: TransactionPipeline) -> None:
        commit(self)
        if seen == nth and moment == "committed":
            self.settle()
        if seen == nth:
            die()

    TransactionPipeline.prepare = prepare_or_die  # type: ignore[method-assign]
    TransactionPipeline.commit = commit_or_die  # type: ignore[method-assign]


def processor_main(bootstrap: str, state_dir: str, slot: str, options: str) -> None:
    die_with_parent()
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(file=sys.stdout),
    )
    chosen = json.loads(options)
    if "die_at" in chosen:
        die_at(*chosen.pop("die_at"))
    stop = Stop()
    with Connection(engine_settings(Path(state_dir), bootstrap)) as connection:
        worker = TaskWorker(
            connection.kafka,
            connection.codec(),
            WorkerSettings(slot, Path(state_dir), **chosen),
            connection.ensure_assignment_topic,
        )
        worker.run(stop)


class Processor:
    """A task processor in a process of its own.

    Args:
        bootstrap: Where Kafka is.
        folder: Its state and its log.
        slot: Its slot.
        options: `die_at`, and fields of `WorkerSettings`.
    """

    def __init__(self, bootstrap: str, folder: Path, slot: str = "0", **options: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / f"{slot}-{time.monotonic_ns()}.log"
        arguments = [bootstrap, str(folder), slot, json.dumps(options)]
        with self._log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.engine", *arguments], cwd=ROOT, stdout=out, stderr=out
            )

    def said(self, event: str) -> list[dict[str, Any]]:
        """What it logged under a name."""
        lines = [line for line in self._log.read_text().splitlines() if line.startswith("{")]
        return [said for line in lines if (said := json.loads(line))["event"] == event]

    def output(self) -> str:
        """All it wrote."""
        return self._log.read_text()

    def owns(self) -> set[int]:
        """Partitions it restored last."""
        restored = self.said("restored")
        return set(restored[-1]["partitions"]) if restored else set()

    def wait_for(self, partitions: Iterable[int] = range(4)) -> None:
        """Return once it owns these."""
        wanted = set(partitions)
        assert wait_until(lambda: self.owns() == wanted or self._ended(), WAIT_S), self.output()
        assert not self._ended(), self.output()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and take it off the process table."""
        self.process.kill()
        self.process.wait(WAIT_S)

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        try:
            return self.process.wait(WAIT_S)
        finally:
            self.process.kill()

    def _ended(self) -> bool:
        return self.process.poll() is not None


# ------------------------------------------------------------------------------------------------ the rest


class Answering(threading.Thread):
    """An arm that answers every assignment at once.

    Args:
        connection: Which log.
        arm_id: The arm; registered here.
        answer: Makes the result; None: a success.
    """

    def __init__(
        self,
        connection: Connection,
        arm_id: str,
        answer: Callable[[AttemptAssignment], ExecutionResult | None] = success,
    ) -> None:
        super().__init__(name=arm_id, daemon=True)
        self._topic, self._answer = ASSIGNMENTS + arm_id, answer
        self._publisher, self._codec = connection.publisher(), connection.codec()
        self._reader = connection.reader()
        self._over = threading.Event()
        self._failure: BaseException | None = None
        register(connection, arm_id)
        self.start()

    def run(self) -> None:
        while not self._over.is_set():
            try:
                self._follow()
            except Unavailable:
                time.sleep(0.1)
            except BaseException as error:
                self._failure = error
                raise

    def finish(self) -> None:
        """Answer nothing more; what ended it before fails the test."""
        self._over.set()
        self.join(WAIT_S)
        assert self._failure is None, f"the answering arm died of {self._failure!r}"

    def _follow(self) -> None:
        for batch in self._reader.read(dict.fromkeys(self._reader.ends([self._topic]), 0)):
            for record in batch:
                command = self._codec.decode(record.value)
                if isinstance(command, AttemptAssignment) and (result := self._answer(command)) is not None:
                    self._publisher.publish(RESULTS, command.root_task_id, self._codec.encode(result))
            if self._over.is_set():
                return


def register(connection: Connection, arm_id: str) -> None:
    """Make an arm's topic, and tell the registry of it; its tag is its name."""
    connection.ensure_assignment_topic(arm_id)
    event = ArmRegistered(capability(arm_id, arm_id, max_concurrent_tasks=64), "test")
    produce(connection, ARMS, [(arm_id, connection.codec().encode(event))])


def send(connection: Connection, commands: Iterable[Any], topic: str = CONTRACTS) -> list[LogRecord]:
    """Append commands or reports under their root's key; returns where they lie."""
    codec = connection.codec()
    return produce(connection, topic, [(str(c.root_task_id), codec.encode(c)) for c in commands])


def produce(connection: Connection, topic: str, records: Iterable[tuple[str, bytes]]) -> list[LogRecord]:
    """Append raw bytes; returns where they lie."""
    publisher = connection.publisher()
    heard: list[LogRecord | Exception] = []
    for key, value in records:
        publisher.publish(topic, key, value, done=heard.append)
    publisher.flush(WAIT_S)
    failures = [outcome for outcome in heard if isinstance(outcome, Exception)]
    assert not failures, failures[0]
    return [outcome for outcome in heard if isinstance(outcome, LogRecord)]


class Facts:
    """The facts of a log as they come, counted.

    Args:
        connection: Which log.
    """

    def __init__(self, connection: Connection) -> None:
        self._reader, self._codec = connection.reader(), connection.codec()
        self._next: Positions = dict.fromkeys(self._reader.ends([TASKS]), 0)
        self.ledger = Ledger()

    def read(self) -> Ledger:
        """Everything up to now."""
        ends = self._reader.ends([TASKS])
        for batch in self._reader.read(self._next, until=ends):
            for record in batch:
                self.ledger.add(self._codec.decode(record.value))
        self._next = ends
        return self.ledger

    def wait_until_over(
        self, roots: Iterable[str], timeout_s: float = WAIT_S, *, tell: Callable[[], str] = str
    ) -> Ledger:
        """Return once all these trees have an outcome; `tell` adds to the reason when they have none."""
        wanted = list(roots)
        unavailable = ""

        def over() -> bool:
            nonlocal unavailable
            try:
                return not self.read().lost(wanted)
            except Unavailable as error:
                unavailable = f"{time.monotonic():.1f}: {error}"
            return False

        if not wait_until(over, timeout_s, pause_s=0.1):
            lost = self.ledger.lost(wanted)
            raise AssertionError(
                f"{len(lost)} of {len(wanted)} trees have no outcome after {timeout_s:.0f} s, first {lost[:5]}; "
                f"{self.ledger.told(lost)}; last trouble in reading: {unavailable or 'none'}\n{tell()}"
            )
        return self.ledger


if __name__ == "__main__":
    processor_main(*sys.argv[1:])
