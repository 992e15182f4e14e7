"""Record values to columns: a whole group through one Avro block, and one by one where that fails.

The fast way (`BlockSchema.pack`, polars) reads about a million records a second but cannot say which datum
of a group is bad, nor reads every habit a foreign writer may have. So a group that fails is read again in
chunks, and the records of a failing chunk one by one with the `Codec`: what it refuses is refused, what it
reads is written anew under our own schema and takes the fast way again. `benches/projection_rebuild.py`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from operator import itemgetter
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa

from octolog.domain.errors import ContractError, IncompatibleSchema
from octolog.ports import LogRecord
from projections.duck import as_arrow
from projections.tables import LOG_COLUMNS, Table, column_name
from schemas import catalog
from schemas.blocks import MARK_BYTES, MARK_COLUMN, BlockSchema, Column
from schemas.codec import Codec
from schemas.registry import SchemaIds
from schemas.rewrite import rewritten

_CHUNK: Final = 512
"""Records read again together when their group failed: one bad record costs as many single decodings."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that cannot be stored.

    Attributes:
        record: The record, untouched.
        reason: Why, one line.
        error: Name of the error.
    """

    record: LogRecord
    reason: str
    error: str


@dataclass(slots=True)
class Columns:
    """What a group of records became.

    Attributes:
        frames: The rows, in the order of the log; several frames when the group was read in parts.
        values: For each frame the bytes of its rows, in the schema that octolog has now; None where another wrote them.
        refused: Records that are not among them.
    """

    frames: list[pl.DataFrame] = field(default_factory=list)
    values: list[pl.Series | None] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    def add(self, frame: pl.DataFrame, values: Sequence[bytes] | None) -> None:
        """Put rows after those that are there."""
        self.frames.append(frame)
        self.values.append(None if values is None else pl.Series(values, dtype=pl.Binary))


def packed(frame: pl.DataFrame) -> pa.Buffer:
    """A frame as an Arrow stream, for another process."""
    table, sink = as_arrow(frame), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


def frame_of(stream: bytes) -> pl.DataFrame:
    """The frame of an Arrow stream; shares its memory."""
    return pl.DataFrame(pa.ipc.open_stream(stream).read_all())


class _NotColumnar(Exception):
    """The fast way cannot read this group."""


class ColumnReader:
    """Reads groups of records of one schema.

    Args:
        ids: Where the writers' schemas are found.
        single: Read every record by itself, for comparison with the fast way.
    """

    def __init__(self, ids: SchemaIds, *, single: bool = False) -> None:
        self._ids, self._single = ids, single
        self._codec = Codec(ids)
        self._schemas: dict[int, BlockSchema | None] = {}
        self._own: dict[str, BlockSchema] = {}

    def record_name(self, schema_id: int) -> str:
        """Full name of the record with that schema.

        Raises:
            UndecodableRecord: For an id nobody registered.
            Unavailable: When the registry does not answer.
        """
        schema = self._schema(schema_id)
        return self._ids.by_id(schema_id)[0] if schema is None else schema.name

    def read(self, schema_id: int, table: Table, records: Sequence[LogRecord]) -> Columns:
        """The rows of `records`, all of the schema `schema_id`."""
        columns = Columns()
        schema = self._schema(schema_id)
        if schema is None or self._single:
            self._one_by_one(table, records, columns)
            return columns
        try:
            self._together(schema, table, records, columns)
        except _NotColumnar:
            for start in range(0, len(records), _CHUNK):
                self._chunk(schema, table, records[start : start + _CHUNK], columns)
        return columns

    def _together(
        self, schema: BlockSchema, table: Table, records: Sequence[LogRecord], columns: Columns
    ) -> None:
        values = _values(records)
        frame = _frame(schema, table, records, values)
        columns.add(frame, values if schema.reads_alike(self._own_schema(table)) else None)

    def _chunk(
        self, schema: BlockSchema, table: Table, records: Sequence[LogRecord], columns: Columns
    ) -> None:
        try:
            self._together(schema, table, records, columns)
        except _NotColumnar:
            self._one_by_one(table, records, columns)

    def _one_by_one(self, table: Table, records: Sequence[LogRecord], columns: Columns) -> None:
        values, kept = [], []
        for record in records:
            try:
                values.append(rewritten(self._codec.decode(record.value)))
                kept.append(record)
            except ContractError as error:
                columns.refused.append(Refusal(record, str(error), type(error).__name__))
        if kept:
            columns.add(_frame(self._own_schema(table), table, kept, values), values)

    def _own_schema(self, table: Table) -> BlockSchema:
        own = self._own.get(table.record)
        if own is None:
            own = self._own[table.record] = BlockSchema(catalog.schema_json(table.record))
        return own

    def _schema(self, schema_id: int) -> BlockSchema | None:
        if schema_id not in self._schemas:
            try:
                self._schemas[schema_id] = BlockSchema(self._ids.by_id(schema_id)[1])
            except IncompatibleSchema:
                self._schemas[schema_id] = None  # a foreign writer's schema: the codec may still resolve it
        return self._schemas[schema_id]


def _values(records: Sequence[LogRecord]) -> list[bytes]:
    return [record.value or b"" for record in records]


def _frame(
    schema: BlockSchema, table: Table, records: Sequence[LogRecord], values: Sequence[bytes]
) -> pl.DataFrame:
    mark = secrets.token_bytes(MARK_BYTES)
    block = _caught(lambda: pl.read_avro(BytesIO(schema.pack(values, mark))))
    marks = block.get_column(MARK_COLUMN)
    if block.height != len(values) or not bool((marks == pl.repeat(mark, len(values), eager=True)).all()):
        raise _NotColumnar
    known = {name for name, _ in table.columns}
    leaves = {column_name(leaf): leaf for leaf in schema.columns if column_name(leaf) in known}
    series = _caught(lambda: [_leaf(block, leaf).alias(name) for name, leaf in leaves.items()])
    return pl.DataFrame([*series, *_log_columns(records)])


def _leaf(block: pl.DataFrame, leaf: Column) -> pl.Series:
    series = block.get_column(leaf.path[0])
    for name in leaf.path[1:]:
        series = series.struct.field(name)
    if leaf.symbols is not None:
        # A number without a symbol is an error here, as it is to the codec.
        return pl.Series(leaf.symbols, dtype=pl.String).gather(series.cast(pl.UInt32))
    if leaf.item_symbols:
        item = pl.element()
        for path, symbols in leaf.item_symbols:
            item = _named(item, path, symbols)
        return series.list.eval(item)
    return series.cast(pl.Datetime("ms")) if leaf.timestamp else series


def _named(record: pl.Expr, path: tuple[str, ...], symbols: tuple[str, ...]) -> pl.Expr:
    """A record whose enum at `path` has its symbol instead of its number; a nullable record on the way may be null."""
    inner = record.struct.field(path[0])
    if len(path) == 1:
        found = inner.replace_strict(dict(enumerate(symbols)), return_dtype=pl.String)
    else:
        found = pl.when(inner.is_not_null()).then(_named(inner, path[1:], symbols)).otherwise(None)
    return record.struct.with_fields(found.alias(path[0]))


def _log_columns(records: Sequence[LogRecord]) -> list[pl.Series]:
    names, count = [name for name, _ in LOG_COLUMNS], len(records)
    # Through arrays: polars looks at every Python number by itself.
    partitions, offsets, timestamps = (
        np.fromiter(map(itemgetter(place), records), kind, count)
        for place, kind in ((1, np.int32), (2, np.int64), (3, np.int64))
    )
    return [
        pl.repeat(records[0].topic, count, dtype=pl.String, eager=True).alias(names[0]),
        pl.Series(names[1], partitions),
        pl.Series(names[2], offsets),
        pl.Series(names[3], timestamps).cast(pl.Datetime("ms")),
    ]


def _caught(read: Callable[[], Any]) -> Any:
    """What `read` returns; a datum that polars cannot read makes it raise, or panic, which is no `Exception`."""
    try:
        return read()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise _NotColumnar from error


__all__ = ["ColumnReader", "Columns", "Refusal"]
