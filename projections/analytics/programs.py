"""Programs as tables: every operator, and every task that a program made.

Which operator a task evaluates stands in the program, a list inside the contract; the fact that it began names its
place there alone. Looked up when a question comes, that costs every question of every tree a reading of all
contracts; so it is looked up once, in the transaction that stores the facts, and from the facts alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from projections.duck import Store
from projections.tables import LOG_COLUMNS

_LOG: Final = ", ".join(name for name, _ in LOG_COLUMNS)
_LOG_DDL: Final = ", ".join(f"{name} {kind}" for name, kind in LOG_COLUMNS)

TABLES: Final = (
    f"""CREATE TABLE operators (
        root_task_id VARCHAR, program_id VARCHAR, origin VARCHAR, position INTEGER, name VARCHAR,
        parent_position INTEGER, role VARCHAR, type VARCHAR, subtype VARCHAR, goal VARCHAR, output_type VARCHAR,
        on_failure VARCHAR, parts INTEGER, arguments INTEGER, {_LOG_DDL})""",
    f"""CREATE TABLE program_tasks (
        root_task_id VARCHAR, task_id VARCHAR, parent_task_id VARCHAR, program_id VARCHAR, position INTEGER,
        step_id VARCHAR, goal VARCHAR, operator VARCHAR, made_as VARCHAR, input_name VARCHAR, parts INTEGER,
        arguments INTEGER, awaited INTEGER, happened_at TIMESTAMP, seq BIGINT, {_LOG_DDL})""",
)
"""Made beside the tables of records, and emptied with them.

`parts` are an operator's steps, or inputs; `awaited` is the number of tasks like this one whose end makes the task
that waits for them ready: an atomic operator's arguments, the one subtask of the task that asked for it.
"""

SOURCES: Final = (
    "task_submitted",
    "subtask_requested",
    "program_adopted",
    "operator_started",
    "recovery_started",
)
"""Tables whose rows they are made of."""

_CONTRACTS: Final = """
SELECT link_root_task_id AS root_task_id, contract_task_id AS program_id, 'CONTRACT' AS origin,
       contract_goal AS around, contract_operators AS operators, {log}
FROM incoming WHERE len(contract_operators) > 0
"""
_ADOPTED: Final = """
SELECT given.link_root_task_id AS root_task_id, given.program_id, 'RECOVERY' AS origin,
       failed.goal AS around, given.operators,
       given.log_topic, given.log_partition, given.log_offset, given.log_timestamp
FROM incoming AS given
JOIN operator_started AS began
  ON began.link_root_task_id = given.link_root_task_id AND began.task_id = given.task_id
JOIN operators AS failed
  ON failed.root_task_id = began.link_root_task_id AND failed.program_id = began.program_id
 AND failed.position = began.position
ANTI JOIN operators AS known
  ON known.root_task_id = given.link_root_task_id AND known.program_id = given.program_id
"""
_OPERATORS: Final = """
INSERT INTO operators
WITH RECURSIVE flat AS MATERIALIZED (
    SELECT root_task_id, program_id, origin, around, position, operator.name, operator.parent, operator.role,
           operator.type, operator.subtype, operator.goal, operator.output_type, operator.on_failure,
           len(operator.inputs) AS inputs, {log}
    FROM (SELECT *, unnest(range(len(operators))) AS position, unnest(operators) AS operator FROM ({given}))
), goals AS (
    SELECT root_task_id, program_id, position, coalesce(nullif(goal, ''), around) AS goal FROM flat WHERE position = 0
    UNION ALL
    SELECT low.root_task_id, low.program_id, low.position, coalesce(nullif(low.goal, ''), high.goal)
    FROM goals AS high JOIN flat AS low
      ON low.root_task_id = high.root_task_id AND low.program_id = high.program_id AND low.parent = high.position
), below AS (
    SELECT root_task_id, program_id, parent AS position, count(*) FILTER (role = 'STEP') AS steps,
           count(*) FILTER (role = 'ARGUMENT') AS arguments
    FROM flat GROUP BY ALL
)
SELECT root_task_id, program_id, origin, position, nullif(name, ''), parent, role, type, subtype, goals.goal,
       output_type, on_failure,
       CASE WHEN type = 'ATOMIC' THEN NULL WHEN below.steps > 0 THEN below.steps ELSE inputs END,
       coalesce(below.arguments, 0), {log}
