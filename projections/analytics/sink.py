"""Stores what the log says in `knowledge.duckdb`: a table per record, positions in the same transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from octolog.domain.errors import StoreUnavailable
from octolog.ports import DeadLetterSink, LogRecord, Positions
from projections.analytics import places, settled
from projections.analytics.fold import fold
from projections.analytics.preparing import Prepared, Preparer
from projections.analytics.programs import FOLDS, SOURCES, TABLES, store_programs
from projections.analytics.views import views_sql
from projections.columnar import ColumnReader, Refusal
from projections.duck import Store
from projections.tables import FOLLOWED, layout_digest, quoted, tables
from schemas.registry import SchemaIds

_META: Final = """
CREATE SCHEMA IF NOT EXISTS meta;
CREATE TABLE IF NOT EXISTS meta.projections (
    name VARCHAR PRIMARY KEY, version INTEGER NOT NULL, layout VARCHAR NOT NULL
);
CREATE TABLE IF NOT EXISTS meta.positions (
    projection VARCHAR, topic VARCHAR, partition INTEGER, next_offset BIGINT NOT NULL,
    PRIMARY KEY (projection, topic, partition)
);
"""


def layout() -> str:
    """Changes with any table, view, or statement that fills one: a store made by another is filled anew."""
    return layout_digest(*TABLES, *places.DDL, *FOLDS, *settled.ddl(), views_sql())


@dataclass(frozen=True, slots=True)
class Stored:
    """What one `apply` did.

    Attributes:
        rows: Records stored.
        refused: Records that could not be.
    """

    rows: int
    refused: tuple[Refusal, ...]

    @property
    def records(self) -> int:
        """Records that were new."""
        return self.rows + len(self.refused)


class AnalyticsProjection:
    """The `Projection` behind analytics, provenance and the registry.

    A store made by another layout of the tables is emptied when it is opened; it then follows the log from
    its beginning.

    Args:
        store: Where the tables are; opened for writing.
        ids: Where the writers' schemas are found.
        dead_letters: Told of every record that cannot be stored, before the batch is. None for a rebuild:
            the first reading has told of them.
        reader: Makes columns of records; the fast one when None.
        settle_at: Trees that are over when they are worked out and stored together; None: as few as questions want.
    """

    name: str = "analytics"
    version: int = 1
    topics: tuple[str, ...] = FOLLOWED

    def __init__(
        self,
        store: Store,
        ids: SchemaIds,
        dead_letters: DeadLetterSink | None = None,
        *,
        reader: ColumnReader | None = None,
        settle_at: int | None = None,
    ) -> None:
        self._store, self._dead_letters = store, dead_letters
        self._preparer = Preparer(ids, reader)
        self._positions: Positions = {}
        self._settling = settled.Settling(store, settle_at or settled.ENOUGH)
        self.last = Stored(0, ())
        self._open()

    def positions(self) -> Positions:
        """The next offset to read per partition; empty for a new store."""
        return dict(self._positions)

    def apply(self, records: Sequence[LogRecord], after: Positions) -> None:
        """Store what the records say, and `after`, in one transaction; see `Projection.apply`.

        Raises:
            StoreUnavailable: When DuckDB refuses; nothing was stored then.
            Unavailable: When a schema cannot be looked up now.
        """
        batch = fold(records, self._positions, after)
        if batch.groups or batch.positions != self._positions:
            self.store(self._preparer.prepared(batch))

    def store(self, batch: Prepared) -> None:
        """Store a batch and its positions, in one transaction.

        Raises:
            StoreUnavailable: When DuckDB refuses; nothing was stored then.
        """
        rows, refused = 0, []
        of_programs: dict[str, list[Any]] = {name: [] for name in SOURCES}
        of_trees: list[tuple[str, Any]] = []
        beside: list[tuple[str, Any]] = []
        with self._store.transaction():
            for table, columns in batch.columns:
                refused += columns.refused
                for frame in columns.frames:
                    self._store.insert(quoted(table.name), frame)
                    rows += frame.height
                    if table.name in of_programs:
                        of_programs[table.name].append(frame)
                    if places.is_fact(table.name):
                        of_trees.append((table.name, frame))
                    if places.is_beside(table.name):
                        beside.append((table.name, frame))
            places.store_places(self._store, batch.facts, beside)
            store_programs(self._store, of_programs)
            self._settling.store_batch(of_trees, batch.positions)
            if self._dead_letters is not None:
                for refusal in refused:
                    self._dead_letters.refuse(refusal.record, refusal.reason, refusal.error)
            self._move(batch.positions)
        self._positions = batch.positions
        self.last = Stored(rows, tuple(refused))

    def reset(self) -> None:
        """Drop every table and position, and make the tables anew."""
        with self._store.transaction():
            for kind, name in self._relations():
                self._store.execute(f"DROP {kind} IF EXISTS main.{quoted(name)} CASCADE")
            for name in ("projections", "positions", "tree_places", "tree_records"):
                self._store.execute(f"DROP TABLE IF EXISTS meta.{name}")
            self._store.execute(_META)
            for table in tables():
                self._store.execute(table.ddl)
            for sql in (*settled.dropped(), *TABLES, *places.DDL, *settled.ddl()):
                self._store.execute(sql)
            self._store.execute(views_sql())
            self._store.execute(
                "INSERT INTO meta.projections VALUES (?, ?, ?)", [self.name, self.version, layout()]
            )
        self._positions = {}

    def report_to(self, dead_letters: DeadLetterSink) -> None:
        """Tell of what cannot be stored from now on: a rebuilt store has become the one that follows."""
        self._dead_letters = dead_letters

    @classmethod
    def made_otherwise(cls, store: Store) -> str | None:
        """Why a store cannot be gone on with as it is; None when it can."""
        try:
            found = store.rows("SELECT version, layout FROM meta.projections WHERE name = ?", [cls.name])
        except StoreUnavailable:
            return "it was not filled yet"
        if not found:
            return "it was not filled yet"
        if found[0]["version"] != cls.version:
            return f"its version is {found[0]['version']}, now {cls.version}"
        return None if found[0]["layout"] == layout() else "its tables have another layout"

    def close(self) -> None:
        """Release the store."""
        self._store.close()

    def _move(self, positions: Positions) -> None:
        for (topic, partition), offset in positions.items():
            if self._positions.get((topic, partition)) != offset:
                self._store.execute(
                    "INSERT OR REPLACE INTO meta.positions VALUES (?, ?, ?, ?)",
                    [self.name, topic, partition, offset],
                )

    # Opening

    def _open(self) -> None:
        self._store.execute(_META)
        found = self._store.rows("SELECT version, layout FROM meta.projections WHERE name = ?", [self.name])
        if found != [{"version": self.version, "layout": layout()}]:
            self.reset()
        rows = self._store.rows(
            "SELECT topic, partition, next_offset FROM meta.positions WHERE projection = ?", [self.name]
        )
        self._positions = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
        self._settling.begin(self._positions)

    def _relations(self) -> list[tuple[str, str]]:
        rows = self._store.rows(
            "SELECT table_type, table_name FROM information_schema.tables WHERE table_schema = 'main'"
        )
        kinds = {"VIEW": "VIEW", "BASE TABLE": "TABLE"}
        return [(kinds[row["table_type"]], row["table_name"]) for row in rows]
