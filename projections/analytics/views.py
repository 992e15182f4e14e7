"""The views' SQL: what is written out in `views.sql`, and `timeline`, which is made of the tables themselves."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

from projections.tables import Table, quoted, tables

_SUMMARIES: Final = {
    "task_submitted": "contract_goal",
    "request_rejected": "concat_ws(': ', command, code, message)",
    "attempt_assigned": "'attempt ' || number || ' to ' || arm_id",
    "routing_deferred": "reason",
    "lease_renewed": "concat_ws(': ', CASE WHEN started THEN 'started' ELSE 'alive' END, nullif(note, ''))",
    "usage_recorded": "lower(phase) || ' ' || amounts_tokens || ' tokens, ' || amounts_cost_micros || ' micro-dollars'",
    "budget_warned": """lower(resource) || ': ' || used || ' of ' || "limit" """,
    "budget_exhausted": """lower(resource) || ': ' || used || ' of ' || "limit" """,
    "budget_amended": "concat_ws(': ', amended_by, nullif(reason, ''))",
    "attempt_ended": "concat_ws(': ', outcome || ' by ' || arm_id, error_code, error)",
    "result_ignored": "concat_ws(': ', status, reason)",
    "retry_scheduled": "'attempt ' || next_number || ' in ' || delay_ms || ' ms'",
    "retry_due": "''",
    "task_planned": "len(steps) || ' steps: ' || array_to_string(list_transform(steps, lambda s: s.step_id), ', ')",
    "task_completed": "left(output, 200)",
    "task_failed": "concat_ws(': ', code, message)",
    "operator_started": "concat_ws(' ', lower(type), 'for input ' || nullif(input_name, ''))",
    "recovery_started": "'recovery ' || number || ' by ' || lower(kind) || ': ' || error_message",
    "program_adopted": "len(operators) || ' operators from ' || recovery_task_id",
    "subtask_requested": "'subtask ' || number || ', ' || depth || ' deep: ' || request_goal",
    "task_cancelled": "concat_ws(': ', requested_by, nullif(reason, ''))",
}
"""Table of a fact -> what it says in one line. A fact without an entry stands in the timeline without a summary."""


@cache
def views_sql() -> str:
    """Every view, in an order in which they can be made."""
    written = files("projections.analytics").joinpath("views.sql").read_text(encoding="utf-8")
    return f"{written}\n{_timeline()}"


def fact_tables() -> tuple[Table, ...]:
    """The tables of facts: they have a link."""
    return tuple(table for table in tables() if ("link_seq", "BIGINT") in table.columns)


def _timeline() -> str:
    """All facts of a tree; `ORDER BY seq` is the reader's."""
    return "CREATE VIEW timeline AS\n" + "\nUNION ALL\n".join(_line(table) for table in fact_tables()) + ";\n"


def _line(table: Table) -> str:
    names = {name for name, _ in table.columns}
    task = next((name for name in ("task_id", "contract_task_id") if name in names), "link_root_task_id")
    attempt = "attempt_id" if "attempt_id" in names else "CAST(NULL AS VARCHAR)"
    summary = _SUMMARIES.get(table.name, "''")
    fact = table.record.rsplit(".", 1)[1]
    return (
        f"SELECT link_root_task_id AS root_task_id, link_seq AS seq, '{fact}' AS fact, happened_at, {task} AS task_id, "  # noqa: S608
        f"{attempt} AS attempt_id, {summary} AS summary, link_prev_hash AS prev_hash, hash, log_partition, log_offset "
        f"FROM {quoted(table.name)}"
    )
