"""The supervisor: starts the broker and the node's processes, brings back what dies, stops them in order."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from deploy.kafka import EmbeddedKafka
from octolog.app.connection import Connection
from octolog.app.node.identity import node_name
from octolog.app.processes import NODE_VARIABLE, SPARE, StateFile, wait_until
from octolog.app.settings import ROLES, Settings
from octolog.domain.errors import OctologError, Unavailable

Stage = Callable[[str, int, int], None]
"""Told of progress: the stage in words, what is done, what there is in all (0: unknown)."""

_READY_S: Final = 120.0
_STOP_S: Final = 6.0
_WATCH_S: Final = 0.1
_BACKOFF_S: Final = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Pauses before the first, second, ... restart in a row of a child that keeps ending by itself."""
_KILLED_BACKOFF_S: Final = 0.2
"""Longest pause after a death by a signal: whoever sent it, the child was not at fault, and its work waits."""
_STEADY_S: Final = 20.0
_SPARE_S: Final = 1.0
"""Pause after any start before a spare is made: whoever just started needs the machine more."""
_BROKER_PAUSE_S: Final = 0.3
_LOG_BYTES: Final = 20_000_000


_log: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class Child:
    """One child process.

    Attributes:
        kind: What it does.
        name: Its name among the node's processes.
        process: The running process.
        started_s: When it was started, monotonic seconds.
        deaths: Deaths in a row.
        restarts: Restarts in all.
        again_s: When it may be started again, monotonic seconds.
    """

    kind: str
    name: str
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    deaths: int = 0
    restarts: int = 0
    again_s: float = 0.0


