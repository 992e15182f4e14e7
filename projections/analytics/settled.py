"""Trees that are over, worked out once: their rows of `tasks`, `trees` and `latencies` are stored, of others asked for.

What became of a task stands in some of twenty tables. To ask all of them for every tree there ever was takes seconds
at ten millions of facts (`benches/analytics.py`), though a tree that is over stays as it is. So `trees.sql` is worked
out when the facts say so for many trees together, in the transaction that stores these facts, and a view is what is
stored with what `trees.sql` says of the trees that are open. A fact that comes after all opens its tree again.

When a tree is stored depends on the batches, so the tables stand in the schema `meta`, outside of what digests compare;
what the views say does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import Final

import polars as pl

from octolog.ports import Positions
from projections.analytics.places import OF_FACTS
from projections.analytics.views import fact_tables
from projections.duck import Store
from projections.tables import quoted

_KEPT: Final = ("tasks", "trees", "latencies")
_PARTS: Final = ("task_nodes", "attempts", "task_states", "tree_ends")
"""Views of `trees.sql` that are there for all trees too."""

_SILENT: Final = frozenset({"usage_recorded", "result_ignored", "routing_deferred", "request_rejected"})
"""Tables of facts of which `trees.sql` asks nothing, and which may come when a tree is over."""

_ENDS: Final = ("task_completed", "task_failed", "task_cancelled")
_FACTS: Final = "octolog.tasks"
ENOUGH: Final = 4_000
"""Trees stored together: planning the views costs as much as working out ten thousand trees."""

ENOUGH_UNSEEN: Final = 20_000
"""Likewise where nobody asks meanwhile; what is open is worked out at every question."""

_FLOOR_STEP: Final = 50_000
"""Offsets by which the oldest open tree moves on before the views are told; DuckDB passes over 122,880 rows at once."""

_FIRST: Final = """
CREATE TABLE meta.trees_open (root_task_id VARCHAR, log_partition INTEGER, first_offset BIGINT)
"""
_ANEW: Final = "FROM incoming ANTI JOIN meta.trees_open USING (root_task_id)"
_NAMED: Final = re.compile(r"\b(FROM|JOIN) (\w+)\b")
_VIEW: Final = re.compile(r"CREATE VIEW (\w+) AS\n(.*?);\n", re.DOTALL)


@cache
def _definitions() -> dict[str, str]:
    """View -> its statement, in an order in which they can be made."""
    written = files("projections.analytics").joinpath("trees.sql").read_text(encoding="utf-8")
    return dict(_VIEW.findall(written))


@cache
def _sources() -> dict[str, str]:
    """Tables that the views read -> the column that names the tree."""
    facts = {table.name: "link_root_task_id" for table in fact_tables()}
    known = facts | {"operators": "root_task_id", "program_tasks": "root_task_id"}
    read = {name for sql in _definitions().values() for _, name in _NAMED.findall(sql)}
    return {name: root for name, root in known.items() if name in read}


@cache
def ddl() -> tuple[str, ...]:
    """Statements that make tables and views, after those of the records; before the other views."""
    opened = [f"CREATE VIEW meta.open_{name} AS\n{_of_open(sql)}" for name, sql in _definitions().items()]
    stored = [f"CREATE TABLE meta.settled_{name} AS FROM meta.open_{name} WITH NO DATA" for name in _KEPT]
    parts = [f"CREATE VIEW {name} AS\n{_definitions()[name]}" for name in _PARTS]
    whole = [f"CREATE VIEW {name} AS\n{_whole(name)}" for name in _KEPT if name != "latencies"]
    latency = f"""CREATE VIEW step_latency AS
SELECT step_id, arm_id, count(*) AS attempts, quantile_cont(duration_ms, 0.5) AS p50_ms,
       quantile_cont(duration_ms, 0.95) AS p95_ms, max(duration_ms) AS max_ms
