"""Claim: typical analytics queries answer within 200 ms (p95), a task's custody or state within 20 ms (p99).

Mixed records of every followed topic, made by the real core and codec, fill the tables; then the usual questions are
asked in turn, and custody and states of tasks drawn at random. Rate of filling and its peer:
`benches/projection_rebuild.py`. A million records by default; `--full` takes ten.

Run: `python benches/analytics.py [--records 1000000 | --full] [--asked 300]`; prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benches._history import History
from octolog.domain.ids import TaskId
from projections.analytics import queries
from projections.analytics.sink import AnalyticsProjection
from projections.duck import Store
from projections.provenance.queries import provenance
from projections.tables import FOLLOWED
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
    asked = parser.parse_args()
    with TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "knowledge.duckdb")
        rows, seconds, trees = _fill(store, 10_000_000 if asked.full else asked.records)
        each = {
            name: [_ms(partial(store.rows, sql)) for _ in range(_ROUNDS)] for name, sql in QUESTIONS.items()
        }
        each["tasks_newest_failed"] = [
            _ms(lambda: queries.tasks(store, 50, "failed")) for _ in range(_ROUNDS)
        ]
        draw = random.Random(1)
        names = [TaskId(f"task-{draw.randrange(trees):06d}") for _ in range(asked.asked)]
        known = [name for name in names if int(name[-1]) != 9]  # every tenth was refused, and is no task
        custody = [_ms(partial(provenance, store, name)) for name in known]
        state = [_ms(partial(queries.task, store, name)) for name in known]
        store.close()
    every = [ms for some in each.values() for ms in some]
    print(
        json.dumps(
            {
                "bench": "analytics",
                "machine": {"cpus": os.cpu_count(), "load": os.getloadavg()[0]},
                "records": rows,
                "trees": trees,
                "filled_per_s": round(rows / seconds),
                "questions_p95_ms": _quantile(every, 0.95),
                "question_p95_ms": {name: _quantile(some, 0.95) for name, some in each.items()},
                "custody_ms": {"p50": _quantile(custody, 0.5), "p99": _quantile(custody, 0.99)},
                "state_ms": {"p50": _quantile(state, 0.5), "p99": _quantile(state, 0.99)},
            },
            indent=2,
        )
    )


def _fill(store: Store, wanted: int) -> tuple[int, float, int]:
    """Rows stored, seconds it took (making them not counted), trees."""
    ids = TopicSchemaIds(MemorySchemaTopic())
    history, projection = History(ids), AnalyticsProjection(store, ids)
    rows, seconds, trees = 0, 0.0, 0
    while rows < wanted:
        while len(history.records) < _CHUNK:
            history.tree()
            trees += 1
        some = [record for record in history.records if record.topic in FOLLOWED]
        history.records.clear()
        begun = time.perf_counter()
        projection.apply(some, history.after(some))
        seconds += time.perf_counter() - begun
        rows += projection.last.rows
    return rows, seconds, trees


def _ms(ask: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    ask()
    return (time.perf_counter() - begun) * 1_000


def _quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)


if __name__ == "__main__":
    main()
