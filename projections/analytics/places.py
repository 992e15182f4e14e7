"""Where the facts of each tree lie: the one index of the store, so that a question about a tree reads little.

A tree's facts lie in nearly thirty tables, in the order of the log. DuckDB knows of every 122,880 rows of a table the
smallest and the largest offset, so a condition on the offset passes over the others; of ids, which begin alike, it
knows nothing that helps. An index on each table instead would cost every insert. This one has a row per tree and batch.
It says nothing that the tables do not, and how it is cut depends on the batches: so it stands in the schema `meta`,
outside of what digests compare.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from octolog.domain.ids import TaskId
from projections.analytics.views import fact_tables
from projections.duck import Snapshot, Store, StoreError

DDL: Final = (
    """CREATE TABLE meta.tree_places (
        root_task_id VARCHAR, log_partition INTEGER, first_offset BIGINT, last_offset BIGINT, facts UBIGINT)""",
    "CREATE INDEX tree_places_by_root ON meta.tree_places (root_task_id)",
)
"""`facts` has a bit for each table that holds any of the tree, in the order of `fact_tables`: 64 at most."""

_NAMES: Final = tuple(table.name for table in fact_tables())
_BITS: Final = {name: 1 << place for place, name in enumerate(_NAMES)}
_ROOT: Final = "link_root_task_id"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tree's facts lie.

    Attributes:
        tables: The tables that hold any.
        where: Condition on the log columns, and on what tells the tree: `{root}` stands for that column's name.
        values: Its values.
        indexed: Whether the store has an index; without, `tables` are all there are.
    """

    tables: frozenset[str]
    where: str
    values: tuple[Any, ...]
    indexed: bool = True

    def condition(self, root_column: str = _ROOT) -> str:
        """The condition for a table."""
        return self.where.format(root=root_column)


def place_of(now: Snapshot, root: TaskId) -> Place | None:
    """Where a tree lies; None when it has no facts. Everywhere, in a store that was made before there was an index."""
    try:
        rows = now.rows(
            "SELECT log_partition, first_offset, last_offset, facts FROM meta.tree_places WHERE root_task_id = ?",
            [root],
        )
    except StoreError:
        now.begin_again()
        return Place(frozenset(_NAMES), "{root} = ?", (root,), indexed=False)
    if not rows:
        return None
    facts = 0
    for row in rows:
        facts |= row["facts"]
    values = (
        min(row["log_partition"] for row in rows),
        max(row["log_partition"] for row in rows),
        min(row["first_offset"] for row in rows),
        max(row["last_offset"] for row in rows),
        root,
    )
    where = "log_partition BETWEEN ? AND ? AND log_offset BETWEEN ? AND ? AND {root} = ?"
    return Place(frozenset(name for name in _NAMES if facts & _BITS[name]), where, values)


def possible_roots(task_id: TaskId) -> Iterator[TaskId]:
    """Trees that a task may belong to, by its id alone: what a plan or a program makes is named below its parent."""
    parts = task_id.split("/")
    yield from (TaskId("/".join(parts[:count])) for count in range(1, len(parts) + 1))


def store_places(store: Store, frames: Iterable[tuple[str, pl.DataFrame]]) -> None:
    """Tell where new facts lie, in the open transaction.

    Args:
        store: Where the facts are.
        frames: Table of facts and new rows.
    """
    found = [_spans(name, frame) for name, frame in frames]
    if found:
        store.insert("meta.tree_places", _together(found))


def is_fact(table: str) -> bool:
    """Whether a table's rows belong to trees."""
    return table in _BITS


def _spans(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    offset = pl.col("log_offset")
    return frame.group_by(pl.col(_ROOT).alias("root_task_id"), "log_partition").agg(
        offset.min().alias("first_offset"),
        offset.max().alias("last_offset"),
        pl.lit(_BITS[name], pl.UInt64).first().alias("facts"),
    )


def _together(spans: Sequence[pl.DataFrame]) -> pl.DataFrame:
    # A table comes once per topic and schema, so a bit may come twice: or, not a sum.
    return (
        pl.concat(spans)
        .group_by("root_task_id", "log_partition")
        .agg(pl.col("first_offset").min(), pl.col("last_offset").max(), pl.col("facts").bitwise_or())
    )
