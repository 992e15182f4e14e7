"""Trees of one step without end, a bounded number of them open: the bench is producer and arm at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from confluent_kafka import Producer

from benches._cluster import Cluster, Facts
from benches._work import contract, facts_of, result
from streams.topics import CONTRACTS, RESULTS

ARM: Final = "echo"
STEP: Final = "plan"
_SILENCE_S: Final = 60.0


class Feeder:
    """Submits waves of trees and answers for their arm.

    Args:
        cluster: Where; the arm `ARM` is registered.
        wave: Trees of a wave; twice as many are open at most.
    """

    def __init__(self, cluster: Cluster, wave: int) -> None:
        self._cluster, self._wave = cluster, wave
        self._facts = Facts(cluster)
        self._producer = Producer(cluster.kafka.producer(linger_ms=5))
        self.submitted = 0
        self.finished = 0

    def run(self, until: Callable[[int], bool]) -> None:
        """Wave after wave until `until(trees begun)`; then all that were begun are finished.

        Raises:
            RuntimeError: Nothing came for a minute.
        """
        before: list[str] = []
        while True:
            new = [] if until(self.submitted) else self._next_wave()
            if not new and not before:
                return
            for task_id in new:
                self._send(CONTRACTS, task_id, self._cluster.codec.encode(contract(task_id, 1, ARM)))
            self._answer(before)
            self._await(2 * len(new) + (facts_of(1) - 2) * len(before))
            self.finished += len(before)
            before = new

    def close(self) -> None:
        """Release the connections."""
        self._facts.close()

    def _answer(self, task_ids: list[str]) -> None:
        for task_id in task_ids:
            self._send(RESULTS, task_id, self._cluster.codec.encode(result(task_id, STEP, ARM)))
        self._producer.flush(30)

    def _next_wave(self) -> list[str]:
        first = self.submitted
        self.submitted += self._wave
        return [f"tree-{number}" for number in range(first, self.submitted)]

    def _send(self, topic: str, key: str, value: bytes) -> None:
        self._producer.produce(topic, value, key.encode())
        self._producer.poll(0)

    def _await(self, facts: int) -> None:
        heard_s = time.monotonic()
        while facts > 0:
            found = len(self._facts.poll(0.2))
            facts -= found
            now_s = time.monotonic()
            heard_s = now_s if found else heard_s
            if now_s - heard_s > _SILENCE_S:
                raise RuntimeError(f"{facts} facts did not come for {_SILENCE_S:.0f} s")
        assert facts == 0, f"{-facts} facts too many"
