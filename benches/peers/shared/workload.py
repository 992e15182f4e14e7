"""Workload W, the same for every durable-execution peer, and how it is measured.

W is N tasks, each `plan -> execute -> judge`: three steps that do nothing but return 200 bytes, each recorded durably
before the next begins. A peer supplies only `open_worker`, which prepares one process and returns the function that
runs one task; everything that could favour somebody (clock, load, percentiles) is here once. Standard library only:
this module is imported inside the peers' own virtual environments.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue
    from multiprocessing.synchronize import Barrier

STEPS: Final = ("plan", "execute", "judge")
RESULT_BYTES: Final = 200
WARM_UP_TASKS: Final = (
    10  # per process, before the clock starts: first use pays imports, pools and query plans
)
LATENCY_THREADS: Final = (
    8  # tasks arrive while others run: one worker would make each wait for the one before
)
START_TIMEOUT_S: Final = 60.0

RunTask = Callable[[str], None]
OpenWorker = Callable[[int], RunTask]


@dataclass(frozen=True)
class Load:
    """What one run asks for.

    Attributes:
        mode: `throughput` (closed loop: each worker submits its next task when its last is done) or
            `latency` (open loop: a task is due every 1 / `rate_per_s`, whatever the system does).
        tasks: Tasks over all processes, warm-up not counted.
        rate_per_s: Arrivals per second in latency mode.
        processes: Operating-system processes.
        threads: Workers in each process.
    """

    mode: str
    tasks: int
    rate_per_s: float
    processes: int
    threads: int


@dataclass(frozen=True)
class Share:
    """What one process measured: its clock at start and end (s, monotonic) and each task's latency (s)."""

    start_s: float
    end_s: float
    latencies_s: tuple[float, ...]


def step_result(step: str, task_id: str) -> str:
    """Return the 200 bytes a step of a task records; different for each, so that nothing can be shared."""
    return f"{step}:{task_id}:".ljust(RESULT_BYTES, ".")


def arguments(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options every peer shares."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("mode", choices=("throughput", "latency"))
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--rate-per-s", type=float, default=20.0)
    parser.add_argument("--processes", type=int, help="default: the peer's own, see README.md")
    parser.add_argument("--threads", type=int, help="workers in each process; default: the peer's own")
    parser.add_argument(
        "--sync",
        choices=("disk", "os"),
        default="disk",
        help="a step is durable once on disk (fsync), or once the operating system has it (as with one Kafka broker)",
    )
    return parser


def load_from(options: argparse.Namespace, *, processes: int, threads: int) -> Load:
    """Return the load the options ask for, with the peer's best settings where they name none."""
    if options.mode == "latency":
        processes, threads = 1, LATENCY_THREADS
    return Load(
        options.mode,
        options.tasks,
        options.rate_per_s,
        options.processes or processes,
        options.threads or threads,
    )


def measure(load: Load, open_worker: OpenWorker) -> list[Share]:
    """Run the load in forked processes that start together and return what each measured.

    Raises:
        RuntimeError: A process failed; its own error is on stderr.
    """
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(load.processes), context.SimpleQueue()
    workers = [
        context.Process(target=_work, args=(load, slot, open_worker, barrier, results))
        for slot in range(load.processes)
    ]
    for worker in workers:
        worker.start()
    shares: list[Share] = []
    while len(shares) < load.processes:
        if not results.empty():
            shares.append(results.get())
        elif any(worker.exitcode not in (None, 0) for worker in workers):
            for worker in workers:
                worker.kill()
            raise RuntimeError("a worker process failed")
        else:
            time.sleep(0.005)
    for worker in workers:
        worker.join()
    return shares


def report(shares: Sequence[Share], load: Load, **about: str | float) -> None:
    """Print the run as one JSON line: who, how much, how fast; times in seconds and milliseconds as named."""
    latencies_ms = sorted(1000 * latency_s for share in shares for latency_s in share.latencies_s)
    seconds = max(share.end_s for share in shares) - min(share.start_s for share in shares)
    steps = len(latencies_ms) * len(STEPS)
    line = {
        **about,
        "mode": load.mode,
        "processes": load.processes,
        "threads": load.threads,
        "tasks": len(latencies_ms),
        "steps": steps,
        "seconds": round(seconds, 3),
        "steps_per_s": round(steps / seconds, 1),
        "p50_ms": round(percentile(latencies_ms, 0.50), 2),
        "p99_ms": round(percentile(latencies_ms, 0.99), 2),
    }
    print(json.dumps(line), flush=True)


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile of values in ascending order."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _work(
    load: Load, slot: int, open_worker: OpenWorker, barrier: Barrier, results: SimpleQueue[Share]
) -> None:
    run_task = open_worker(slot)
    for number in range(WARM_UP_TASKS):
        run_task(f"warm-{slot}-{number}")
    mine = [f"task-{slot}-{number}" for number in range(slot, load.tasks, load.processes)]
    barrier.wait(START_TIMEOUT_S)
    start_s = time.monotonic()
    drive = _open_loop if load.mode == "latency" else _closed_loop
    latencies_s = drive(mine, run_task, load)
    results.put(Share(start_s, time.monotonic(), tuple(latencies_s)))


def _closed_loop(task_ids: Sequence[str], run_task: RunTask, load: Load) -> list[float]:
    def timed(task_id: str) -> float:
        start_s = time.monotonic()
        run_task(task_id)
        return time.monotonic() - start_s

    with ThreadPoolExecutor(load.threads) as pool:
        return list(pool.map(timed, task_ids))


def _open_loop(task_ids: Sequence[str], run_task: RunTask, load: Load) -> list[float]:
    """Latency counts from when a task was *due*, so that a stall is charged to every task it delayed."""
    interval_s = load.processes / load.rate_per_s

    def timed(task_id: str, due_s: float) -> float:
        run_task(task_id)
        return time.monotonic() - due_s

    first_s = time.monotonic()
    with ThreadPoolExecutor(load.threads) as pool:
        waiting = []
        for number, task_id in enumerate(task_ids):
            due_s = first_s + number * interval_s
            time.sleep(max(0.0, due_s - time.monotonic()))
            waiting.append(pool.submit(timed, task_id, due_s))
        return [done.result() for done in waiting]