FROM flat JOIN goals USING (root_task_id, program_id, position)
LEFT JOIN below USING (root_task_id, program_id, position)
"""
_SUBTASKS: Final = """
INSERT INTO operators
SELECT link_root_task_id, subtask_task_id, 'SUBTASK', 0, NULL, -1, 'ROOT', 'ATOMIC', 'SUBTASK', request_goal,
       request_output_type, 'FAIL_FAST', NULL, 0, {log}
FROM incoming
"""
_BEGAN: Final = """
INSERT INTO program_tasks
SELECT began.link_root_task_id, began.task_id, began.parent_task_id, began.program_id, began.position,
       operator.name, operator.goal, began.type,
       CASE WHEN operator.role <> 'ROOT' THEN operator.role
            WHEN operator.origin = 'RECOVERY' THEN 'DECOMPOSED' ELSE operator.origin END,
       nullif(began.input_name, ''), operator.parts, operator.arguments,
       CASE WHEN operator.origin = 'SUBTASK' THEN 1
            WHEN operator.role = 'ARGUMENT' AND above.type = 'ATOMIC' THEN above.arguments END,
       began.happened_at, began.link_seq,
       began.log_topic, began.log_partition, began.log_offset, began.log_timestamp
FROM incoming AS began
JOIN operators AS operator
  ON operator.root_task_id = began.link_root_task_id AND operator.program_id = began.program_id
 AND operator.position = began.position
LEFT JOIN operators AS above
  ON above.root_task_id = operator.root_task_id AND above.program_id = operator.program_id
 AND above.position = operator.parent_position
"""
_RECOVERED: Final = """
INSERT INTO program_tasks
SELECT again.link_root_task_id, again.recovery_task_id, again.task_id, failed.program_id, failed.position,
       failed.step_id, failed.goal, 'ATOMIC', again.kind, NULL, NULL, 0, NULL, again.happened_at, again.link_seq,
       again.log_topic, again.log_partition, again.log_offset, again.log_timestamp
FROM incoming AS again
JOIN program_tasks AS failed
  ON failed.root_task_id = again.link_root_task_id AND failed.task_id = again.task_id
"""

FOLDS: Final = (_CONTRACTS, _ADOPTED, _OPERATORS, _SUBTASKS, _BEGAN, _RECOVERED)
"""What fills the tables."""


def store_programs(store: Store, frames: Mapping[str, Sequence[Any]]) -> None:
    """Store the operators and tasks that new facts tell of, in the open transaction.

    Args:
        store: Where the facts are already.
        frames: The new rows, by table of `SOURCES`.
    """
    for frame in frames.get("task_submitted", ()):
        if _has_programs(store, frame):
            store.execute_on(frame, _OPERATORS.format(given=_CONTRACTS.format(log=_LOG), log=_LOG))
    for frame in frames.get("subtask_requested", ()):
        store.execute_on(frame, _SUBTASKS.format(log=_LOG))
    # A program stands in a program that may be new too; so many nest as recoveries may follow each other.
    adopted = frames.get("program_adopted", ())
    insert = _OPERATORS.format(given=_ADOPTED, log=_LOG)
    while sum(store.execute_on(frame, insert) for frame in adopted):
        pass
    for frame in frames.get("operator_started", ()):
        store.execute_on(frame, _BEGAN)
    for frame in frames.get("recovery_started", ()):
        store.execute_on(frame, _RECOVERED)


def _has_programs(store: Store, frame: Any) -> bool:
    """Whether any contract carries one; those of an old writer have no column for it."""
    if "contract_operators" not in frame.columns:
        return False
    return store.execute_on(frame, "SELECT count(*) FROM incoming WHERE len(contract_operators) > 0") > 0
