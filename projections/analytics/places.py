"""Where the facts of each tree lie: the one index of the store, so that a question about a tree reads little.

A tree's facts lie in nearly thirty tables, in the order of the log. DuckDB knows of every 122,880 rows of a table the
smallest and the largest offset, so a condition on the offset passes over the others; of ids, which begin alike, it
knows nothing that helps. An index on each table instead would cost every insert. This one has a row per tree and batch.
The facts themselves lie there once more, whole and side by side, for questions that want all of one tree: `records`.
Neither says anything that the tables do not, and how the index is cut depends on the batches: so they stand in the
schema `meta`, outside of what digests compare.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

import polars as pl

from octolog.domain.ids import TaskId
from projections.analytics.views import fact_tables
from projections.columnar import Columns
from projections.duck import Snapshot, Store, StoreError
from projections.tables import Table

DDL: Final = (
    """CREATE TABLE meta.tree_places (
        root_task_id VARCHAR, log_partition INTEGER, first_offset BIGINT, last_offset BIGINT, facts UBIGINT)""",
    "CREATE INDEX tree_places_by_root ON meta.tree_places (root_task_id)",
    """CREATE TABLE meta.tree_records (
        root_task_id VARCHAR, kind UTINYINT, log_partition INTEGER, log_offset BIGINT, "value" BLOB)""",
)
"""`facts` has a bit for each table that holds any of the tree, in the order of `fact_tables`, then of `_BESIDE`: 64 at
most. A record's kind is its table's place among `fact_tables`; it has no value where another version's schema wrote it.
"""

_NAMES: Final = tuple(table.name for table in fact_tables())
_BESIDE: Final = ("context_recalled", "memory_recorded")
"""What is told of a tree beside its facts, in rows of its own: the offsets are of other topics."""

_BITS: Final = {name: 1 << place for place, name in enumerate((*_NAMES, *_BESIDE))}
_FACTS: Final = (1 << len(_NAMES)) - 1
OF_FACTS: Final = f"facts & {_FACTS} <> 0"
"""Which rows of the index are of facts."""

_ROOT: Final = "link_root_task_id"
_GAP: Final = 50_000
"""Offsets between facts of a tree for which reading on costs more than looking anew."""
_SPANS: Final = 8
_ANYWHERE: Final = (0, 2**63 - 1)

Span: TypeAlias = tuple[int, int]
"""First and last offset."""


class Record(NamedTuple):
    """A fact as it lies in the log."""

    table: str
    partition: int
    offset: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tree's facts lie.

    Attributes:
        root: The tree.
        tables: The tables that hold any.
        partitions: The first and the last partition with any.
        spans: Offsets among which they lie.
        beside: Offsets among which records of tables lie that are no facts.
        indexed: Whether the store has an index; without, `tables` are all there are.
    """

    root: TaskId
    tables: frozenset[str]
    partitions: tuple[int, int] = (0, 2**31 - 1)
    spans: tuple[Span, ...] = (_ANYWHERE,)
    beside: Mapping[str, Span] = field(default_factory=lambda: dict.fromkeys(_BESIDE, _ANYWHERE))
    indexed: bool = True

    @property
    def values(self) -> tuple[Any, ...]:
        """The values of `condition`."""
        return self._values((self.spans[0][0], self.spans[-1][1]))

    def condition(self, root_column: str = _ROOT) -> str:
        """The condition for a table."""
        return _WHERE.format(root=root_column)

    def records(self, now: Snapshot) -> list[Record] | None:
        """The facts themselves, whole; None where the store does not have each of them, and the tables must tell."""
        if not self.indexed:
            return None
        rows = now.rows(" UNION ALL ".join([_RECORDS] * len(self.spans)), self._of_spans())
        if any(row["value"] is None for row in rows):
            return None
        return [
            Record(_NAMES[row["kind"]], row["log_partition"], row["log_offset"], row["value"]) for row in rows
        ]

    def _of_spans(self) -> list[Any]:
        return [value for span in self.spans for value in self._values(span)]

    def _values(self, span: Span) -> tuple[Any, ...]:
        return (*self.partitions, *span, self.root)


_WHERE: Final = "log_partition BETWEEN ? AND ? AND log_offset BETWEEN ? AND ? AND {root} = ?"
_RECORDS: Final = f"""SELECT kind, log_partition, log_offset, "value" FROM meta.tree_records
WHERE {_WHERE.format(root="root_task_id")}"""  # noqa: S608 -- our own names


