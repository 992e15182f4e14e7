"""What of a batch can be done without the store: its records as columns, by table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from octolog.domain.errors import UndecodableRecord
from octolog.ports import LogRecord, Positions
from projections.analytics import places
from projections.analytics.fold import NO_SCHEMA, Batch, Group, fold
from projections.columnar import ColumnReader, Columns, Gathered, Refusal
from projections.tables import Table, carried, tables
from schemas.registry import SchemaIds


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch that is ready to be stored.

    Attributes:
        positions: The store's positions once it is.
        columns: Its rows by table.
        facts: The facts among them once more, whole (`places.records_of`).
    """

    positions: Positions
    columns: Sequence[tuple[Table, Columns]]
    facts: pl.DataFrame | None


class Preparer:
    """Makes columns of records.

    Args:
        ids: Where the writers' schemas are found.
        reader: Reads groups of one schema; the fast one when None.
    """

    def __init__(self, ids: SchemaIds, reader: ColumnReader | None = None) -> None:
        self._reader = reader or ColumnReader(ids)

    def prepare(
        self, batches: Iterable[Sequence[LogRecord]], before: Positions, together: int
    ) -> Iterator[Prepared]:
        """Batches that follow each other from some positions on, put together to at least so many records.

        Raises:
            Unavailable: When a schema cannot be looked up now.
        """
        gathered, count = dict[Group, Gathered](), 0
        for records in batches:
            before, count = self._gather(fold(records, before, {}), gathered), count + len(records)
            if count >= together:
                yield self._prepared(gathered, before)
                gathered, count = {}, 0
        if count:
            yield self._prepared(gathered, before)

    def prepared(self, batch: Batch) -> Prepared:
        """One batch.

        Raises:
            Unavailable: When a schema cannot be looked up now.
        """
        gathered: dict[Group, Gathered] = {}
        return self._prepared(gathered, self._gather(batch, gathered))

    def _gather(self, batch: Batch, gathered: dict[Group, Gathered]) -> Positions:
        for group, records in batch.groups.items():
            rows = gathered.get(group)
            if rows is None:
                rows = gathered[group] = Gathered(group[0])
            rows.add(records)
        return batch.positions

    def _prepared(self, gathered: dict[Group, Gathered], positions: Positions) -> Prepared:
        columns = [self._columns(*group) for group in gathered.items()]
        return Prepared(positions, columns, places.records_of(columns))

    def _columns(self, group: Group, rows: Gathered) -> tuple[Table, Columns]:
        """The rows of records of one schema; what its topic does not carry is refused."""
        topic, schema_id = group
        allowed = carried().get(topic, {})
        try:
            if schema_id == NO_SCHEMA:
                raise UndecodableRecord(
                    "no value of the Confluent wire format: magic byte 0, schema id, Avro"
                )
            name = self._reader.record_name(schema_id)
            if name not in allowed:
                raise UndecodableRecord(f"{topic} carries no {name}")
        except UndecodableRecord as error:
            refused = [Refusal(record, str(error), type(error).__name__) for record in rows.records()]
            return tables()[0], Columns(refused=refused)
        return allowed[name], self._reader.read(schema_id, allowed[name], rows)
