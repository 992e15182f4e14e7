"""`provenance`: a task's chain of custody; its lineage for other tools, and as a picture."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from octolog.cli.asking import patiently
from octolog.cli.command import Call, command
from octolog.cli.output import fields, group, json_text, table
from octolog.domain.errors import Refused

_CUSTODY_COLUMNS = {
    "number": "#",
    "at": "at (UTC)",
    "action": "action",
    "actor": "by",
    "task_id": "task",
    "detail": "detail",
}
_LINEAGE = {"inputs": "came from", "used_by": "used by"}
_Task = Annotated[str, typer.Argument(metavar="ID", help="A task id.")]
_Redact = Annotated[bool, typer.Option("--redact", help="Leave out what can be personal data.")]


class Form(StrEnum):
    """What lineage is written as."""

    PROV_JSON = "prov-json"
    OPENLINEAGE = "openlineage"


class _ShowByDefault(TyperGroup):
    """`provenance ID` is `provenance show ID`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Name the command that is meant when none is."""
        named = next((arg for arg in args if not arg.startswith("-")), None)
        asks_help = any(arg in ctx.help_option_names for arg in args) and named is None
        if args and named not in self.commands and not asks_help:
            args = ["show", *args]
        return super().parse_args(ctx, args)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    told = "Who did what to a task, and what its output came from; `provenance ID` is `provenance show ID`."
    commands = typer.Typer(cls=_ShowByDefault, no_args_is_help=True, help=told, rich_markup_mode=None)
    command(commands)(show)
    command(commands)(export)
    command(commands)(draw)
    app.add_typer(commands, name="provenance")


def show(call: Call, task_id: _Task) -> None:
    """A task's chain of custody, and what its output came from."""
    from octolog.app.knowledge.queries import open_queries

    with open_queries(call.settings()) as queries:
        custody = patiently(lambda: queries.custody(task_id))
    call.show(custody, lambda: _text(custody))


def export(
    call: Call,
    task_id: _Task,
    *,
    form: Annotated[
        Form, typer.Option("--format", help="PROV-JSON of the W3C, or OpenLineage run events, one a line.")
    ] = Form.PROV_JSON,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write there instead of stdout.")
    ] = None,
    redact: _Redact = False,
) -> None:
    """Write a task's lineage for other tools: what it and the tasks below used and made, by which arms and models."""
    found = _lineage(call, task_id, form.value, redact=redact)
    if form is Form.OPENLINEAGE and not call.as_json:
        text = "".join(f"{json_text(event)}\n" for event in found)
    else:
        text = f"{json_text({'events': found} if form is Form.OPENLINEAGE else found)}\n"
    _write(text, out)


def draw(
    call: Call,
    task_id: _Task,
    *,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The picture, an SVG file.")],
    redact: _Redact = False,
) -> None:
    """Draw a task's lineage: sources, tasks with arms and models, memories."""
    text = _lineage(call, task_id, "svg", redact=redact)
    _write(text, out)
    document = {"task_id": task_id, "file": out, "size_bytes": len(text.encode())}
    call.show(document, lambda: fields(document))


def _text(custody: dict[str, Any]) -> object:
    entries, lists = custody["entries"], {"entries", *_LINEAGE}
    parts = [fields({name: value for name, value in custody.items() if name not in lists})]
    parts += ["", table(entries, _columns(entries))]
    for name, heading in _LINEAGE.items():
        if custody.get(name):
            columns = {each: each for each in custody[name][0] if each != "output_hash"}
            parts += ["", heading, table(custody[name], columns)]
    return group(*parts)


def _lineage(call: Call, task_id: str, form: str, *, redact: bool) -> Any:
    from octolog.app.knowledge.queries import open_queries

    with open_queries(call.settings()) as queries:
        return patiently(lambda: queries.lineage(task_id, form, personal=not redact))


def _write(text: str, out: Path | None) -> None:
    if out is None:
        sys.stdout.write(text)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Refused(f"{out}: {error.strerror or error}") from None


def _columns(entries: list[dict[str, Any]]) -> dict[str, str]:
    known = entries[0] if entries else {}
    return {name: heading for name, heading in _CUSTODY_COLUMNS.items() if name in known}