def place_of(now: Snapshot, root: TaskId) -> Place | None:
    """Where a tree lies; None when it has no facts. Everywhere, in a store that was made before there was an index."""
    try:
        rows = now.rows(
            "SELECT log_partition, first_offset, last_offset, facts FROM meta.tree_places WHERE root_task_id = ?",
            [root],
        )
    except StoreError:
        now.begin_again()
        return Place(root, frozenset(_NAMES), indexed=False)
    known = [row for row in rows if row["facts"] & _FACTS]
    if not known:
        return None
    facts = 0
    for row in known:
        facts |= row["facts"]
    partitions = [row["log_partition"] for row in known]
    return Place(
        root,
        frozenset(name for name in _NAMES if facts & _BITS[name]),
        (min(partitions), max(partitions)),
        _together(map(_span, known)),
        _beside(rows),
    )


def _span(row: Mapping[str, Any]) -> Span:
    return row["first_offset"], row["last_offset"]


def _together(spans: Iterable[Span]) -> tuple[Span, ...]:
    """In order; as one where little or too many lie between."""
    found: list[Span] = []
    for first, last in sorted(spans):
        if found and first - found[-1][1] <= _GAP:
            found[-1] = found[-1][0], max(last, found[-1][1])
        else:
            found.append((first, last))
    return tuple(found) if len(found) <= _SPANS else ((found[0][0], max(last for _, last in found)),)


def _beside(rows: Iterable[Mapping[str, Any]]) -> dict[str, Span]:
    found: dict[str, Span] = {}
    for row in rows:
        for name in _BESIDE:
            if row["facts"] & _BITS[name]:
                first, last = found.get(name, _span(row))
                found[name] = min(first, row["first_offset"]), max(last, row["last_offset"])
    return found


def possible_roots(task_id: TaskId) -> Iterator[TaskId]:
    """Trees that a task may belong to, by its id alone: what a plan or a program makes is named below its parent."""
    parts = task_id.split("/")
    yield from (TaskId("/".join(parts[:count])) for count in range(1, len(parts) + 1))


def records_of(columns: Iterable[tuple[Table, Columns]]) -> pl.DataFrame | None:
    """The facts among new rows, whole and in the order of the log: so a tree's lie side by side."""
    facts = [
        _records(table.name, frame, values)
        for table, rows in columns
        if is_fact(table.name)
        for frame, values in zip(rows.frames, rows.values, strict=True)
    ]
    return pl.concat(facts).sort("log_partition", "log_offset") if facts else None


def store_places(
    store: Store, records: pl.DataFrame | None, beside: Iterable[tuple[str, pl.DataFrame]]
) -> None:
    """Tell where new records of trees lie, in the open transaction.

    Args:
        store: Where the rows are.
        records: The facts, from `records_of`.
        beside: New rows of tables of `is_beside`.
    """
    if records is not None:
        store.insert("meta.tree_places", _spans(records, _ROOT))
        store.insert("meta.tree_records", records.drop("facts").rename({_ROOT: "root_task_id"}))
    for name, frame in beside:
        of_table = frame.with_columns(pl.lit(_BITS[name], pl.UInt64).alias("facts"))
        store.insert("meta.tree_places", _spans(of_table, "root_task_id"))


def is_fact(table: str) -> bool:
    """Whether a table's rows are facts of trees."""
    return _BITS.get(table, 0) & _FACTS > 0


def is_beside(table: str) -> bool:
    """Whether a table's rows are told of trees beside their facts."""
    return table in _BESIDE


def _records(name: str, frame: pl.DataFrame, values: Sequence[bytes] | None) -> pl.DataFrame:
    value = pl.lit(None, pl.Binary) if values is None else pl.Series(values, dtype=pl.Binary)
    return frame.select(
        _ROOT,
        pl.lit(_BITS[name], pl.UInt64).alias("facts"),
        pl.lit(_NAMES.index(name), pl.UInt8).alias("kind"),
        "log_partition",
        "log_offset",
        value.alias("value"),
    )


def _spans(records: pl.DataFrame, root: str) -> pl.DataFrame:
    offset = pl.col("log_offset")
    return records.group_by(pl.col(root).alias("root_task_id"), "log_partition").agg(
        offset.min().alias("first_offset"),
        offset.max().alias("last_offset"),
        pl.col("facts").bitwise_or(),
    )