@dataclass(slots=True)
class Supervisor:
    """Runs one node.

    Attributes:
        settings: What it runs on.
        broker: The embedded broker, unless a cluster was given.
        children: Its processes.
    """

    settings: Settings
    broker: EmbeddedKafka | None = None
    children: list[Child] = field(default_factory=list)
    _spare: subprocess.Popen[bytes] | None = None
    _spawned_s: float = 0.0

    def start(self, progress: Stage) -> str:
        """Start everything and return the bootstrap servers once all processes are ready.

        Raises:
            OctologError: When something cannot start; what was started is stopped again.
        """
        try:
            servers = self._start_broker(progress)
            progress("topics and schemas", 0, 0)
            self._prepare(servers)
            self._start_children(servers)
            self._wait_ready(progress)
        except BaseException:
            self.stop()
            raise
        return servers

    def watch(self, stop: Callable[[], bool]) -> None:
        """Bring back what dies, until `stop()`."""
        while not stop():
            self._revive_broker()
            for child in self.children:
                self._revive(child)
            self._keep_a_spare()
            time.sleep(_WATCH_S)

    def stop(self) -> None:
        """Stop the processes, then the broker; whoever does not go within bounds is killed."""
        if self._spare is not None:
            self._spare.kill()
            self._spare.communicate()
            self._spare = None
        for child in self.children:
            if child.process is not None and child.process.poll() is None:
                child.process.terminate()
        for child in self.children:
            if child.process is not None:
                _end(child.process)
            StateFile(self.settings.run_dir / f"{child.name}.json").remove()
        if self.broker is not None:
            self.broker.stop()

    def _start_broker(self, progress: Stage) -> str:
        if self.settings.bootstrap_servers:
            return self.settings.bootstrap_servers
        self.broker = EmbeddedKafka(self.settings.home, port=self.settings.broker_port)
        self.broker.ensure_jars(lambda done, total, name: progress(f"fetching Kafka: {name}", done, total))
        progress("starting Kafka", 0, 0)
        servers = self.broker.start().bootstrap_servers
        # From now on no other port will do: every client of this node knows this one. A killed broker may hold it
        # for moments yet, while its threads end.
        port = int(servers.rsplit(":", 1)[1])
        self.broker = EmbeddedKafka(self.settings.home, port=port)
        return servers

    def _prepare(self, servers: str) -> None:
        pinned = self.settings.model_copy(update={"bootstrap_servers": servers})
        with Connection(pinned) as connection:
            connection.admin().wait()
            connection.ensure_topics()
            _ = connection.schema_ids

    def _start_children(self, servers: str) -> None:
        settings = self.settings
        pinned = settings.model_copy(update={"bootstrap_servers": servers, "node": node_name(settings)})
        os.environ[NODE_VARIABLE] = pinned.frozen_json()
        names = {"processor": [f"processor-{number}" for number in range(settings.processors)]}
        roles = [role for role in ROLES if settings.runs(role) and (role != "arms" or settings.arms)]
        self.children = [Child(role, name) for role in roles for name in names.get(role, [role])]
        if settings.metrics_port is not None:
            self.children.append(Child("metrics", "metrics"))
        for child in self.children:
            self._spawn(child)

    def _spawn(self, child: Child) -> None:
        child.process = self._from_spare(child) or self._worker(child.name, child.kind, child.name)
        child.started_s = self._spawned_s = time.monotonic()

    def _worker(self, log_name: str, *arguments: str) -> subprocess.Popen[bytes]:
        with self._log(log_name) as log:
            return subprocess.Popen(
                [sys.executable, "-m", "octolog.app.worker", *arguments],
                stdin=subprocess.PIPE if arguments == (SPARE,) else subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ.copy(),
            )

    def _keep_a_spare(self) -> None:
        """Have a process at hand that has loaded everything: a killed processor's successor starts in no time."""
        lives = self._spare is not None and self._spare.poll() is None
        useful = self.settings.runs("processor")
        if useful and not lives and time.monotonic() - self._spawned_s > _SPARE_S:
            self._spare = self._worker(SPARE, SPARE)

    def _from_spare(self, child: Child) -> subprocess.Popen[bytes] | None:
        spare = self._spare
        if child.kind != "processor" or spare is None or spare.stdin is None or spare.poll() is not None:
            return None
        self._spare = None
        try:
            with spare.stdin as order:
                order.write(
                    json.dumps([child.kind, child.name, str(log_of(self.settings, child.name))]).encode()
                )
        except OSError:  # it died at this moment
            return None
        return spare

    def _log(self, name: str) -> IO[bytes]:
        folder = self.settings.log_dir
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.log"
        if path.exists() and path.stat().st_size > _LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return path.open("ab")

    def _wait_ready(self, progress: Stage) -> None:
        files = {
            child.name: StateFile(self.settings.run_dir / f"{child.name}.json") for child in self.children
        }
        total = len(files)

        def ready() -> bool:
            for child in self.children:
                if child.process is not None and child.process.poll() not in (None, 0):
                    raise OctologError(self._obituary(child))
            up = sum((state.read() or {}).get("state") == "ready" for state in files.values())
            progress("starting processes", up, total)
            return bool(up == total)

        if not wait_until(ready, _READY_S, pause_s=0.05):
            late = [name for name, state in files.items() if (state.read() or {}).get("state") != "ready"]
            raise Unavailable(
                f"not ready after {_READY_S:.0f} s: {', '.join(late)}; see {self.settings.log_dir}"
            )

    def _obituary(self, child: Child) -> str:
        said = (StateFile(self.settings.run_dir / f"{child.name}.json").read() or {}).get("detail")
        return f"{child.name} did not start: {said or 'see ' + str(self.settings.log_dir / (child.name + '.log'))}"

    def _revive_broker(self) -> None:
        if self.broker is not None and self.broker.find_running() is None:
            try:
                self.broker.start()
            except OctologError as error:
                _log.warning("the broker is not back yet: %s", error)
                time.sleep(_BROKER_PAUSE_S)

    def _revive(self, child: Child) -> None:
        if child.process is None or child.process.poll() is None:
            return
        now_s = time.monotonic()
        if not child.again_s:
            steady = now_s - child.started_s > _STEADY_S
            child.deaths = 0 if steady else min(child.deaths + 1, len(_BACKOFF_S) - 1)
            pause_s = _BACKOFF_S[child.deaths]
            killed = child.process.returncode < 0
            child.again_s = now_s + (min(pause_s, _KILLED_BACKOFF_S) if killed else pause_s)
        if now_s >= child.again_s:
            child.again_s = 0.0
            child.restarts += 1
            self._spawn(child)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def log_of(settings: Settings, name: str) -> Path:
    """Where a process writes its log."""
    return settings.log_dir / f"{name}.log"
