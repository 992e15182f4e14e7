"""Child processes of a bench: the processor, the arms' host."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benches._cluster import Cluster, cpu_s
from octolog.domain.arm import ArmRegistered
from streams.topics import ARMS

_HERE: Final = Path(__file__).resolve().parent
_START_S: Final = 60.0
_STOP_S: Final = 15.0


class Processor:
    """The task processor as a child.

    Args:
        cluster: Where it works.
        **settings: Of its `WorkerSettings`; the product's defaults for the rest.
    """

    def __init__(self, cluster: Cluster, **settings: object) -> None:
        given = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
        self.process = subprocess.Popen(
            [
                sys.executable,
                str(_HERE / "_processor.py"),
                f"--bootstrap-servers={cluster.bootstrap_servers}",
                f"--state-dir={cluster.folder / 'state'}",
                *given,
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.started_s = time.monotonic()
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()
        self.last: dict[str, Any] = {"facts": 0, "commits": 0}
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def pid(self) -> int:
        """Its process."""
        return self.process.pid

    def wait_for(self, event: str, timeout_s: float = _START_S) -> dict[str, Any]:
        """The next line of that kind.

        Raises:
            RuntimeError: It died, or said nothing of the kind in time.
        """
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            try:
                self.last = self._lines.get(timeout=0.05)
            except queue.Empty:
                if self.process.poll() is not None and self._lines.empty():
                    raise RuntimeError(f"the processor ended with {self.process.returncode}") from None
                continue
            if self.last["event"] == event:
                return self.last
        raise RuntimeError(f"the processor did not say {event!r} within {timeout_s:.0f} s")

    def latest(self) -> dict[str, Any]:
        """The last line there is."""
        while not self._lines.empty():
            self.last = self._lines.get()
        return self.last

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def cpu_s(self) -> float:
        """Processor time so far, seconds."""
        return cpu_s(self.pid)

    def stop(self) -> None:
        """End it in order."""
        _end(self.process)

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(json.loads(line))


@contextmanager
def processor(cluster: Cluster, **settings: object) -> Iterator[Processor]:
    """A processor that owns its partitions; stopped at the end."""
    child = Processor(cluster, **settings)
    try:
        child.wait_for("ready")
        yield child
    finally:
        child.stop()


@contextmanager
def noop_arm(cluster: Cluster) -> Iterator[subprocess.Popen[bytes]]:
    """The arms' host with the no-op arm, registered; stopped at the end."""
    process = subprocess.Popen([sys.executable, str(_HERE / "_arms.py"), cluster.bootstrap_servers])
    try:
        _await_registration(cluster, process)
        yield process
    finally:
        _end(process)


def _await_registration(cluster: Cluster, process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + _START_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            raise RuntimeError(f"the arms' host ended with {process.returncode}")
        if any(isinstance(cluster.codec.decode(r.value), ArmRegistered) for r in cluster.committed(ARMS)):
            return
        time.sleep(0.1)
    raise RuntimeError(f"the no-op arm was not registered within {_START_S:.0f} s")


def _end(process: subprocess.Popen[Any]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
