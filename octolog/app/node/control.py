"""A node of this machine: `up`, `down`, `status`."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from octolog.app.processes import StateFile, Stop, wait_until
from octolog.app.settings import Settings
from octolog.domain.errors import OctologError, Unavailable

if TYPE_CHECKING:
    # Whoever only asks how a node is, as most commands do, need not wait for what it takes to run one.
    import psutil

    from octolog.app.node.supervisor import Stage, Supervisor

_NODE: Final = "node"
_START_S: Final = 180.0
_STOP_S: Final = 40.0


@dataclass(slots=True)
class NodeInfo:
    """A node that runs.

    Attributes:
        bootstrap_servers: Where Kafka is.
        query_url: Where the query service is.
        pid: The supervisor's process.
        home: The node's folder.
        already_running: True when it was found, not started.
        seconds: How long the start took.
    """

    bootstrap_servers: str
    query_url: str
    pid: int
    home: Path
    already_running: bool
    seconds: float
    _supervisor: Supervisor | None = field(default=None, repr=False)
    _stop: Stop | None = field(default=None, repr=False)

    def wait(self) -> None:
        """Run in the foreground until SIGTERM or SIGINT, then stop everything; returns at once when detached."""
        if self._supervisor is None or self._stop is None:
            return
        try:
            self._supervisor.watch(self._stop)
        finally:
            self.stop()

    def stop(self) -> None:
        """Stop what this call started."""
        if self._supervisor is not None:
            self._supervisor.stop()
            StateFile(self.home / "run" / f"{_NODE}.json").remove()


@dataclass(frozen=True, slots=True)
class Component:
    """One process of a node.

    Attributes:
        name: Its name.
        state: `ready`, `starting`, `failed`, `stopped`, `dead`, ...
        pid: Its process; 0 when there is none.
        rss_bytes: Its resident memory.
        detail: What it says of itself.
    """

    name: str
    state: str
    pid: int
    rss_bytes: int
    detail: str


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """How a node is.

    Attributes:
        running: True when its supervisor is alive.
        components: Its processes.
        bootstrap_servers: Where Kafka is.
        query_url: Where the query service is.
        home: The node's folder.
    """

    running: bool
    components: list[Component]
    bootstrap_servers: str | None
    query_url: str | None
    home: Path


def up(settings: Settings, *, detach: bool, progress: Stage) -> NodeInfo:
    """Start a node, or find the one that runs.

    Args:
        settings: What it runs on.
        detach: True: it outlives this process; False: call `wait()` on what is returned.
        progress: Told of each stage.

    Raises:
        OctologError: When it cannot start, with the reason.
    """
    found = _running(settings)
    if found is not None:
        return found
    return _up_detached(settings, progress) if detach else _up_here(settings, progress)


def down(settings: Settings) -> bool:
    """Stop the node of this home and its broker; False when none ran."""
    import psutil

    state = _node_file(settings).read()
    supervisor = process_of(state)
    stopped = False
    if supervisor is not None:
        supervisor.terminate()
        try:
            supervisor.wait(_STOP_S)
        except psutil.TimeoutExpired:
            supervisor.kill()
        stopped = True
    _node_file(settings).remove()
    if not settings.bootstrap_servers:
        from deploy.kafka import EmbeddedKafka

        stopped = EmbeddedKafka(settings.home, port=settings.broker_port).stop() or stopped
    return stopped


def status(settings: Settings) -> NodeStatus:
    """How the node of this home is."""
    state = _node_file(settings).read()
    components = [_broker(settings)] if not settings.bootstrap_servers else []
    if settings.run_dir.is_dir():
        files = [(path.stem, StateFile(path).read()) for path in sorted(settings.run_dir.glob("*.json"))]
        components += [_component(name, said) for name, said in files if said is not None and "kind" in said]
    running = process_of(state) is not None
    known: dict[str, Any] = state or {}
    return NodeStatus(
        running,
        components,
        settings.bootstrap_servers or known.get("bootstrap_servers"),
        query_url(settings) if running else None,
        settings.home,
    )


def runs(settings: Settings) -> bool:
    """Whether the node of this home runs, whatever it is at."""
    return process_of(_node_file(settings).read()) is not None


def process_of(state: dict[str, Any] | None) -> psutil.Process | None:
    """The live process that wrote a state file; None for a dead one, or another that got its number."""
    if state is None:
        return None
    import psutil

    try:
        process = psutil.Process(state["pid"])
        alive = process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        return process if alive and process.create_time() <= state["written_s"] + 1 else None
    except (psutil.Error, KeyError):
        return None


def query_url(settings: Settings) -> str | None:
    """Where the running node answers queries; None when it does not."""
    said = StateFile(settings.run_dir / "knowledge.json").read()
    if said is None or process_of(said) is None:
        return None
    return said.get("url")


def serve(settings: Settings) -> int:
    """The supervisor's own process, for a detached node."""
    from octolog.app.node.supervisor import Supervisor

    stop = Stop()
    node_file = _node_file(settings)
    supervisor = Supervisor(settings)

    def progress(stage: str, done: int, total: int) -> None:
        node_file.write(state="starting", stage=stage, done=done, total=total)

    try:
        servers = supervisor.start(progress)
    except OctologError as error:
        node_file.write(state="failed", detail=str(error))
        return 1
    node_file.write(state="ready", bootstrap_servers=servers)
    try:
        supervisor.watch(stop)
    finally:
        supervisor.stop()
        node_file.remove()
    return 0


