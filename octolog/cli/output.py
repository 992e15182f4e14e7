"""Answers on stdout, everything else on stderr; what comes from the log never reaches the terminal raw."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Final, TextIO

from octolog.domain.errors import InvalidContract, OctologError

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters but tab and newline: a goal in the log must not move somebody's cursor."""

_UNLIMITED_COLUMNS: Final = 100_000
_CELL_CHARS: Final = 80
Stage = Callable[[str, int, int], None]


def print_json(document: object) -> None:
    """One JSON document and a newline on stdout."""
    plain_ascii = "utf" not in (sys.stdout.encoding or "").lower()
    sys.stdout.write(f"{json_text(document, plain_ascii=plain_ascii)}\n")


def json_text(value: object, *, plain_ascii: bool = False) -> str:
    """A value as JSON: times in ISO 8601 UTC, bytes in hex, records as objects; NaN and Infinity as null."""
    try:
        return json.dumps(value, default=plain, ensure_ascii=plain_ascii, allow_nan=False)
    except ValueError:  # rare, and costs a second pass: doubles that DuckDB has and JSON has not
        text = json.dumps(value, default=plain)
        return json.dumps(json.loads(text, parse_constant=lambda _: None), ensure_ascii=plain_ascii)


def print_text(renderable: object) -> None:
    """Text or a rich renderable on stdout; nothing is cut when it goes into a file or a pipe."""
    if isinstance(renderable, str):
        if renderable:
            sys.stdout.write(f"{visible(renderable)}\n")
        return
    write_rich(renderable, sys.stdout, sys.stdout.isatty())


def write_rich(renderable: object, file: TextIO, terminal: bool) -> None:
    """A rich renderable into a stream."""
    from rich.console import Console

    Console(file=file, width=None if terminal else _UNLIMITED_COLUMNS, highlight=False).print(renderable)


def warn(line: str) -> None:
    """One line on stderr."""
    sys.stderr.write(f"octolog: {one_line(line)}\n")


def one_line(text: str) -> str:
    """Text on one line, its control characters shown."""
    return visible(" ".join(text.split()))


def visible(text: str) -> str:
    """Text whose control characters are written out."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found.group()):02x}", text)


def error_document(error: OctologError) -> dict[str, Any]:
    """An error as JSON."""
    said: dict[str, Any] = {
        "kind": type(error).__name__,
        "message": one_line(str(error)),
        "retryable": error.retryable,
    }
    if isinstance(error, InvalidContract):
        said |= {"code": error.code, "field": error.field, "message": one_line(error.message)}
    return {"error": said}


def table(
    rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str] | None = None, limit: int = _CELL_CHARS
) -> object:
    """Rows as a table.

    Args:
        rows: What to show.
        columns: Key -> heading, in order; None: every key of the first row.
        limit: Characters of a value after which it is cut.
    """
    from rich.table import Table
    from rich.text import Text

    shown = columns or {name: name for name in (rows[0] if rows else {})}
    found = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for index, heading in enumerate(shown.values()):
        found.add_column(heading, overflow="fold", no_wrap=index == 0)  # ids are there to be copied
    for row in rows:
        found.add_row(*(Text(cell(row.get(name), limit)) for name in shown))
    return found


def fields(values: Mapping[str, Any]) -> object:
    """Names and values below each other; what is empty is left out."""
    from rich.table import Table
    from rich.text import Text

    found = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for name, value in values.items():
        if value not in (None, "", [], {}, ()):
            found.add_row(Text(name, style="bold"), Text(cell(value, limit=2_000)))
    return found


def group(*parts: object) -> object:
    """Several parts below each other."""
    from rich.console import Group

    return Group(*(part for part in parts if part is not None))  # type: ignore[arg-type]  # strings and tables


def cell(value: object, limit: int = _CELL_CHARS) -> str:
    """A value in a table."""
    match value:
        case None:
            text = ""
        case str():
            text = value
        case bool():
            text = "yes" if value else "no"
        case float():
            text = f"{value:.6g}"
        case datetime():
            text = value.isoformat(sep=" ", timespec="milliseconds")
        case list() if value and all(isinstance(item, str) for item in value):
            text = ", ".join(value)
        case _ if isinstance(value, list | tuple | dict):
            text = json.dumps(value, default=plain, ensure_ascii=False)
        case _:
            text = str(value)
    text = one_line(text)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


@contextmanager
def progress(quiet: bool = False) -> Iterator[Stage]:
    """Bars on stderr for long work, when somebody looks: `stage(what, done, total)`, total 0 for unknown."""
    if quiet or not sys.stderr.isatty():
        yield lambda _what, _done, _total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(TextColumn):
        def render(self, task: Task) -> Text:
            return Text("" if task.speed is None else f"{task.speed:,.0f}/s")

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(""))
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, *times, console=Console(stderr=True), transient=True) as bars:
        task, current = bars.add_task("starting", total=None), ""

        def stage(what: str, done: int, total: int) -> None:
            nonlocal current
            if what != current:  # its rate is its own
                current = what
                bars.reset(task)
            bars.update(task, description=cell(what, 50), completed=done, total=total or None)

        yield stage


def plain(value: object) -> object:
    """What JSON has no form for, in one it has."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    if isinstance(value, datetime):
        text = value.isoformat(timespec="milliseconds")
        return text if value.tzinfo is not None else f"{text}Z"
    if isinstance(value, date | PurePath):
        return str(value)
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)
