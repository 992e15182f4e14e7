"""`policy`: what the attempts of a contract may do, by name, and the permissions taken back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from octolog.cli.command import Call, command
from octolog.cli.output import fields, table

if TYPE_CHECKING:
    from octolog.client.decisions import Sent
    from octolog.client.policies import PolicyLog
    from octolog.domain.security import SecurityPolicy

_COLUMNS = {
    "name": "policy",
    "version": "version",
    "allowed_arms": "arms",
    "allowed_tags": "tags",
    "max_cost_tier": "tier",
    "pii_mode": "pii",
    "network": "network",
    "commands": "commands",
    "token_lifetime_seconds": "token s",
}

Reason = Annotated[str, typer.Option(help="Why, for the log.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    group = typer.Typer(
        no_args_is_help=True, help="Security policies and capability tokens.", rich_markup_mode=None
    )
    command(group, "list")(list_policies)
    command(group)(show)
    command(group)(put)
    command(group)(withdraw)
    command(group)(revoke)
    command(group)(keys)
    app.add_typer(group, name="policy")


def list_policies(call: Call) -> None:
    """Every policy in force; `*` is whatever an arm itself may."""
    with _log(call) as log:
        rows = [_document(policy) for _, policy in sorted(log.now().policies.items())]
    call.show({"policies": rows}, lambda: table([_told(row) for row in rows], _COLUMNS))


def show(call: Call, name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """One policy in force."""
    with _log(call) as log:
        found = _document(log.find(name))
    call.show(found, lambda: fields(_told(found)))


def put(
    call: Call,
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="The policy as JSON; - reads stdin.")],
) -> None:
    """Put a policy in force, in place of the one of its name; `default` holds for contracts that name none."""
    from octolog.cli.submit import read_document
    from octolog.edge.policy import parse_policy

    policy = parse_policy(read_document(file, "policy"))
    with _log(call) as log:
        sent = log.put(policy)
    call.show({"name": policy.name, **_place(sent)}, lambda: f"policy {policy.name} is in force")


def withdraw(
    call: Call, name: Annotated[str, typer.Argument(metavar="NAME")], *, reason: Reason = ""
) -> None:
    """Put a policy out of force: contracts that name it are refused, open trees of it wait."""
    with _log(call) as log:
        sent = log.withdraw(name, reason=reason)
    call.show({"name": name, **_place(sent)}, lambda: f"policy {name} is withdrawn")


def revoke(
    call: Call,
    scope: Annotated[str, typer.Argument(metavar="attempt|tree|key")],
    subject: Annotated[str, typer.Argument(metavar="ID", help="Of the attempt, the root task or the key.")],
    *,
    reason: Reason = "",
) -> None:
    """Make capability tokens void; arms stop what they do on them."""
    with _log(call) as log:
        sent = log.revoke(scope, subject, reason=reason)
    call.show(
        {"scope": scope, "subject": subject, **_place(sent)}, lambda: f"tokens of {scope} {subject} are void"
    )


def keys(call: Call) -> None:
    """The keys that sign capability tokens, as announced in the log."""
    from octolog.domain.security import RevocationScope

    with _log(call) as log:
        now = log.now()
    rows = [
        {"key_id": key, "public_key": public.hex(), "revoked": (RevocationScope.KEY, key) in now.revoked}
        for key, public in now.keys.items()
    ]
    columns = {"key_id": "key", "public_key": "public key", "revoked": "revoked"}
    call.show({"keys": rows}, lambda: table(rows, columns) if rows else "no token was signed in this log yet")


@contextmanager
def _log(call: Call) -> Iterator[PolicyLog]:
    from octolog.client import Client

    with Client(call.settings()) as client:
        yield client.policies


def _document(policy: SecurityPolicy) -> dict[str, Any]:
    from octolog.edge.policy import policy_document

    return policy_document(policy)


def _told(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: (", ".join(value) or "none") if isinstance(value, list) else value
        for name, value in row.items()
    }


def _place(sent: Sent) -> dict[str, Any]:
    return {"topic": sent.topic, "partition": sent.partition, "offset": sent.offset}