def _up_here(settings: Settings, progress: Stage) -> NodeInfo:
    from octolog.app.node.supervisor import Supervisor

    started_s = time.monotonic()
    stop = Stop()
    supervisor = Supervisor(settings)
    servers = supervisor.start(progress)
    _node_file(settings).write(state="ready", bootstrap_servers=servers)
    return NodeInfo(
        servers,
        query_url(settings) or "",
        os.getpid(),
        settings.home,
        already_running=False,
        seconds=time.monotonic() - started_s,
        _supervisor=supervisor,
        _stop=stop,
    )


def _up_detached(settings: Settings, progress: Stage) -> NodeInfo:
    started_s = time.monotonic()
    node_file = _node_file(settings)
    node_file.remove()
    settings.log_dir.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OCTOLOG_SERVE": settings.frozen_json()}
    with (settings.log_dir / "supervisor.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "octolog.app.node.control"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    # It outlives this process; should it end before, somebody must take it off the process table.
    threading.Thread(target=process.wait, name="supervisor", daemon=True).start()
    said: dict[str, Any] = {}

    def settled() -> bool:
        nonlocal said
        said = node_file.read() or {}
        if "stage" in said:
            progress(said["stage"], said["done"], said["total"])
        return said.get("state") in ("ready", "failed") or process.poll() is not None

    if not wait_until(settled, _START_S, pause_s=0.03):
        process.terminate()
        raise Unavailable(f"not ready after {_START_S:.0f} s; see {settings.log_dir}")
    if said.get("state") != "ready":
        node_file.remove()
        reason = said.get("detail") or f"see {settings.log_dir / 'supervisor.log'}"
        raise OctologError(f"the node did not start: {reason}")
    return NodeInfo(
        said["bootstrap_servers"],
        query_url(settings) or "",
        process.pid,
        settings.home,
        already_running=False,
        seconds=time.monotonic() - started_s,
    )


def _running(settings: Settings) -> NodeInfo | None:
    state = _node_file(settings).read()
    process = process_of(state)
    if state is None or process is None or state.get("state") == "failed":
        return None

    def ready() -> bool:
        return (_node_file(settings).read() or {}).get("state") != "starting"

    wait_until(ready, _START_S, pause_s=0.1)
    state = _node_file(settings).read()
    if state is None or state.get("state") != "ready":
        return None
    return NodeInfo(
        state["bootstrap_servers"],
        query_url(settings) or "",
        process.pid,
        settings.home,
        already_running=True,
        seconds=0.0,
    )


def _node_file(settings: Settings) -> StateFile:
    return StateFile(settings.run_dir / f"{_NODE}.json")


def _component(name: str, said: dict[str, Any]) -> Component:
    process = process_of(said)
    if process is None:
        return Component(name, said["state"] if said["state"] in ("failed", "stopped") else "dead", 0, 0, "")
    return Component(name, said["state"], process.pid, process.memory_info().rss, said.get("detail", ""))


def _broker(settings: Settings) -> Component:
    import psutil

    from deploy.kafka import EmbeddedKafka

    info = EmbeddedKafka(settings.home, port=settings.broker_port).find_running()
    if info is None:
        return Component("kafka", "stopped", 0, 0, "")
    rss = psutil.Process(info.pid).memory_info().rss
    return Component("kafka", "ready", info.pid, rss, info.bootstrap_servers)


if __name__ == "__main__":
    from octolog.app.node.crash import redact_crashes

    redact_crashes()
    sys.exit(serve(Settings.model_validate_json(os.environ["OCTOLOG_SERVE"])))
