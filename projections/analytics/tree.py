"""The facts of one tree, read together: what a question about one task is answered from.

From their bytes where the store has them (`places`, `records`), else each table once. The views answer the same, and
`tests/unit/projections/test_tree_reading.py` holds all three against each other. But DuckDB spends 10 to 30 ms on
planning a view over thirty tables, for some tens of rows. `benches/analytics.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeAlias

from octolog.domain.ids import TaskId
from projections.analytics.places import Place, Record, Span, place_of
from projections.analytics.records import Columns, columns_of, rows_of
from projections.duck import Snapshot
from projections.tables import quoted

Row: TypeAlias = dict[str, Any]

_STATE_LINK: Final = "link_seq AS seq, happened_at"
_CHAIN_LINK: Final = f"{_STATE_LINK}, link_prev_hash AS prev_hash, hash, log_partition, log_offset"
_CONTRACT: Final = """contract_task_id AS task_id, contract_parent_task_id AS parent_task_id, contract_goal AS goal,
contract_steps AS steps, len(contract_operators) AS operators, submitted_by"""
_STATE: Final = {
    "task_submitted": _CONTRACT,
    "task_planned": "task_id, steps",
    "recovery_started": "task_id",
    "operator_started": "task_id",
    "subtask_requested": "task_id",
    "attempt_assigned": "task_id, attempt_id, number, arm_id, policy",
    "attempt_ended": """task_id, attempt_id, arm_id, outcome, error_code, error, retryable, confidence,
        execution_time_ms,
        settled_tokens AS tokens, settled_calls AS calls, settled_cost_micros AS cost_micros,
        settled_time_ms AS time_ms, output_blob_sha256, output_blob_size_bytes, output_blob_media_type,
        provenance_model_version AS model""",
    "lease_renewed": "task_id, started",
    "retry_scheduled": "task_id",
    "retry_due": "task_id",
    "task_completed": """task_id, attempt_id, output, output_blob_sha256, output_blob_size_bytes,
        output_blob_media_type""",
    "task_failed": "task_id, code, message",
    "task_cancelled": "task_id, reason",
    "approval_requested": "task_id, question",
    "approval_decided": "task_id, approved",
    "plan_refused": "task_id",
    "judging_started": "task_id, judge_task_id",
    "repair_started": "repaired",
    "replan_started": "task_id, dropped",
}
"""Table of a fact -> what a task's state needs of it, as after SELECT."""

_CHAIN: Final = {
    "task_submitted": f"{_CONTRACT}, link_cause_topic AS cause_topic, link_cause_offset AS cause_offset",
    "task_planned": "task_id, attempt_id, steps",
    "operator_started": "task_id, type, input_name",
    "recovery_started": "task_id, attempt_id, number, kind, error_message",
    "program_adopted": "task_id, attempt_id, len(operators) AS operators, recovery_task_id",
    "subtask_requested": "task_id, attempt_id, number, request_goal",
    "attempt_assigned": "task_id, attempt_id, number, arm_id, policy",
    "attempt_ended": """task_id, attempt_id, arm_id, outcome, error_code, error, output_blob_sha256,
        provenance_command_hash, provenance_data_sources, provenance_input_hash, provenance_output_hash,
        provenance_model_version AS model, provenance_tests_passed, provenance_capability_token_sha256,
        provenance_capability_key_id, provenance_capability_policy, provenance_capability_policy_version,
        provenance_capability_issued, provenance_capability_expires, provenance_capability_checked,
        provenance_capability_accepted""",
    "lease_renewed": "task_id, attempt_id, started, instance_id",
    "usage_recorded": "task_id, model",
    "retry_scheduled": "task_id, next_number, delay_ms",
    "task_completed": "task_id, attempt_id",
    "task_failed": "task_id, code, message",
    "task_cancelled": "task_id, requested_by, reason",
    "judging_started": "task_id, judge_task_id",
}
"""What the chain of custody needs; of other tables the link alone, as part of the hash chain."""

