"""Workload W on DBOS, with PostgreSQL or SQLite as its system database.

The best reasonable configuration (README.md says how processes and threads were chosen, and how sure that is):

- A task is a workflow called by a worker thread. That is DBOS' shortest durable path: its start, three steps and its
  end are five commits. A DBOS queue adds an enqueue and a dequeue, and polls; `--start queue` runs that instead.
- The pool has a connection per thread and `pool_pre_ping` is off: by default each statement is preceded by a ping.
- SQLite runs in WAL mode, which DBOS does not switch on itself.
- Tracing is off and logs are errors only.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Final

import postgres
import sqlalchemy as sa
from dbos import DBOS, DBOSConfig, SetWorkflowID
from workload import STEPS, WARM_UP_TASKS, Load, RunTask, arguments, load_from, measure, report, step_result

# (processes, threads); provisional, see README.md
BEST: Final = {"postgres": (2, 2), "sqlite": (1, 1)}
QUEUE: Final = "w"
QUEUE_POLL_S: Final = 0.01  # the default, 1 s, would be the latency
SPARE_CONNECTIONS: Final = 8  # for DBOS' own threads


@DBOS.step()
def plan(task_id: str) -> str:
    """Return the plan's 200 bytes."""
    return step_result("plan", task_id)


@DBOS.step()
def execute(task_id: str) -> str:
    """Return the execution's 200 bytes."""
    return step_result("execute", task_id)


@DBOS.step()
def judge(task_id: str) -> str:
    """Return the verdict's 200 bytes."""
    return step_result("judge", task_id)


@DBOS.workflow()
def task(task_id: str) -> str:
    """Plan, execute, judge."""
    plan(task_id)
    execute(task_id)
    return judge(task_id)


def open_worker(url: str, load: Load, *, queued: bool, slot: int) -> RunTask:
    """Launch DBOS in this process and return the function that runs one task to its end."""
    settings: DBOSConfig = {
        "name": "workload-w",
        "application_version": "w",
        "executor_id": f"w-{slot}",
        "system_database_url": url,
        "sys_db_pool_size": load.threads + SPARE_CONNECTIONS,
        "db_engine_kwargs": {"pool_pre_ping": False},
        "log_level": "ERROR",
    }
    DBOS(config=settings)
    DBOS.launch()
    if not queued:
        return _run_directly
    DBOS.register_queue(QUEUE, worker_concurrency=load.threads, polling_interval_sec=QUEUE_POLL_S)
    return _run_queued


def _run_directly(task_id: str) -> None:
    with SetWorkflowID(task_id):
        task(task_id)


def _run_queued(task_id: str) -> None:
    with SetWorkflowID(task_id):
        handle = DBOS.enqueue_workflow(QUEUE, task, task_id)
    handle.get_result(polling_interval_sec=QUEUE_POLL_S)


@contextmanager
def store_for(options: argparse.Namespace) -> Iterator[tuple[str, str] | None]:
    """Yield the address and name of a fresh store, or None where PostgreSQL is asked for and not installed."""
    disk = options.sync == "disk"
    if options.store == "sqlite":
        with tempfile.TemporaryDirectory(prefix="octolog-peer-dbos-") as folder:
            yield _sqlite(Path(folder), disk=disk), f"SQLite {sqlite3.sqlite_version} WAL"
        return
    binaries = postgres.find_postgres()
    if binaries is None:
        yield None
        return
    with postgres.running(binaries, fsync=disk) as url:
        yield url, f"PostgreSQL {postgres.version_of(binaries)}"


def _sqlite(folder: Path, *, disk: bool) -> str:
    path = folder / "dbos.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode=WAL")  # the file remembers it
    connection.close()

    @sa.event.listens_for(sa.Engine, "connect")
    def _set_durability(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute(f"PRAGMA synchronous={'FULL' if disk else 'OFF'}")

    return f"sqlite:///{path}"


def check_recorded(url: str, load: Load) -> None:
    """Read the store: every step of every task must be there with its 200 bytes.

    Raises:
        RuntimeError: A step is missing, so the figures would be of work that was not recorded.
    """
    expected = len(STEPS) * (load.tasks + load.processes * WARM_UP_TASKS)
    table = "operation_outputs" if url.startswith("sqlite") else "dbos.operation_outputs"
    with sa.create_engine(url).connect() as connection:
        found = connection.execute(
            sa.text(f"SELECT count(*) FROM {table} WHERE length(output) >= 200")  # noqa: S608 -- one of two names above
        ).scalar()
    if found != expected:
        raise RuntimeError(f"{found} steps recorded, {expected} expected")


def main() -> None:
    """Run W once as the command line says and print its JSON line."""
    parser = arguments("Workload W on DBOS")
    parser.add_argument("--store", choices=tuple(BEST), default="postgres")
    parser.add_argument("--start", choices=("direct", "queue"), default="direct")
    options = parser.parse_args()
    processes, threads = BEST[options.store]
    load = load_from(options, processes=processes, threads=threads)
    with store_for(options) as store:
        if store is None:
            print(json.dumps({"skipped": "PostgreSQL is not installed (Debian: apt-get install postgresql)"}))
            return
        url, name = store
        shares = measure(
            load, lambda slot: open_worker(url, load, queued=options.start == "queue", slot=slot)
        )
        check_recorded(url, load)
        report(
            shares,
            load,
            peer="dbos",
            version=version("dbos"),
            store=name,
            start=options.start,
            sync=options.sync,
        )


if __name__ == "__main__":
    main()
