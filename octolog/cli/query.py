"""`query`, `tables`: asking the projections in SQL."""

from __future__ import annotations

import csv
import io
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, TextIO, cast

import typer

from octolog.cli.command import Call, command
from octolog.cli.output import json_text, plain, table, warn, write_rich
from octolog.domain.errors import Refused

if TYPE_CHECKING:
    from octolog.app.knowledge.queries import Answer

_QUERY_CELL_CHARS = 100_000


class Format(StrEnum):
    """How rows are written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"
    ARROW = "arrow"


_BINARY = (Format.PARQUET, Format.ARROW)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    command(app)(query)
    command(app)(tables)


def query(
    call: Call,
    sql: Annotated[
        str, typer.Argument(metavar="SQL", help="One statement that reads; - reads it from stdin.")
    ],
    *,
    form: Annotated[Format, typer.Option("--format", help="How the rows are written.")] = Format.TABLE,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write there instead of stdout.")] = None,
    max_rows: Annotated[int, typer.Option(min=1, max=10_000_000, help="At most so many rows.")] = 10_000,
    timeout_s: Annotated[float, typer.Option("--timeout", min=0.01, help="Longest run, seconds.")] = 30.0,
) -> None:
    """Ask the projections in SQL; `octolog tables` lists what there is."""
    form = Format.JSON if call.as_json else form
    if form in _BINARY and out is None and sys.stdout.isatty():
        raise Refused(f"{form} is no text; add --out FILE or send it into a pipe")
    statement = sys.stdin.read() if sql == "-" else sql
    from octolog.app.knowledge.queries import open_queries

    with open_queries(call.settings()) as queries:
        answer = queries.sql(statement, max_rows=max_rows, timeout_s=timeout_s)
    _write(answer, form, out)
    if answer.truncated:
        warn(f"only the first {max_rows} rows; raise --max-rows for more")


def tables(call: Call) -> None:
    """Every table and view with its columns."""
    from octolog.app.knowledge.queries import open_queries

    with open_queries(call.settings()) as queries:
        rows = queries.tables()

    def text() -> object:
        short = [
            {**row, "columns": ", ".join(column.split(" ")[0] for column in row["columns"])} for row in rows
        ]
        return table(short)

    call.show({"tables": rows}, text)


def _write(answer: Answer, form: Format, out: Path | None) -> None:
    if out is None:
        binary, text = sys.stdout.buffer if form in _BINARY else None, sys.stdout
        _write_to(answer, form, binary, text)
        return
    try:
        with out.open("wb") as binary, io.TextIOWrapper(binary, encoding="utf-8", newline="") as text:
            _write_to(answer, form, binary, text)
    except OSError as error:
        raise Refused(f"{out}: {error.strerror or error}") from None


def _write_to(answer: Answer, form: Format, binary: BinaryIO | None, text: TextIO) -> None:
    match form:
        case Format.PARQUET:
            _write_parquet(answer, cast("BinaryIO", binary))
        case Format.ARROW:
            _write_arrow(answer, cast("BinaryIO", binary))
        case Format.JSON:
            document = {
                "columns": answer.table.column_names,
                "rows": answer.table.to_pylist(),
                "truncated": answer.truncated,
            }
            text.write(f"{json_text(document)}\n")
        case Format.CSV:
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(answer.table.column_names)
            writer.writerows([_csv_cell(value) for value in row.values()] for row in answer.table.to_pylist())
        case _:
            names = {name: name for name in answer.table.column_names}
            write_rich(table(answer.table.to_pylist(), names, _QUERY_CELL_CHARS), text, text.isatty())


def _write_parquet(answer: Answer, file: BinaryIO) -> None:
    import pyarrow.parquet

    sink = io.BytesIO()  # a pipe cannot seek
    pyarrow.parquet.write_table(answer.table, sink)
    file.write(sink.getvalue())


def _write_arrow(answer: Answer, file: BinaryIO) -> None:
    import pyarrow.ipc

    with pyarrow.ipc.new_stream(file, answer.table.schema) as writer:
        writer.write_table(answer.table)


def _csv_cell(value: object) -> object:
    match value:
        case None | str() | bool() | int() | float():
            return value
        case _ if isinstance(value, list | dict):
            return json_text(value)
        case _:
            return plain(value)
