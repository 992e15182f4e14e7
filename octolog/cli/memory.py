"""`memory`: what was learned, found by meaning and by word."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from octolog.cli.command import Call, command
from octolog.cli.moment import parse_moment
from octolog.cli.output import cell, fields, group, progress, table
from octolog.domain.errors import NotFound, Refused

if TYPE_CHECKING:
    from projections.memory.conditions import AsOf, Where

_COLUMNS = {
    "rank": "#",
    "memory_id": "memory",
    "entity_type": "about",
    "similarity": "likeness",
    "confidence": "confidence",
    "source": "by",
    "tags": "tags",
    "content": "content",
}
_FILTERS = "entity, source, tag, confidence (at least), since, until, task"
_BY_PARTITION = "0:12,1:7"


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    sub = typer.Typer(no_args_is_help=True, help="Semantic memory.", rich_markup_mode=None)
    command(sub)(search)
    command(sub)(show)
    command(sub)(reembed)
    app.add_typer(sub, name="memory")


def search(
    call: Call,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What is looked for.")],
    *,
    top_k: Annotated[int, typer.Option(min=1, max=1_000, help="At most so many.")] = 10,
    limits: Annotated[
        list[str] | None, typer.Option("--filter", metavar="K=V", help=f"May repeat. K: {_FILTERS}.")
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            metavar="OFFSET",
            help=f"What counted then: an offset of octolog.memory in every partition, one each ({_BY_PARTITION}),"
            " or a time.",
        ),
    ] = None,
) -> None:
    """Memories that fit a text best, by meaning and by word, now or as of a moment of the log."""
    where = _where(limits or [], as_of)
    from octolog.app.memory.collections import open_memories

    with open_memories(call.settings()) as memories:
        hits = memories.search(text, top_k, where)
    call.show({"hits": hits}, lambda: table(hits, _COLUMNS) if hits else "nothing is remembered that fits")


def show(call: Call, memory_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """One memory: what it says, where the log says it, and from when until when it counted, in offsets."""
    from octolog.app.memory.collections import open_memories

    with open_memories(call.settings()) as memories:
        versions = memories.show(memory_id)
    newest, older = versions[-1], versions[:-1]

    def text() -> object:
        history = (
            table(older, dict.fromkeys(("recorded_at", "replaced_at", "content"), "")) if older else None
        )
        return group(fields(newest), *(["", "before:", history] if history else []))

    call.show({**newest, "older_versions": older}, text)


def reembed(
    call: Call,
    *,
    model: Annotated[
        str,
        typer.Option(metavar="MODEL", help="packaged, hashing, fastembed:MODEL or endpoint:MODEL."),
    ],
    queries: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Texts to compare the models with, one a line; else memories are drawn."
        ),
    ] = None,
    sample: Annotated[int, typer.Option(min=1, max=10_000, help="Memories drawn for it.")] = 50,
    min_overlap: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Change nothing if both models share less of their ten nearest."),
    ] = 0.0,
) -> None:
    """Embed every memory with another model beside the one in use, say what changes, then use it."""
    from octolog.app.memory.collections import Reembedding, open_memories

    asked = Reembedding(model, tuple(_lines(queries)), sample, min_overlap)
    with open_memories(call.settings()) as memories, progress(quiet=call.as_json) as stage:
        found = memories.reembed(asked, lambda done, total: stage("embedding", done, total))
    call.show(found, lambda: _reembedded(found))


def _reembedded(found: dict[str, Any]) -> object:
    drift = found["drift"]
    shown = {name: value for name, value in found.items() if name != "drift"}
    shown |= {"compared by": f"{drift['queries']} queries", "overlap@10": drift["overlap_at_10"]}
    worst = [{**row, "query": cell(row["query"], 60)} for row in drift["worst"]]
    return group(fields(shown), "", "least alike:", table(worst)) if worst else fields(shown)


def _lines(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        found = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except FileNotFoundError:
        raise NotFound(f"no file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{path}: {error}") from None
    if not found:
        raise Refused(f"{path} has no text to ask with")
    return found


def _where(limits: Sequence[str], as_of: str | None) -> Where:
    from projections.memory.conditions import Where

    given: dict[str, Any] = {}
    for limit in limits:
        key, separator, value = limit.partition("=")
        if not separator or not value:
            raise Refused(f"--filter {limit[:60]!r}: write K=V, where K is one of {_FILTERS}")
        if key == "tag":
            given["tags"] = (*given.get("tags", ()), value)
            continue
        name, parsed = _limit(key, value)
        if name in given:
            raise Refused(f"--filter {key} is given twice; only tag may repeat")
        given[name] = parsed
    return Where(**given, as_of=None if as_of is None else _moment(as_of))


def _limit(key: str, value: str) -> tuple[str, Any]:
    from octolog.domain.memory import EntityType

    match key:
        case "entity":
            known = [one.value for one in EntityType if one is not EntityType.UNKNOWN]
            if value.upper() not in known:
                raise Refused(f"--filter entity={value[:60]}: one of {', '.join(known).lower()}")
            return "entity_type", EntityType(value.upper())
        case "source":
            return "source", value
        case "task":
            return "task_id", value
        case "confidence":
            return "min_confidence", _confidence(value)
        case "since" | "until":
            moment = parse_moment(value)
            if not isinstance(moment, datetime):
                raise Refused(f"--filter {key}={value[:60]}: a time such as 2026-01-31T12:00:00Z")
            return f"{key}_ms", _ms(moment)
        case _:
            raise Refused(f"no filter {key[:60]!r}; there is {_FILTERS}")


def _confidence(value: str) -> float:
    try:
        found = float(value)
    except ValueError:
        found = -1.0
    if not 0.0 <= found <= 1.0:
        raise Refused(f"--filter confidence={value[:60]}: a number from 0.0 to 1.0")
    return found


def _moment(text: str) -> AsOf:
    from projections.memory.conditions import AsOf

    if ":" in text and "-" not in text:
        try:
            pairs = [part.split(":") for part in text.split(",")]
            return AsOf(positions={int(partition): int(offset) for partition, offset in pairs})
        except ValueError:
            raise Refused(
                f"--as-of {text[:60]!r}: write an offset for each partition as {_BY_PARTITION}"
            ) from None
    moment = parse_moment(text)
    return AsOf(time_ms=_ms(moment)) if isinstance(moment, datetime) else AsOf(offset=moment)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000)
