"""Records of one tree from their bytes, as the rows that the tables have of them.

A question about one tree wants all of some tens of records: in columns that is a hundred places to read, a statement to
plan for each table, and tens of milliseconds where the file does not lie in memory. Their bytes lie together in the
index (`places`), and decoding them takes 20 microseconds each. `benches/analytics.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final, TypeAlias

from projections.analytics.places import Record
from projections.tables import column_name, tables
from schemas import catalog
from schemas.blocks import BlockSchema
from schemas.flat import flat_row

Columns: TypeAlias = tuple[tuple[str, str], ...]
"""What a row is to have: names, and the columns they stand for, or `len(column)`."""

_Step: TypeAlias = tuple[str, str, Callable[[Any], Any] | None]

_EPOCH: Final = datetime.fromtimestamp(0, UTC).replace(tzinfo=None)
_LENGTH: Final = "len("


def rows_of(records: Iterable[Record], wanted: Mapping[str, Columns]) -> dict[str, list[dict[str, Any]]]:
    """Table -> its rows.

    Args:
        records: Those of a tree.
        wanted: Table -> the columns to tell; other tables are passed over.
    """
    found: dict[str, list[dict[str, Any]]] = {table: [] for table in wanted}
    for record in records:
        if record.table in wanted:
            found[record.table].append(_row(record, wanted[record.table]))
    return found


def columns_of(selected: str) -> Columns:
    """The columns that a list as in SELECT names: `column`, or `column AS name`."""
    parts = [part.strip().partition(" AS ") for part in selected.split(",")]
    return tuple((name or column, column) for column, _, name in parts)


def _row(record: Record, columns: Columns) -> dict[str, Any]:
    full_name, steps = _steps(record.table, columns)
    flat = flat_row(full_name, record.value)
    flat["log_partition"], flat["log_offset"] = record.partition, record.offset
    row: dict[str, Any] = {}
    for name, leaf, convert in steps:
        told = flat.get(leaf)
        row[name] = told if told is None or convert is None else convert(told)
    return row


@cache
def _steps(table: str, columns: Columns) -> tuple[str, tuple[_Step, ...]]:
    """The record's full name; and of each column its name in the row, its leaf, and what makes one of the other."""
    (full_name,) = (one.record for one in tables() if one.name == table)
    leaves = {column_name(leaf): leaf for leaf in BlockSchema(catalog.schema_json(full_name)).columns}
    steps: list[_Step] = []
    for name, column in columns:
        source = column.removeprefix(_LENGTH).removesuffix(")")
        leaf = leaves.get(source)
        convert = len if column.startswith(_LENGTH) else _moment if leaf and leaf.timestamp else None
        steps.append((name, source if leaf is None else leaf.name, convert))
    return full_name, tuple(steps)


def _moment(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)
