"""Which table a record goes to, and the SQL that makes it: from the schemas alone, so a new record gets its own."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any, Final

from schemas import catalog
from schemas.blocks import AvroType, BlockSchema, Column

FOLLOWED: Final = (
    "octolog.contracts",
    "octolog.tasks",
    "octolog.results",
    "octolog.resources",
    "octolog.arms",
    "octolog.memory",
    "octolog.templates",
    "octolog.dead-letters",
)
"""The topics that are kept for ever, so that a store rebuilt from them equals the one that followed them.

Left out: timers, assignments and snapshots, which Kafka drops in time (every fact they led to is in
`octolog.tasks`), and episodes, which only their own arm may read.
"""

LOG_COLUMNS: Final = (
    ("log_topic", "VARCHAR"),
    ("log_partition", "INTEGER"),
    ("log_offset", "BIGINT"),
    ("log_timestamp", "TIMESTAMP"),
)
"""Where a row comes from, at the end of every table."""

_SQL_TYPES: Final = {
    "string": "VARCHAR",
    "bytes": "BLOB",
    "int": "INTEGER",
    "long": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
}
_WORDS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Table:
    """The table of one record.

    Attributes:
        name: The record's name in snake case.
        record: The record's full name.
        columns: Name and SQL type, in order; `LOG_COLUMNS` last.
        ddl: The statement that creates it.
    """

    name: str
    record: str
    columns: tuple[tuple[str, str], ...]
    ddl: str


@cache
def tables() -> tuple[Table, ...]:
    """The table of every record that a followed topic may carry, by name."""
    records = {cls.schema_name for topic in FOLLOWED for cls in catalog.TOPIC_RECORDS[topic]}
    return tuple(sorted((_table(name) for name in records), key=lambda table: table.name))


@cache
def carried() -> dict[str, dict[str, Table]]:
    """Followed topic -> full names of the records it may carry -> their table."""
    by_record = {table.record: table for table in tables()}
    return {
        topic: {cls.schema_name: by_record[cls.schema_name] for cls in catalog.TOPIC_RECORDS[topic]}
        for topic in FOLLOWED
    }


def layout_digest(*more: str) -> str:
    """Changes with any table, so that a store made by another layout is rebuilt; hex SHA-256."""
    return sha256("\n".join([*(table.ddl for table in tables()), *more]).encode()).hexdigest()


def column_name(column: Column) -> str:
    """The column's name in SQL: a TIMESTAMP has no unit, and `at` is a word of DuckDB's own."""
    if column.timestamp and column.name == "at_ms":
        return "happened_at"
    return column.name.removesuffix("_ms") if column.timestamp else column.name


def quoted(name: str) -> str:
    """A name for use in SQL, whatever words SQL keeps for itself."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def literal(value: object) -> str:
    """A scalar or a list of scalars as SQL.

    Raises:
        TypeError: For anything else.
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool | int | float):
        return str(value).upper()
    if isinstance(value, str):
        escaped = value.replace("'", "''")
        return f"'{escaped}'"
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    raise TypeError(f"no SQL literal for {value!r}")


def _table(record: str) -> Table:
    name = _WORDS.sub("_", record.rsplit(".", 1)[1]).lower()
    leaves = BlockSchema(catalog.schema_json(record)).columns
    columns = [(column_name(leaf), _sql_type(leaf)) for leaf in leaves]
    lines = [f"{quoted(column_name(leaf))} {_sql_type(leaf)}{_default(leaf)}" for leaf in leaves]
    lines += [f"{name} {sql_type}" for name, sql_type in LOG_COLUMNS]
    ddl = f"CREATE TABLE {quoted(name)} ({', '.join(lines)})"
    return Table(name, record, (*columns, *LOG_COLUMNS), ddl)


def _default(leaf: Column) -> str:
    return "" if leaf.default is None else f" DEFAULT {literal(leaf.default)}"


def _sql_type(leaf: Column) -> str:
    return "TIMESTAMP" if leaf.timestamp else _of(leaf.type, {path for path, _ in leaf.item_symbols})


def _of(
    avro: AvroType | list[Any], enums: AbstractSet[tuple[str, ...]] = frozenset(), at: tuple[str, ...] = ()
) -> str:
    if isinstance(avro, list):
        return _of(avro[1], enums, at)
    if at in enums:
        return "VARCHAR"
    if isinstance(avro, str):
        return _SQL_TYPES[avro]
    if avro["type"] == "array":
        return f"{_of(avro['items'], enums, at)}[]"
    if avro["type"] == "record":
        fields = (
            f"{quoted(field['name'])} {_of(field['type'], enums, (*at, field['name']))}"
            for field in avro["fields"]
        )
        return f"STRUCT({', '.join(fields)})"
    return "BLOB"
