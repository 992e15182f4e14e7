"""`topics`, `schemas`, `projections`: operating the log."""

from __future__ import annotations

from typing import Annotated

import typer

from octolog.cli.command import Call, command
from octolog.cli.output import table


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    topics = typer.Typer(no_args_is_help=True, help="Topics.", rich_markup_mode=None)
    command(topics, "apply")(apply_topics)
    command(topics, "list")(list_topics)
    app.add_typer(topics, name="topics")
    schemas = typer.Typer(no_args_is_help=True, help="Schemas of the records.", rich_markup_mode=None)
    command(schemas, "list")(list_schemas)
    command(schemas, "check")(check_schemas)
    command(schemas, "publish")(publish_schemas)
    app.add_typer(schemas, name="schemas")


def apply_topics(
    call: Call,
    *,
    partitions: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Of topics keyed by task; fixed once trees exist.")
    ] = None,
) -> None:
    """Create the topics that are missing; one that exists with another size is an error."""
    from octolog.app.connection import Connection

    with Connection(call.settings()) as connection:
        created = connection.ensure_topics(partitions)
    call.show({"created": created}, lambda: "\n".join(created) if created else "every topic is there")


def list_topics(call: Call) -> None:
    """Every octolog topic as it is."""
    from octolog.app.connection import Connection

    with Connection(call.settings()) as connection:
        rows = list(connection.topics())
    call.show({"topics": rows}, lambda: table(rows) if rows else "no topic; run `octolog topics apply`")


def list_schemas(call: Call) -> None:
    """Every record that is a value of its own, and the topic it belongs in."""
    from hashlib import sha256

    from schemas import catalog

    topics = {cls.schema_name: topic for topic, group in catalog.TOPIC_RECORDS.items() for cls in group}
    rows = [
        {
            "subject": name,
            "topic": topics[name],
            "sha256": sha256(catalog.schema_json(name).encode()).hexdigest(),
        }
        for name in catalog.TOP_LEVEL
    ]
    call.show({"schemas": rows}, lambda: table(rows))


def check_schemas(call: Call) -> None:
    """Compare the schemas with every release; exits with 1 when an old reader or writer could not go on."""
    from schemas.check import check, current_schemas, released_schemas

    current, released = current_schemas(), released_schemas()
    violations = check(current, released)
    document = {"subjects": len(current), "releases": sorted(released), "violations": violations}
    against = ", ".join(sorted(released)) or "no release yet"
    if violations:
        call.fail(
            document,
            f"{len(violations)} violations, the first: {violations[0]}",
            lambda: "\n".join(map(str, violations)),
        )
    call.show(document, lambda: f"{len(current)} subjects against {against}: no violation")


def publish_schemas(call: Call) -> None:
    """Register every schema with the registry in use, or in the `_schemas` topic; show the ids."""
    from octolog.app.connection import Connection
    from schemas import catalog

    with Connection(call.settings()) as connection:
        ids = connection.schema_ids
        rows = [
            {"subject": name, "id": ids.register(name, catalog.schema_json(name))}
            for name in catalog.TOP_LEVEL
        ]
    call.show({"schemas": rows}, lambda: table(rows))
