"""`arms`: the registry, and ways into it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from octolog.cli.command import Call, command
from octolog.cli.output import fields, table
from octolog.cli.own_arms import add_commands
from octolog.domain.errors import NotFound

_COLUMNS = {
    "arm_id": "arm",
    "health": "health",
    "breaker": "breaker",
    "cost_tier": "tier",
    "capabilities": "capabilities",
    "attempts": "attempts",
    "success_rate": "success",
    "p95_ms": "p95 ms",
    "cost_dollars": "cost $",
}


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    group = typer.Typer(no_args_is_help=True, help="Arms and what they can do.", rich_markup_mode=None)
    command(group, "list")(list_arms)
    command(group)(register)
    command(group)(show)
    command(group)(retire)
    add_commands(group)
    app.add_typer(group, name="arms")


def list_arms(
    call: Call, *, retired: Annotated[bool, typer.Option(help="Show arms that left, too.")] = False
) -> None:
    """Every arm with its health and statistics."""
    rows = [row for row in _arms(call) if retired or not row["retired"]]
    call.show({"arms": rows}, lambda: table(rows, _COLUMNS) if rows else "no arm is registered")


def register(
    call: Call,
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="The arm as JSON; - reads stdin.")],
) -> None:
    """Add an arm to the registry, or replace what is known of it, and make its assignment topic."""
    from octolog.cli.submit import read_document
    from octolog.edge import parse_capability

    capability = parse_capability(read_document(file, "arm"))
    from octolog.client import Client

    with Client(call.settings()) as client:
        sent = client.register_arm(capability)
    document = {
        "arm_id": capability.arm_id,
        "topic": sent.topic,
        "partition": sent.partition,
        "offset": sent.offset,
    }
    call.show(document, lambda: f"{capability.arm_id} registered")


def show(call: Call, arm_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """One arm: what it can do, and how it did."""
    found = _one(call, arm_id)
    call.show(found, lambda: fields(found))


def retire(
    call: Call,
    arm_id: Annotated[str, typer.Argument(metavar="ID")],
    *,
    reason: Annotated[str, typer.Option(help="Why, for the log.")] = "",
) -> None:
    """Take an arm out of the registry for good; it gets no more attempts."""
    _one(call, arm_id)
    from octolog.client import Client

    with Client(call.settings()) as client:
        sent = client.retire_arm(arm_id, reason=reason)
    document = {"arm_id": arm_id, "topic": sent.topic, "partition": sent.partition, "offset": sent.offset}
    call.show(document, lambda: f"{arm_id} retired")


def _one(call: Call, arm_id: str) -> dict[str, Any]:
    for row in _arms(call):
        if row["arm_id"] == arm_id:
            return row
    raise NotFound(f"no arm {arm_id[:80]}; see `octolog arms list`")


def _arms(call: Call) -> list[dict[str, Any]]:
    from octolog.app.knowledge.queries import open_queries

    with open_queries(call.settings()) as queries:
        return [_flat(row) for row in queries.arms()]


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Capability and statistics side by side."""
    return {
        **row.get("capability", {}),
        **{name: value for name, value in row.items() if name != "capability"},
    }
