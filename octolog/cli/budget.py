"""`budget`: what a tree may use, what it used, and changes of its limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from octolog.cli.asking import Reason, TaskId, Timeout, patiently, request
from octolog.cli.command import Call, command
from octolog.cli.output import group, table

if TYPE_CHECKING:
    from octolog.client import Client

Tokens = Annotated[int, typer.Option(min=0, help="Model tokens.")]
Calls = Annotated[int, typer.Option(min=0, help="Model calls.")]
Seconds = Annotated[float, typer.Option(min=0, help="Working time of arms, seconds.")]
Dollars = Annotated[float, typer.Option(min=0, help="Money, to a millionth of a dollar.")]
_COLUMNS = {
    "resource": "resource",
    "limit": "limit",
    "settled": "settled",
    "unknown": "of it unknown",
    "reserved": "reserved",
    "free": "free",
}
_CHANGES = {
    "happened_at": "changed (UTC)",
    "amended_by": "by",
    "reason": "why",
    "limits_max_tokens": "tokens",
    "limits_max_time_ms": "ms",
    "limits_max_cost_micros": "micro-dollars",
    "limits_max_llm_calls": "calls",
}


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    budgets = typer.Typer(no_args_is_help=True, help="Budgets of task trees.", rich_markup_mode=None)
    command(budgets)(show)
    command(budgets)(amend)
    app.add_typer(budgets, name="budget")


def show(call: Call, task_id: TaskId) -> None:
    """Limits, what is settled and reserved, and what is charged although its outcome is unknown."""
    from octolog.client.approvals import budget_of

    settings = call.settings()
    found = patiently(lambda: budget_of(settings, task_id))
    changes = found["amendments"]
    parts = ["", table(changes, _CHANGES)] if changes else []
    call.show(found, lambda: group(table([_told(row) for row in found["resources"]], _COLUMNS), *parts))


def amend(
    call: Call,
    task_id: TaskId,
    *,
    add_tokens: Tokens = 0,
    add_seconds: Seconds = 0.0,
    add_dollars: Dollars = 0.0,
    add_calls: Calls = 0,
    reason: Reason = "",
    request_id: Annotated[str | None, typer.Option(help="The same id twice adds once.")] = None,
    timeout_s: Timeout = 10.0,
) -> None:
    """Add to the limits of a running tree; what is not limited stays so."""
    from octolog.domain.errors import InvalidContract
    from octolog.domain.values import NOTHING, Amounts
    from octolog.edge.model import scaled

    add = Amounts(add_tokens, scaled(add_seconds, 1_000), scaled(add_dollars, 1_000_000), add_calls)
    if add == NOTHING:
        raise InvalidContract(
            "INVALID_BUDGET", "add", "name at least one of --add-tokens, -seconds, -dollars, -calls"
        )

    def ask(client: Client) -> Any:
        return client.extend_budget(task_id, add, reason=reason, request_id=request_id)

    request(call, task_id, "amended", ask, timeout_s)


def _told(row: dict[str, Any]) -> dict[str, Any]:
    """Seconds and dollars for people."""
    scale = {"TIME": 1_000, "COST": 1_000_000}.get(row["resource"])
    name = {"TIME": "seconds", "COST": "dollars"}.get(row["resource"], row["resource"].lower())
    amounts = ("limit", "settled", "reserved", "unknown", "free")
    if scale is None:
        return {**row, "resource": name}
    return {
        **row,
        "resource": name,
        **{key: None if row[key] is None else row[key] / scale for key in amounts},
    }
