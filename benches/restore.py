"""A kill and its successor: from `kill -9` in an open transaction under load to the successor's first commit.

The processor dies of SIGKILL when all of a transaction but its commit is on the broker; the successor, the same slot,
is started at once, as a supervisor would. It must end the dead one's transaction, restore every partition from
snapshots and facts, take the group's partitions back, and commit. Load goes on meanwhile. Afterwards every tree must
be complete, every fact there once and every chain unbroken.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benches._children import Processor
from benches._cluster import Cluster, cluster
from benches._feeder import ARM, Feeder
from benches._run import options, report, say, spread
from benches._work import audit

KILLS: Final = {"quick": 6, "full": 30}
WAVE: Final = 200
WINDOW: Final = 1_000_000
LEASE_MS: Final = 120_000
"""Longer than the whole run may stall: a lease that expired would add attempts that nobody answers."""

BETWEEN_S: Final = 1.5


@dataclass(frozen=True, slots=True)
class Takeover:
    """One kill.

    Attributes:
        first_commit_ms: From the death to the successor's first transaction with inputs, its process start included.
        owned_ms: To its partitions being restored and owned.
    """

    first_commit_ms: float
    owned_ms: float


def main() -> None:
    """Measure, check, print."""
    given = options(__doc__ or "")
    size = "full" if given.full else "quick"
    with cluster() as where:
        where.register_arm(ARM)
        feeder = Feeder(where, WAVE)
        stop = threading.Event()
        failures: list[BaseException] = []
        load = threading.Thread(target=_guarded, args=(lambda: feeder.run(lambda _: stop.is_set()), failures))
        child = Processor(where, window=WINDOW, lease_ms=LEASE_MS)
        child.wait_for("ready")
        load.start()
        child.wait_for("committed")
        takeovers: list[Takeover] = []
        for number in range(KILLS[size]):
            time.sleep(BETWEEN_S)
            child, takeover = _kill_and_replace(where, child)
            takeovers.append(takeover)
            say(f"kill {number + 1}: first commit after {takeover.first_commit_ms:.0f} ms")
        stop.set()
        load.join()
        child.stop()
        feeder.close()
        assert not failures, failures
        checked = audit(where, _trees(feeder))
    report(
        {
            "bench": "restore",
            "size": size,
            "kills_with_an_open_transaction": len(takeovers),
            "kill_to_first_commit": spread([t.first_commit_ms for t in takeovers]),
            "kill_to_partitions_owned": spread([t.owned_ms for t in takeovers]),
            "wave_of_trees": WAVE,
            "window": WINDOW,
            "lease_ms": LEASE_MS,
            "checked": {
                "trees_completed": checked.trees, "facts": checked.facts, "kinds": checked.kinds, "dead_letters": 0
            },
        }
    )  # fmt: skip


def _kill_and_replace(where: Cluster, child: Processor) -> tuple[Processor, Takeover]:
    child.signal(signal.SIGUSR1)
    code = child.process.wait(30)
    died_s = time.monotonic()
    assert code == -signal.SIGKILL, f"the processor ended with {code}"
    successor = Processor(where, window=WINDOW, lease_ms=LEASE_MS)
    owned = successor.wait_for("ready")
    committed = successor.wait_for("committed")
    return successor, Takeover((committed["at_s"] - died_s) * 1_000, (owned["at_s"] - died_s) * 1_000)


def _guarded(action: Callable[[], None], failures: list[BaseException]) -> None:
    try:
        action()
    except BaseException as error:  # noqa: BLE001 -- told to the main thread
        failures.append(error)


def _trees(feeder: Feeder) -> dict[str, int]:
    assert feeder.finished == feeder.submitted
    return {f"tree-{number}": 1 for number in range(feeder.finished)}


if __name__ == "__main__":
    main()
