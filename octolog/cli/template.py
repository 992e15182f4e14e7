"""`template`: templates of tasks, kept in the log by name and version."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from octolog.cli.command import Call, command
from octolog.cli.documents import every_fault_told
from octolog.cli.output import fields, group, table, warn

if TYPE_CHECKING:
    from octolog.client.templates import TemplateLog
    from octolog.domain.templates.document import Document
    from octolog.domain.templates.table import Kept

_COLUMNS = {
    "name": "template",
    "version": "version",
    "type": "type",
    "state": "state",
    "description": "description",
}
_MATCHES = {"score": "score", "name": "template", "version": "version", "description": "description"}


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    templates = typer.Typer(no_args_is_help=True, help="Templates of tasks.", rich_markup_mode=None)
    command(templates)(register)
    command(templates, "list")(list_templates)
    command(templates)(show)
    command(templates)(validate)
    command(templates)(match)
    command(templates)(retire)
    app.add_typer(templates, name="template")


def register(
    call: Call,
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="The template as XML; - reads stdin.")],
    *,
    name: Annotated[str | None, typer.Option(help="Its name; default: the one it gives itself.")] = None,
    version: Annotated[
        str | None, typer.Option(help="Its version; default: the one it gives itself.")
    ] = None,
    registered_by: Annotated[
        str | None, typer.Option("--by", help="Who says so; default: this user.")
    ] = None,
) -> None:
    """Add a version of a template; the same again changes nothing, and other content needs a new version."""
    with every_fault_told(call):
        xml, warnings = _valid(call, file)
    for warning in warnings:
        warn(warning)
    with _log(call) as log:
        done = log.register(xml, name=name, version=version, registered_by=registered_by)
    document = {**_row(done.kept), "new": done.new, "offset": done.kept.offset, "warnings": list(warnings)}
    if done.redacted:
        from octolog.safety import in_words

        document["redacted"] = dict(done.redacted)
        warn(f"redacted before it was logged: {in_words(done.redacted)}; see docs/how-to/safety.md")
    call.show(document, lambda: f"{done.kept.label} {'registered' if done.new else 'is registered already'}")


def list_templates(
    call: Call,
    *,
    retired: Annotated[bool, typer.Option(help="Show versions that are retired, too.")] = False,
) -> None:
    """Every version of every template, and octolog's own."""
    with _log(call) as log:
        kept = log.table().all()
    rows = [_row(one) for one in kept if retired or one.retired is None]
    rows += [_builtin_row(document) for document in _builtins()]
    call.show({"templates": rows}, lambda: table(rows, _COLUMNS))


def show(
    call: Call,
    label: Annotated[str, typer.Argument(metavar="NAME[@VERSION]", help="Without a version: the newest.")],
) -> None:
    """One template: who registered it and when, and its XML."""
    from schemas.xml import BUILTINS, builtin, write_document

    if label in BUILTINS:
        own = builtin(label)
        found = {**_builtin_row(own), "digest": own.digest, "xml": write_document(own)}
    else:
        with _log(call) as log:
            kept = log.table().find(label)
        found = {**_row(kept), "offset": kept.offset, "xml": kept.template.xml}
    told = {name: value for name, value in found.items() if name != "xml"}

    def text() -> object:
        from rich.text import Text

        return group(fields(told), Text(f"\n{found['xml']}"))

    call.show(found, text)


def validate(
    call: Call,
    file: Annotated[
        str, typer.Argument(metavar="FILE|-", help="A template or operator document; - reads stdin.")
    ],
) -> None:
    """Check a document without a log: every error with its place, and warnings."""
    from octolog.app.arms.models import Models
    from octolog.cli.submit import read_document
    from octolog.domain.templates.verdict import as_json
    from schemas.xml import judge

    verdict = judge(read_document(file, "document"), Models(call.settings()))
    document = as_json(verdict)

    def text() -> str:
        kind = "template" if document["kind"] == "template" else "operator document"
        lines = [f"error: {fault}" for fault in verdict.faults]
        lines += [f"warning: {warning}" for warning in verdict.warnings]
        return "\n".join([*lines, f"a valid {kind}"] if verdict.valid else lines)

    if verdict.valid:
        call.show(document, text)
    else:
        more = len(verdict.faults) - 1
        call.fail(document, f"{verdict.faults[0]}{f' (and {more} more)' if more else ''}", text)


def match(
    call: Call,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What somebody wants; - reads stdin.")],
    *,
    top_k: Annotated[int, typer.Option(min=1, max=5, help="How many at most.")] = 5,
    by_words: Annotated[
        bool, typer.Option("--by-words", help="By the words they share, without an embedding model.")
    ] = False,
) -> None:
    """The atomic templates that fit a text, best first: by meaning; without an embedding model by words."""
    from octolog.app.arms.matching import scoring
    from octolog.cli.submit import read_document
    from octolog.domain.templates.matching import BY_WORDS

    wanted = read_document("-", "text").decode("utf-8", "replace") if text == "-" else text
    chosen = BY_WORDS if by_words else scoring(call.settings())
    with _log(call) as log:
        found = log.match(wanted, top_k, chosen)
    rows = [
        {
            "name": one.name,
            "version": one.version,
            "score": round(one.score, 6),
            "description": one.description,
        }
        for one in found
    ]
    document = {"scored_by": chosen.name, "model": chosen.model or None, "matches": rows}
    call.show(document, lambda: table(rows, _MATCHES) if rows else "no template fits")


def retire(
    call: Call,
    label: Annotated[str, typer.Argument(metavar="NAME@VERSION", help="Without a version: the newest.")],
    *,
    reason: Annotated[str, typer.Option(help="Why, for the log.")] = "",
) -> None:
    """Take a version out of use; its name and version stay taken."""
    with _log(call) as log:
        kept = log.table().find(label)
        sent = log.retire(kept.label, reason=reason)
    document = {"name": kept.template.name, "version": kept.template.version, "offset": sent.offset}
    call.show(document, lambda: f"{kept.label} retired")


def _valid(call: Call, file: str) -> tuple[bytes, tuple[str, ...]]:
    """A document's bytes, refused before any Kafka is asked for when they are not valid; and what is worth a look."""
    from octolog.app.arms.models import Models
    from octolog.cli.submit import read_document
    from octolog.domain.templates.verdict import warnings_of
    from schemas.xml import read_document as read_xml

    xml = read_document(file, Path(file).name if file != "-" else "template")
    return xml, warnings_of(read_xml(xml, Models(call.settings())))


@contextmanager
def _log(call: Call) -> Iterator[TemplateLog]:
    from octolog.client import Client

    with Client(call.settings()) as client:
        yield client.templates


def _row(kept: Kept) -> dict[str, Any]:
    template = kept.template
    return {
        "name": template.name,
        "version": template.version,
        "type": template.task_type.lower(),
        "description": template.description,
        "state": "usable" if kept.retired is None else "retired",
        "digest": template.digest,
        "registered_by": template.registered_by,
        "registered_at_ms": kept.at_ms,
        **({} if kept.retired is None else {"retired": kept.retired}),
    }


def _builtin_row(document: Document) -> dict[str, Any]:
    return {
        "name": document.name,
        "version": document.version,
        "type": document.task_type.lower(),
        "description": document.description,
        "state": "octolog's own",
    }


def _builtins() -> list[Document]:
    from schemas.xml import BUILTINS, builtin

    return [builtin(name) for name in BUILTINS]
