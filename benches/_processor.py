"""The task processor in a process of its own, as a node runs it; says on stdout, in JSON lines, how it is.

`ready` when it owns its partitions, `committed` after its first transaction with inputs, `idle` whenever its inputs
ran dry. On SIGUSR1 it dies of SIGKILL in the middle of its next transaction, when everything but the commit is on the
broker. On SIGTERM it closes.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import structlog

from benches._cluster import schema_ids
from octolog.app.processes import Stop, die_with_parent
from octolog.app.topics import assignment_topic
from schemas.codec import Codec
from streams.kafka.admin import KafkaAdmin
from streams.kafka.config import KafkaConfig
from streams.runner import TaskWorker, WorkerSettings


def main() -> None:
    """Run until SIGTERM."""
    die_with_parent()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap-servers", required=True)
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--window", type=int)
    parser.add_argument("--lease-ms", type=int)
    parser.add_argument("--max-batch", type=int)
    parser.add_argument("--profile", type=Path, help="write cProfile's figures there at the end")
    given = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(file=sys.stderr))
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    chosen = {name: value for name in ("window", "lease_ms", "max_batch") if (value := getattr(given, name))}
    kafka = KafkaConfig(given.bootstrap_servers)
    settings = WorkerSettings("0", given.state_dir, **chosen)
    admin = KafkaAdmin(kafka)
    worker = TaskWorker(
        kafka, Codec(schema_ids(kafka)), settings, lambda arm: void(admin.create([assignment_topic(arm)]))
    )
    if given.profile is None:
        _run(worker, Stop())
    else:
        _profiled(worker, given.profile)


def void(_: object) -> None:
    """Drop a value."""


def _profiled(worker: TaskWorker, path: Path) -> None:
    import cProfile

    profile = cProfile.Profile()
    profile.runcall(_run, worker, Stop())
    profile.dump_stats(path)


def _run(worker: TaskWorker, stop: Stop) -> None:
    _die_when_asked(worker)
    ready = committed = busy = False
    while not stop():
        taken = worker.step()
        if not ready and worker.owned:
            ready = True
            _tell(worker, "ready")
        if taken and not committed:
            committed = True
            _tell(worker, "committed")
        if not taken and busy:
            _tell(worker, "idle")
        busy = bool(taken)
    worker.close()


def _die_when_asked(worker: TaskWorker) -> None:
    asked = False

    def ask(_number: int, _frame: object) -> None:
        nonlocal asked
        asked = True

    signal.signal(signal.SIGUSR1, ask)
    producer: Any = worker._producer  # noqa: SLF001 -- the one way to die inside a transaction, not beside one
    prepare = producer.prepare

    def prepare_and_die(offsets: Any, group: Any) -> None:
        prepare(offsets, group)
        if asked and offsets:
            os.kill(os.getpid(), signal.SIGKILL)

    producer.prepare = prepare_and_die


def _tell(worker: TaskWorker, event: str) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    line = {
        "event": event,
        "at_s": time.monotonic(),
        "facts": worker.facts,
        "commits": worker.commits,
        "cpu_s": used.ru_utime + used.ru_stime,
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
