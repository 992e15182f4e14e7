"""`schemas.blocks` and `projections.columnar`: what a columnar reader is given, and what it may not swallow."""

from __future__ import annotations

import dataclasses
import json
import secrets
from enum import StrEnum
from io import BytesIO
from typing import Any

import fastavro
import polars as pl
import pytest

from benches._history import History
from octolog.domain import facts as f
from octolog.domain.errors import IncompatibleSchema
from octolog.domain.values import TaskErrorType
from octolog.ports import LogRecord
from projections.columnar import ColumnReader, Gathered
from projections.tables import FOLLOWED, Table, column_name, tables
from schemas import catalog
from schemas.blocks import MARK_COLUMN, BlockSchema
from schemas.codec import Codec, RecordedFact
from schemas.registry import MemorySchemaTopic, TopicSchemaIds

TABLES = {table.record: table for table in tables()}


def together(records: list[LogRecord]) -> Gathered:
    return Gathered(records[0].topic).add(records)


@pytest.fixture(scope="module")
def ids() -> TopicSchemaIds:
    return TopicSchemaIds(MemorySchemaTopic())


@pytest.fixture(scope="module")
def history(ids: TopicSchemaIds) -> History:
    history = History(ids)
    history.grow(2_000)
    return history


def test_a_schema_as_the_registry_words_it_is_read_in_columns_too(ids: TopicSchemaIds) -> None:
    for table in tables():
        written = catalog.schema_json(table.record)
        worded = ids.by_id(ids.register(table.record, written))[1]
        assert BlockSchema(worded).columns == BlockSchema(written).columns


def schema_id(record: LogRecord) -> int:
    return int.from_bytes((record.value or b"")[1:5], "big")


def of(history: History, ids: TopicSchemaIds, name: str) -> list[LogRecord]:
    return [r for r in history.records if r.topic in FOLLOWED and ids.by_id(schema_id(r))[0] == name]


def table(name: str) -> Table:
    return TABLES[name]


@pytest.mark.parametrize("name", catalog.TOP_LEVEL)
def test_every_record_can_be_read_in_columns_with_distinct_names(name: str) -> None:
    columns = BlockSchema(catalog.schema_json(name)).columns
    names = [column_name(column).lower() for column in columns]
    assert len(set(names)) == len(names) > 0


