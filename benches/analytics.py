"""Claim: typical analytics queries answer within 200 ms (p95), a task's custody or state within 20 ms (p99).

Mixed records of every followed topic, made by the real core and codec, fill the tables; then the usual questions are
asked in turn, and custody and states of tasks drawn at random. Rate of filling and its peer:
`benches/projection_rebuild.py`. A million records by default; `--full` takes ten. They are made by a process of its own
while others are stored, and never lie in memory together. `--keep FILE` leaves the store there, and finds it there when
it was filled before: asking again takes a minute. Ten million records want 7 GB of disk and 3 GB of memory.

Run: `python benches/analytics.py [--records 1000000 | --full] [--asked 300] [--keep FILE]`; prints JSON.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benches._history import History
from benches._run import say
from octolog.domain.ids import TaskId
from octolog.ports import LogRecord, Positions
from projections.analytics import queries
from projections.analytics.sink import AnalyticsProjection
from projections.duck import Store
from projections.provenance.queries import provenance
from projections.tables import FOLLOWED
from schemas import catalog
from schemas.registry import MemorySchemaTopic, TopicSchemaIds

QUESTIONS: Final = {
    "cost_per_arm_day": "SELECT * FROM cost_per_arm_day ORDER BY day",
    "step_latency": "SELECT * FROM step_latency ORDER BY p95_ms DESC",
    "failures_by_cause": "SELECT code, arm_id, count(*) AS n FROM failures GROUP BY ALL ORDER BY n DESC",
    "budget_of_a_tree": "SELECT * FROM budget_burn WHERE root_task_id = 'task-000005' ORDER BY seq",
    "tasks_by_status": "SELECT status, count(*) AS n FROM tasks GROUP BY ALL",
    "trees_by_status": "SELECT status, count(*) AS n FROM trees GROUP BY ALL",
    "arm_stats": "SELECT * FROM arm_stats",
    "dead_letters": "SELECT * FROM dead_letters ORDER BY refused_at DESC LIMIT 50",
}
_CHUNK: Final = 50_000
_ROUNDS: Final = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--full", action="store_true", help="Ten million records.")
    parser.add_argument("--asked", type=int, default=300)
    parser.add_argument("--keep", type=Path, help="The store's file; it is left there, and gone on with.")
    asked = parser.parse_args()
    wanted = 10_000_000 if asked.full else asked.records
    with nullcontext() if asked.keep else TemporaryDirectory() as folder:
        path = asked.keep or Path(str(folder)) / "knowledge.duckdb"
        store = Store.open(path)
        filled_per_s = _fill(store, wanted)
        rows, trees = _stored(store)
        found = {"records": rows, "trees": trees, "filled_per_s": filled_per_s} | _asked(
            store, trees, asked.asked
        )
        store.close()
        found["file_mb"] = path.stat().st_size >> 20
    machine = {"cpus": os.cpu_count(), "load": os.getloadavg()[0]}
    print(json.dumps({"bench": "analytics", "machine": machine, **found}, indent=2))


def _asked(store: Store, trees: int, count: int) -> dict[str, Any]:
    each = {name: [_ms(partial(store.rows, sql)) for _ in range(_ROUNDS)] for name, sql in QUESTIONS.items()}
    for status in ("failed", "cancelled"):
        newest = partial(queries.tasks, store, 50, status)
        each[f"tasks_newest_{status}"] = [_ms(newest) for _ in range(_ROUNDS)]
    draw = random.Random(1)
    names = [TaskId(f"task-{draw.randrange(trees):06d}") for _ in range(count)]
    known = [name for name in names if int(name[-1]) != 9]  # every tenth was refused, and is no task
    custody = [_ms(partial(provenance, store, name)) for name in known]
    state = [_ms(partial(queries.task, store, name)) for name in known]
    every = [ms for some in each.values() for ms in some]
    return {
        "questions_p95_ms": _quantile(every, 0.95),
        "question_p95_ms": {name: _quantile(some, 0.95) for name, some in each.items()},
        "custody_ms": {"p50": _quantile(custody, 0.5), "p99": _quantile(custody, 0.99)},
        "state_ms": {"p50": _quantile(state, 0.5), "p99": _quantile(state, 0.99)},
    }


def _fill(store: Store, wanted: int) -> int | None:
    """Records stored a second, while others are made beside; None when they were there already."""
    projection = AnalyticsProjection(store, _ids())
    known, _ = _stored(store)
    rows, seconds = known, 0.0
    if known and known < wanted:
        raise SystemExit(
            f"{store.path} holds {known} records of {wanted}; delete it, it was not filled to its end"
        )
    for some, after in _made() if not known else ():
        begun = time.perf_counter()
        projection.apply(some, after)
        seconds += time.perf_counter() - begun
        rows += projection.last.rows
        if rows >= wanted:
            break
        say(f"{rows} records stored, {rows / seconds:.0f} a second")
    return round(rows / seconds) if seconds else None


def _ids() -> TopicSchemaIds:
    """The same ids in each process."""
    ids = TopicSchemaIds(MemorySchemaTopic())
    ids.register_all({name: catalog.schema_json(name) for name in sorted(_names())})
    return ids


def _names() -> set[str]:
    return {record.schema_name for records in catalog.TOPIC_RECORDS.values() for record in records}


def _made() -> Iterator[tuple[list[LogRecord], Positions]]:
    """Batches of a history without an end, with the positions after each; some are made ahead."""
    context = multiprocessing.get_context("spawn")
    ahead: Any = context.Queue(2)
    maker = context.Process(target=_make, args=(ahead,), daemon=True)
    maker.start()
    try:
        while True:
            values, after = ahead.get()
            yield [LogRecord(*value) for value in values], after
    finally:
        maker.terminate()
        maker.join()


def _make(ahead: Any) -> None:
    history = History(_ids())
    while True:
        history.grow(_CHUNK)
        some = [record for record in history.records if record.topic in FOLLOWED]
        history.records.clear()
        ahead.put(([tuple(record) for record in some], history.after(some)))


def _stored(store: Store) -> tuple[int, int]:
    """Records, and trees that were begun or refused."""
    sizes = store.rows(
        "SELECT table_name, estimated_size AS n FROM duckdb_tables() WHERE schema_name = 'main'"
    )
    made = {"operators", "program_tasks"}
    rows = sum(row["n"] for row in sizes if row["table_name"] not in made)
    (roots,) = store.rows(
        "SELECT max(contract_task_id) AS last FROM submit_task WHERE contract_task_id = root_task_id"
    )
    return rows, int(roots["last"].rsplit("-", 1)[1]) + 1 if roots["last"] else 0


def _ms(ask: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    ask()
    return (time.perf_counter() - begun) * 1_000


def _quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)


if __name__ == "__main__":
    main()
