"""`dlq`: records that nobody could use, and a second chance for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from octolog.cli.command import Call, command
from octolog.cli.output import fields, table
from octolog.domain.errors import Refused

if TYPE_CHECKING:
    from octolog.client.redrive import Redriven

_COLUMNS = {
    "offset": "offset",
    "source_topic": "topic",
    "source_partition": "partition",
    "source_offset": "at",
    "consumer": "refused by",
    "reason": "reason",
}
Offset = Annotated[
    int, typer.Argument(min=0, metavar="OFFSET", help="Of the dead letter, from `octolog dlq list`.")
]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    group = typer.Typer(no_args_is_help=True, help="Dead letters.", rich_markup_mode=None)
    command(group, "list")(list_letters)
    command(group)(show)
    command(group)(redrive)
    app.add_typer(group, name="dlq")


def list_letters(
    call: Call, *, limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="At most so many.")] = 50
) -> None:
    """The newest dead letters, newest first, straight from the log."""
    from octolog.app.connection import Connection
    from octolog.client.redrive import letters

    with Connection(call.settings()) as connection:
        rows = [letter.summary() for letter in letters(connection, limit)]
    call.show({"dead_letters": rows}, lambda: table(rows, _COLUMNS) if rows else "no dead letter")


def show(call: Call, offset: Offset) -> None:
    """One dead letter: the untouched bytes, and why they were refused."""
    from octolog.app.connection import Connection
    from octolog.client.redrive import letter_at

    with Connection(call.settings()) as connection:
        letter = letter_at(connection, offset)
    call.show(letter.document(), lambda: fields(letter.document()))


def redrive(
    call: Call,
    offsets: Annotated[list[int] | None, typer.Argument(min=0, metavar="[OFFSET]...", help="Which.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every dead letter.")] = False,
) -> None:
    """Write the untouched bytes back to where they came from, once; a second time says that it was done."""
    if bool(offsets) == everything:
        raise Refused("name the offsets of dead letters, or give --all")
    from octolog.app.connection import Connection
    from octolog.client.redrive import letter_at, letters, redrive_letter

    with Connection(call.settings()) as connection:
        chosen = [letter_at(connection, offset) for offset in offsets or ()] or letters(connection)[::-1]
        done = [redrive_letter(connection, letter) for letter in chosen]
    document = {"redriven": [one.document() for one in done]}
    if any(one.refused for one in done):
        first = next(one for one in done if one.refused)
        call.fail(document, f"dead letter {first.offset}: {first.refused}", lambda: _text(done))
    call.show(document, lambda: _text(done))


def _text(done: list[Redriven]) -> object:
    return table([one.document() for one in done]) if done else "no dead letter"
