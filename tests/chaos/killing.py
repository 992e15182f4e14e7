"""Kills one process of a running node after another, at moments that a seed decides."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from deploy.kafka import EmbeddedKafka
from octolog.app.processes import StateFile
from octolog.app.settings import Settings
from tests.chaos.takeover import Takeovers

WEIGHTS = {"processor": 50, "arms": 20, "knowledge": 20, "broker": 10}


class Killer:
    """Sends SIGKILL.

    Args:
        settings: The node.
        rng: Decides whom and when.
        takeovers: Told of every processor that dies.
    """

    def __init__(self, settings: Settings, rng: random.Random, takeovers: Takeovers) -> None:
        self._settings, self._rng, self._takeovers = settings, rng, takeovers
        self._broker_pid = 0
        self._owned: dict[str, frozenset[int]] = {}
        self.kills: Counter[str] = Counter()

    def run(self, seconds: float, mean_gap_s: float, *, at_least: int = 0) -> None:
        """Kill for so long; the pauses in between are random, never shorter than a third of their mean.

        A slow machine takes its time to bring victims back: there it goes on until so many have died, for five
        times as long at most.
        """
        began_s = time.monotonic()
        while (spent_s := time.monotonic() - began_s) < seconds or (
            self.kills.total() < at_least and spent_s < 5 * seconds
        ):
            time.sleep(mean_gap_s / 3 + self._rng.expovariate(1.5 / mean_gap_s))
            kind = self._rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
            before = self.kills.total()
            self._kill(kind)
            while self.kills.total() == before:  # its victim is being brought back: take the next that lives
                time.sleep(0.05)
                self._kill(self._rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0])

    def _kill(self, kind: str) -> None:
        if kind == "broker":
            self._kill_broker()
        elif kind == "processor":
            self.kill_processor(f"processor-{self._rng.randrange(self._settings.processors)}")
        elif self._signal(StateFile(self._settings.run_dir / f"{kind}.json")):
            self.kills[kind] += 1

    def _kill_broker(self) -> None:
        info = EmbeddedKafka(self._settings.home, port=self._settings.broker_port).find_running()
        if info is None or info.pid == self._broker_pid:  # down, or found dying
            return
        self._broker_pid = info.pid
        with suppress(ProcessLookupError):
            os.kill(info.pid, signal.SIGKILL)
            self._takeovers.broker_killed()
            self.kills["broker"] += 1

    def kill_processor(self, name: str) -> None:
        """Kill this one, if it lives."""
        state = StateFile(self._settings.run_dir / f"{name}.json")
        said = state.read() or {}
        owned = frozenset(map(int, re.findall(r"\d+", str(said.get("detail", "")).partition("]")[0])))
        # One that is starting says nothing yet: it will take what its predecessor had.
        self._owned[name] = owned or self._owned.get(name, frozenset())
        if self._signal(state):
            self._takeovers.killed(self._owned[name])
            self.kills["processor"] += 1

    @staticmethod
    def _signal(state: StateFile) -> bool:
        said = state.read()
        if said is None or not _is_ours(said["pid"]):
            return False
        try:
            os.kill(said["pid"], signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True


def _is_ours(pid: int) -> bool:
    """True for a live child of a node: its number may have gone to somebody else."""
    with suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return b"octolog.app.worker" in command
    return False
