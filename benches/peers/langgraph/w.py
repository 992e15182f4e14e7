"""Workload W on LangGraph with its synchronous SQLite checkpointer and `durability="sync"`.

The best reasonable configuration (README.md says how processes and threads were chosen, and how sure that is):

- The graph is compiled once per process; state is three strings, one written by each step.
- `durability="sync"` is what W asks for: a checkpoint is written before the next step starts. The default, `async`,
  does not.
- The checkpointer's file is in WAL mode (it switches that on itself).
- Tracing to LangSmith is off.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Final, TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from workload import STEPS, WARM_UP_TASKS, Load, RunTask, arguments, load_from, measure, report, step_result

BEST: Final = (2, 1)  # (processes, threads); provisional, see README.md
BUSY_TIMEOUT_S: Final = 30.0  # processes take turns on the file's write lock


class State(TypedDict, total=False):
    """What a task remembers between its steps."""

    task_id: str
    plan: str
    execute: str
    judge: str


def plan(state: State) -> State:
    """Return the plan's 200 bytes."""
    return {"plan": step_result("plan", state["task_id"])}


def execute(state: State) -> State:
    """Return the execution's 200 bytes."""
    return {"execute": step_result("execute", state["task_id"])}


def judge(state: State) -> State:
    """Return the verdict's 200 bytes."""
    return {"judge": step_result("judge", state["task_id"])}


def open_worker(path: Path, *, disk: bool) -> RunTask:
    """Open the store and compile the graph in this process; return the function that runs one task to its end."""
    connection = sqlite3.connect(path, check_same_thread=False, timeout=BUSY_TIMEOUT_S)
    connection.execute(f"PRAGMA synchronous={'FULL' if disk else 'OFF'}")
    saver = SqliteSaver(connection)
    saver.setup()
    builder = StateGraph(State)
    # A node may not bear the name of a state key, hence the prefix.
    builder.add_node("do_plan", plan)
    builder.add_node("do_execute", execute)
    builder.add_node("do_judge", judge)
    builder.add_edge(START, "do_plan")
    builder.add_edge("do_plan", "do_execute")
    builder.add_edge("do_execute", "do_judge")
    builder.add_edge("do_judge", END)
    graph = builder.compile(checkpointer=saver)

    def run_task(task_id: str) -> None:
        graph.invoke({"task_id": task_id}, {"configurable": {"thread_id": task_id}}, durability="sync")

    return run_task


def check_recorded(path: Path, load: Load) -> None:
    """Read the store: every task must have a checkpoint after each of its steps, and the three results in the last.

    Raises:
        RuntimeError: A step is missing, so the figures would be of work that was not recorded.
    """
    expected = load.tasks + load.processes * WARM_UP_TASKS
    connection = sqlite3.connect(path)
    after_steps = "SELECT count(*) AS n, max(length(checkpoint)) AS bytes FROM checkpoints GROUP BY thread_id"
    rows = connection.execute(
        f"SELECT count(*) FROM ({after_steps}) WHERE n > ? AND bytes >= ?",  # noqa: S608
        (len(STEPS), len(STEPS) * 200),
    )
    found = rows.fetchone()[0]
    connection.close()
    if found != expected:
        raise RuntimeError(f"{found} tasks fully recorded, {expected} expected")


def run(options: argparse.Namespace, load: Load) -> None:
    """Run W once in a fresh folder and print its JSON line."""
    with tempfile.TemporaryDirectory(prefix="octolog-peer-langgraph-") as folder:
        path = Path(folder) / "checkpoints.sqlite"
        with SqliteSaver.from_conn_string(str(path)) as saver:
            saver.setup()  # once, and closed again: an open SQLite connection must not be forked
        shares = measure(load, lambda _slot: open_worker(path, disk=options.sync == "disk"))
        check_recorded(path, load)
        store = f"SQLite {sqlite3.sqlite_version} WAL"
        report(shares, load, peer="langgraph", version=version("langgraph"), store=store, sync=options.sync)


def main() -> None:
    """Run W once as the command line says."""
    os.environ.setdefault("LANGSMITH_TRACING", "false")
    options = arguments("Workload W on LangGraph").parse_args()
    processes, threads = BEST
    run(options, load_from(options, processes=processes, threads=threads))


if __name__ == "__main__":
    main()