_OUTPUT: Final = "attempt_id, output"
_PROGRAMS: Final = frozenset({"operator_started", "recovery_started"})


@dataclass(frozen=True, slots=True)
class Tree:
    """The facts of a tree as the store has them.

    Attributes:
        root: Its id.
        facts: Table -> rows, in order; tables without any are left out.
        operators: Operators of contracts that stand at the top of their program.
        made: Tasks that programs made: rows of `program_tasks`.
        outputs: Outputs of attempts by attempt id; only of those that their task's end, or a hash, does not tell.
        beside: Table of records that are no facts -> offsets among which those of the tree lie.
    """

    root: TaskId
    facts: dict[str, list[Row]]
    operators: list[Row]
    made: list[Row]
    outputs: dict[str, str]
    beside: Mapping[str, Span]

    def of(self, table: str) -> list[Row]:
        """The facts of a table, in order."""
        return self.facts.get(table, [])


def read_tree(now: Snapshot, root: TaskId, *, chain: bool = False) -> Tree | None:
    """All facts of a tree that tell its tasks' states, or its chain of custody; None when there are none."""
    place = place_of(now, root)
    if place is None:
        return None
    wanted = place.tables if chain else place.tables & _STATE.keys()
    records = place.records(now)
    if records is None:
        found = {table: _facts(now, place, table, chain=chain) for table in wanted}
    else:
        found = rows_of(records, {table: _columns(table, chain=chain) for table in wanted})
    facts = {table: sorted(found[table], key=_seq) for table in sorted(wanted) if found[table]}
    contracts = any(row["operators"] for row in facts.get("task_submitted", ()))
    return Tree(
        root,
        facts,
        _of_programs(now, place, "operators") if contracts else [],
        _of_programs(now, place, "program_tasks") if place.tables & _PROGRAMS else [],
        _outputs(now, place, records) if _untold(facts, chain=chain) else {},
        place.beside,
    )


def _untold(facts: dict[str, list[Row]], *, chain: bool) -> bool:
    """Whether outputs of attempts are needed: few are, and they are long."""
    if not chain:
        return any(not done["output"] for done in facts.get("task_completed", ()))
    return any(
        end["provenance_command_hash"] is not None
        and end["provenance_output_hash"] is None
        and end["output_blob_sha256"] is None
        for end in facts.get("attempt_ended", ())
    )


def _outputs(now: Snapshot, place: Place, records: list[Record] | None) -> dict[str, str]:
    if records is None:
        sql = f"SELECT {_OUTPUT} FROM attempt_ended WHERE {place.condition()}"  # noqa: S608 -- our own names
        rows = now.rows(sql, list(place.values))
    else:
        rows = rows_of(records, {"attempt_ended": columns_of(_OUTPUT)})["attempt_ended"]
    return {row["attempt_id"]: row["output"] for row in rows}


def _facts(now: Snapshot, place: Place, table: str, *, chain: bool) -> list[Row]:
    sql = f"SELECT {_selected(table, chain=chain)} FROM {quoted(table)} WHERE {place.condition()}"  # noqa: S608 -- our own names
    return now.rows(sql, list(place.values))


def _selected(table: str, *, chain: bool) -> str:
    link, more = (_CHAIN_LINK, _CHAIN.get(table)) if chain else (_STATE_LINK, _STATE[table])
    return f"{link}, {more}" if more else link


@cache
def _columns(table: str, *, chain: bool) -> Columns:
    return columns_of(_selected(table, chain=chain))


def _of_programs(now: Snapshot, place: Place, table: str) -> list[Row]:
    sql = f"SELECT * FROM {table} WHERE {place.condition('root_task_id')}"  # noqa: S608 -- our own names
    return now.rows(sql, list(place.values))


def _seq(row: Row) -> int:
    return int(row["seq"])