def test_a_block_is_an_avro_file_that_any_reader_takes(history: History, ids: TopicSchemaIds) -> None:
    records = of(history, ids, "octolog.task.AttemptEnded")
    schema = BlockSchema(catalog.schema_json("octolog.task.AttemptEnded"))
    block = schema.pack([record.value or b"" for record in records], b"12345678")
    rows: list[Any] = list(fastavro.reader(BytesIO(block)))
    assert len(rows) == len(records)
    assert {row[MARK_COLUMN] for row in rows} == {b"12345678"}
    assert rows[0]["link_root_task_id"] == (records[0].key or b"").decode()


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """A record as its columns, found by another way than the code under test: field by field from the object."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        here, name = getattr(value, field.name), f"{prefix}{field.name}"
        if dataclasses.is_dataclass(here):
            found |= _flat(here, f"{name}_")
        elif isinstance(here, tuple):
            found[name] = [_flat(item) if dataclasses.is_dataclass(item) else item for item in here]
        else:
            found[name] = here.value if isinstance(here, StrEnum) else here
    return found


@pytest.mark.parametrize("single", [False, True], ids=["columns", "one by one"])
def test_columns_hold_what_the_codec_decodes(history: History, ids: TopicSchemaIds, single: bool) -> None:
    reader, codec = ColumnReader(ids, single=single), Codec(ids)
    seen = set()
    for name in {ids.by_id(schema_id(r))[0] for r in history.records if r.topic in FOLLOWED}:
        records = of(history, ids, name)
        (frame,) = reader.read(schema_id(records[0]), table(name), together(records)).frames
        for record, row in zip(records, frame.iter_rows(named=True), strict=True):
            assert (row["log_partition"], row["log_offset"]) == (record.partition, record.offset)
            decoded = codec.decode(record.value)
            fact = decoded.fact if isinstance(decoded, RecordedFact) else decoded
            expected = _flat(fact)
            if isinstance(decoded, RecordedFact):
                expected |= _flat(decoded.link, "link_") | {"hash": decoded.hash}
            for column, value in expected.items():
                if column.endswith("_ms") and column not in row:
                    stored = row["happened_at" if column == "at_ms" else column.removesuffix("_ms")]
                    assert (
                        stored is None
                        if value is None
                        else stored.timestamp() * 1000 - value
                        == pytest.approx(stored.astimezone().utcoffset().total_seconds() * -1000)
                    )
                elif value is None and column not in row:
                    assert all(row[key] is None for key in row if key.startswith(f"{column}_"))
                else:
                    assert row[column] == value, (name, column)
                seen.add(column)
    assert {"output_blob", "task_error_type", "task_error_violations", "contract_steps", "candidates"} <= seen
    assert {"contract_operators", "program_id"} <= seen


BAD = {
    "cut off": lambda value: value[:-5],
    "too long": lambda value: value + b"zz",
    "empty datum": lambda value: value[:5],
    "no text in a string": lambda value: value.replace(b"octolog.results", b"\xff\xfe\xff\xfeog.results", 1),
    "a string of 2^60 bytes": lambda value: value[:5] + b"\xfe\xff\xff\xff\xff\xff\xff\xff\x1f" + value[6:],
    "a string of negative length": lambda value: value[:5] + b"\x01" + value[6:],
    "no symbol of the enum": lambda value: value.replace(b"\x0eplanner\x02", b"\x0eplanner\x7e", 1),
    "noise": lambda value: value[:5] + secrets.token_bytes(300),
}


@pytest.mark.parametrize("single", [False, True], ids=["columns", "one by one"])
@pytest.mark.parametrize("how", BAD)
def test_a_bad_datum_is_refused_and_no_other_is_lost(
    history: History, ids: TopicSchemaIds, how: str, single: bool
) -> None:
    records = of(history, ids, "octolog.task.AttemptEnded")
    at = next(i for i, r in enumerate(records) if i > 10 and b"\x0eplanner\x02" in (r.value or b""))
    bad = records[at]._replace(value=BAD[how](records[at].value or b""))
    assert bad.value != records[at].value
    mixed = [*records[:at], bad, *records[at + 1 :]]
    columns = ColumnReader(ids, single=single).read(
        schema_id(bad), table("octolog.task.AttemptEnded"), together(mixed)
    )
    rows = pl.concat(columns.frames)
    assert [refusal.record for refusal in columns.refused] == [bad]
    assert "\n" not in columns.refused[0].reason
    good = [record for record in records if record is not records[at]]
    assert sorted(rows["log_offset"]) == sorted(record.offset for record in good)
    whole = pl.concat(
        ColumnReader(ids).read(schema_id(bad), table("octolog.task.AttemptEnded"), together(good)).frames
    )
    assert rows.sort("log_partition", "log_offset").equals(whole.sort("log_partition", "log_offset"))


def test_two_bad_data_that_make_up_for_each_other_are_both_refused(
    history: History, ids: TopicSchemaIds
) -> None:
    """The tail of one datum moved to the next: together they have the right length, apart they are wrong."""
    records = of(history, ids, "octolog.task.TaskCompleted")[:40]
    first, second = records[10].value or b"", records[11].value or b""
    moved = [
        records[10]._replace(value=first[:-3]),
        records[11]._replace(value=second[:5] + first[-3:] + second[5:]),
    ]
    columns = ColumnReader(ids).read(
        schema_id(records[0]),
        table("octolog.task.TaskCompleted"),
        together([*records[:10], *moved, *records[12:]]),
    )
    assert {refusal.record.offset for refusal in columns.refused} == {records[10].offset, records[11].offset}
    assert sum(frame.height for frame in columns.frames) == 38


def _without(schema: dict[str, Any], field: str) -> dict[str, Any]:
    return {**schema, "fields": [entry for entry in schema["fields"] if entry["name"] != field]}


@pytest.mark.parametrize("single", [False, True], ids=["columns", "one by one"])
def test_a_value_of_an_older_writer_takes_the_defaults_of_what_it_did_not_know(
    ids: TopicSchemaIds, single: bool
) -> None:
    name = "octolog.result.AttemptHeartbeat"
    older = _without(json.loads(catalog.schema_json(name)), "note")
    registered = ids.register(name, json.dumps(older))
    out = BytesIO()
    out.write(b"\0" + registered.to_bytes(4, "big"))
    fields = ("root_task_id", "task_id", "attempt_id", "arm_id", "instance_id")
    fastavro.schemaless_writer(out, fastavro.parse_schema(older), dict.fromkeys(fields, "x"))
    record = LogRecord("octolog.results", 0, 3, 1_000, b"k", out.getvalue())

    from projections.analytics.sink import AnalyticsProjection
    from projections.duck import Store

    store = Store.open(None)
    AnalyticsProjection(store, ids, reader=ColumnReader(ids, single=single)).apply([record], {})
    assert store.rows("SELECT arm_id, note, log_offset FROM attempt_heartbeat") == [
        {"arm_id": "x", "note": "", "log_offset": 3}
    ]
    store.close()


REFUSED = {
    "recursive": {"name": "child", "type": ["null", "R"]},
    "a map": {"name": "m", "type": {"type": "map", "values": "string"}},
    "a wide union": {"name": "u", "type": ["null", "string", "long"]},
    "a list of enums": {
        "name": "l",
        "type": {"type": "array", "items": {"type": "enum", "name": "E", "symbols": ["A"]}},
    },
    "a list of lists": {"name": "l", "type": {"type": "array", "items": {"type": "array", "items": "int"}}},
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_no_columnar_reader_takes_is_refused_by_name(what: str) -> None:
    schema = {"type": "record", "name": "R", "fields": [{"name": "a", "type": "string"}, REFUSED[what]]}
    with pytest.raises(IncompatibleSchema, match=r"can(not)? be read in columns"):
        BlockSchema(json.dumps(schema))


def test_an_enum_keeps_every_symbol(ids: TopicSchemaIds) -> None:
    columns = {c.name: c for c in BlockSchema(catalog.schema_json("octolog.task.AttemptEnded")).columns}
    assert columns["task_error_type"].symbols == tuple(TaskErrorType)
    assert columns["outcome"].symbols == tuple(f.Outcome)