FROM ({_whole("latencies")}) GROUP BY step_id, arm_id"""  # noqa: S608 -- our own names
    return (_FIRST, *_floored(0), *opened, *stored, *parts, *whole, latency)


def dropped() -> tuple[str, ...]:
    """Statements that drop what stands in the schema `meta`."""
    views = [f"open_{name}" for name in (*_sources(), *_definitions())]
    gone = ["trees_open", *(f"settled_{name}" for name in _KEPT)]
    return (
        *(f"DROP VIEW IF EXISTS meta.{name}" for name in views),
        *(f"DROP TABLE IF EXISTS meta.{name}" for name in gone),
    )


class Settling:
    """What keeps the tables up with the facts.

    Args:
        store: Where they are.
        enough: Trees that are stored together.
    """

    def __init__(self, store: Store, enough: int) -> None:
        self._store, self._enough = store, enough
        self._over, self._floor = 0, 0

    def begin(self, positions: Positions) -> None:
        """Go on with a store that may be filled, in its own transaction."""
        if not positions:
            return
        (row,) = self._store.rows("SELECT count(*) AS n FROM meta.open_tree_ends")
        self._over = row["n"]
        with self._store.transaction():
            self._look_from(self._oldest(positions))

    def store_batch(self, frames: Sequence[tuple[str, pl.DataFrame]], after: Positions) -> None:
        """Tell of new facts, in the open transaction; they and `tree_places` are stored already.

        Args:
            frames: Table of facts and new rows.
            after: Positions once the transaction is done.
        """
        telling = [frame for name, frame in frames if name not in _SILENT]
        if not telling:
            return
        self._open(_together(telling))
        self._over += sum(_ended(frame) for name, frame in frames if name in _ENDS)
        if self._over >= self._enough:
            self.settle(after)

    def settle(self, after: Positions) -> None:
        """Store the trees that are over, in the open transaction."""
        self._store.execute(
            "CREATE OR REPLACE TEMP TABLE over AS SELECT root_task_id FROM meta.open_tree_ends"
        )
        for name in _KEPT:
            self._store.execute(
                f"INSERT INTO meta.settled_{name} SELECT * FROM meta.open_{name} SEMI JOIN over USING (root_task_id)"  # noqa: S608
            )
        self._store.execute(
            "DELETE FROM meta.trees_open WHERE root_task_id IN (SELECT root_task_id FROM over)"
        )
        self._over = 0
        oldest = self._oldest(after)
        if oldest - self._floor >= _FLOOR_STEP:
            self._look_from(oldest)

    def _open(self, trees: pl.DataFrame) -> None:
        self._reopen(trees.filter(pl.col("first_seq") > 0))
        first = trees.get_column("first_offset").min()
        if (
            isinstance(first, int) and first < self._floor
        ):  # of a partition that was not there when last looked
            self._look_from(0)
        self._store.execute_on(
            trees,
            f"INSERT INTO meta.trees_open SELECT root_task_id, log_partition, first_offset {_ANEW}",
        )

    def _reopen(self, trees: pl.DataFrame) -> None:
        """Of trees that began before, those that are not open are: what is stored of them counts no more."""
        if not trees.height:
            return
        known = self._store.rows_of(trees, f"SELECT root_task_id {_ANEW}")
        if not known:
            return
        again = pl.DataFrame({"root_task_id": [row["root_task_id"] for row in known]})
        for name in _KEPT:
            self._store.execute_on(
                again,
                f"DELETE FROM meta.settled_{name} WHERE root_task_id IN (SELECT root_task_id FROM incoming)",  # noqa: S608
            )
        self._store.execute_on(
            again,
            f"""INSERT INTO meta.trees_open
                SELECT root_task_id, min(log_partition), min(first_offset)
                FROM meta.tree_places SEMI JOIN incoming USING (root_task_id)
                WHERE {OF_FACTS} GROUP BY root_task_id""",  # noqa: S608 -- our own names
        )
        self._look_from(0)

    def _oldest(self, positions: Positions) -> int:
        """The lowest offset, of any partition, at which a tree that is open now or later can begin."""
        rows = self._store.execute("SELECT min(first_offset) FROM meta.trees_open").fetchall()
        places = [int(first) for (first,) in rows if first is not None]
        places += [offset for (topic, _), offset in positions.items() if topic == _FACTS]
        return min(places, default=0)

    def _look_from(self, floor: int) -> None:
        for sql in _floored(floor):
            self._store.execute(sql)
        self._floor = floor


def _whole(name: str) -> str:
    return f"SELECT * FROM meta.settled_{name} UNION ALL SELECT * FROM meta.open_{name}"  # noqa: S608


def _floored(floor: int) -> Iterable[str]:
    """The facts of open trees; the offset is written out, for only so does DuckDB pass over what lies before it."""
    for name, root in _sources().items():
        yield (
            f"CREATE OR REPLACE VIEW meta.open_{name} AS SELECT * FROM main.{quoted(name)} "  # noqa: S608
            f"WHERE log_offset >= {floor} AND {root} IN (SELECT root_task_id FROM meta.trees_open)"
        )


def _of_open(sql: str) -> str:
    """A view's statement, about open trees alone."""
    ours = _sources().keys() | _definitions().keys()
    return _NAMED.sub(lambda found: f"{found[1]} meta.open_{found[2]}" if found[2] in ours else found[0], sql)


def _together(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Each tree once, with its first fact among these."""
    names = ("link_root_task_id", "link_seq", "log_partition", "log_offset")
    return (
        pl.concat([frame.select(names) for frame in frames])
        .group_by(pl.col("link_root_task_id").alias("root_task_id"))
        .agg(
            pl.col("link_seq").min().alias("first_seq"),
            pl.col("log_partition").min(),
            pl.col("log_offset").min().alias("first_offset"),
        )
    )


def _ended(frame: pl.DataFrame) -> int:
    return frame.filter(pl.col("task_id") == pl.col("link_root_task_id")).height
