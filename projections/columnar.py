"""Record values to columns: a whole group through one Avro block, and one by one where that fails.

The fast way (`BlockSchema.pack`, polars) reads about a million records a second but cannot say which datum
of a group is bad, nor reads every habit a foreign writer may have. So a group that fails is read again in
chunks, and the records of a failing chunk one by one with the `Codec`: what it refuses is refused, what it
reads is written anew under our own schema and takes the fast way again. `benches/projection_rebuild.py`.
"""

from __future__ import annotations

import secrets
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Final, Self

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
    values: list[Sequence[bytes] | None] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    def add(self, frame: pl.DataFrame, values: Sequence[bytes] | None) -> None:
        """Put rows after those that are there."""
        self.frames.append(frame)
        self.values.append(values)


def packed(frame: pl.DataFrame) -> pa.Buffer:
    """A frame as an Arrow stream, for another process."""
    table, sink = as_arrow(frame), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


def frame_of(stream: bytes) -> pl.DataFrame:
    """The frame of an Arrow stream; shares its memory."""
    return pl.DataFrame(pa.ipc.open_stream(stream).read_all())


class Gathered:
    """Records of one schema side by side, taken apart while they are fresh in the processor's memory.

    Attributes:
        topic: Where they come from.
        partitions: Of each record.
        offsets: Of each record.
        timestamps_ms: Of each record.
        keys: Of each record.
        values: Of each record; None, a tombstone, has no schema and is refused before it is read.
    """

    __slots__ = ("keys", "offsets", "partitions", "timestamps_ms", "topic", "values")

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.partitions, self.offsets, self.timestamps_ms = array("i"), array("q"), array("q")
        self.keys: list[bytes | None] = []
        self.values: list[Any] = []

    def __len__(self) -> int:
        return len(self.values)

    def add(self, records: Sequence[LogRecord]) -> Self:
        """Put records after those that are there."""
        self.partitions.extend([record[1] for record in records])
        self.offsets.extend([record[2] for record in records])
        self.timestamps_ms.extend([record[3] for record in records])
        self.keys += [record[4] for record in records]
        self.values += [record[5] for record in records]
        return self

    def part(self, start: int, stop: int) -> Gathered:
        """Some of them."""
        part = Gathered(self.topic)
        for name in ("partitions", "offsets", "timestamps_ms", "keys", "values"):
            setattr(part, name, getattr(self, name)[start:stop])
        return part

    def records(self) -> Iterator[LogRecord]:
        """One by one, as they were."""
        for at in zip(self.partitions, self.offsets, self.timestamps_ms, self.keys, self.values, strict=True):
            yield LogRecord(self.topic, *at)


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

    def read(self, schema_id: int, table: Table, rows: Gathered) -> Columns:
        """The rows of records, all of the schema `schema_id`."""
        columns = Columns()
        schema = self._schema(schema_id)
        if schema is None or self._single:
            self._one_by_one(table, rows, columns)
            return columns
        try:
            self._together(schema, table, rows, columns)
        except _NotColumnar:
            for start in range(0, len(rows), _CHUNK):
                self._chunk(schema, table, rows.part(start, start + _CHUNK), columns)
        return columns

    def _together(self, schema: BlockSchema, table: Table, rows: Gathered, columns: Columns) -> None:
        frame = _frame(schema, table, rows)
        columns.add(frame, rows.values if schema.reads_alike(self._own_schema(table)) else None)

    def _chunk(self, schema: BlockSchema, table: Table, rows: Gathered, columns: Columns) -> None:
        try:
            self._together(schema, table, rows, columns)
        except _NotColumnar:
            self._one_by_one(table, rows, columns)

    def _one_by_one(self, table: Table, rows: Gathered, columns: Columns) -> None:
        kept = []
        for record in rows.records():
            try:
                kept.append(record._replace(value=rewritten(self._codec.decode(record.value))))
            except ContractError as error:
                columns.refused.append(Refusal(record, str(error), type(error).__name__))
        if kept:
            own = Gathered(rows.topic).add(kept)
            columns.add(_frame(self._own_schema(table), table, own), own.values)

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


def _frame(schema: BlockSchema, table: Table, rows: Gathered) -> pl.DataFrame:
    values = rows.values
    mark = secrets.token_bytes(MARK_BYTES)
    block = _caught(lambda: pl.read_avro(BytesIO(schema.pack(values, mark))))
    marks = block.get_column(MARK_COLUMN)
    if block.height != len(values) or not bool((marks == pl.repeat(mark, len(values), eager=True)).all()):
        raise _NotColumnar
    known = {name for name, _ in table.columns}
    leaves = {column_name(leaf): leaf for leaf in schema.columns if column_name(leaf) in known}
    series = _caught(lambda: [_leaf(block, leaf).alias(name) for name, leaf in leaves.items()])
    return pl.DataFrame([*series, *_log_columns(rows)])


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


def _log_columns(rows: Gathered) -> list[pl.Series]:
    names = [name for name, _ in LOG_COLUMNS]
    return [
        pl.repeat(rows.topic, len(rows), dtype=pl.String, eager=True).alias(names[0]),
        pl.Series(names[1], np.frombuffer(rows.partitions, np.int32)),
        pl.Series(names[2], np.frombuffer(rows.offsets, np.int64)),
        pl.Series(names[3], np.frombuffer(rows.timestamps_ms, np.int64)).cast(pl.Datetime("ms")),
    ]


def _caught(read: Callable[[], Any]) -> Any:
    """What `read` returns; a datum that polars cannot read makes it raise, or panic, which is no `Exception`."""
    try:
        return read()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise _NotColumnar from error


__all__ = ["ColumnReader", "Columns", "Gathered", "Refusal"]
