"""How much of a core this machine has left: bounds on time say nothing about a program that gets no time."""

from __future__ import annotations

import subprocess
import sys
import threading

_SPIN = """
import time
began_s, used_s = time.perf_counter(), time.process_time()
while time.process_time() - used_s < 0.05:
    pass
print(0.05 / (time.perf_counter() - began_s))
"""


class Pace(threading.Thread):
    """Asks every few seconds which share of a core a process of its own gets.

    Args:
        every_s: Seconds between two samples.
    """

    def __init__(self, every_s: float = 3.0) -> None:
        super().__init__(name="pace", daemon=True)
        self._every_s, self._over = every_s, threading.Event()
        self.shares: list[float] = []

    def run(self) -> None:
        while not self._over.wait(self._every_s):
            said = subprocess.run([sys.executable, "-c", _SPIN], capture_output=True, check=True, text=True)
            self.shares.append(float(said.stdout))

    def finish(self) -> float:
        """Stop; the mean share, 1.0 for a machine with a core to spare."""
        self._over.set()
        self.join(30)
        return sum(self.shares) / len(self.shares) if self.shares else 1.0
