"""Requests for approval, and budgets, as the projections know them."""

from __future__ import annotations

from typing import Any, Final

from octolog.app.knowledge.queries import open_queries
from octolog.app.settings import Settings
from octolog.domain.errors import NotFound

_APPROVALS: Final = "SELECT * FROM approvals {} ORDER BY requested_at, root_task_id, task_id, number"
_BUDGET: Final = "SELECT * FROM budgets WHERE root_task_id = '{}'"
_CHANGES: Final = (
    "SELECT happened_at, amended_by, reason, limits_max_tokens, limits_max_time_ms, limits_max_cost_micros,"
    " limits_max_llm_calls FROM budget_amended WHERE link_root_task_id = '{}' ORDER BY link_seq"
)
_MAX_ROWS: Final = 10_000


def approvals_of(settings: Settings, *, all_of_them: bool = False) -> list[dict[str, Any]]:
    """Requests for approval, oldest first: the open ones, or every one."""
    sql = _APPROVALS.format("" if all_of_them else "WHERE state = 'OPEN'")
    with open_queries(settings) as queries:
        rows: list[dict[str, Any]] = queries.sql(sql, max_rows=_MAX_ROWS).table.to_pylist()
    return rows


def budget_of(settings: Settings, root_task_id: str) -> dict[str, Any]:
    """A tree's budget: limits, what is settled, held and unknown, and each change of the limits.

    Raises:
        NotFound: The projections do not know the tree.
    """
    name = root_task_id.replace("'", "''")
    with open_queries(settings) as queries:
        rows = queries.sql(_BUDGET.format(name)).table.to_pylist()
        changes = queries.sql(_CHANGES.format(name)).table.to_pylist()
    if not rows:
        raise NotFound(f"no tree {root_task_id} in the projections")
    return {"root_task_id": root_task_id, "resources": rows, "amendments": changes}
