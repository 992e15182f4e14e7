"""Claim: a projection is rebuilt from the log at 150,000 events a second and more.

Mixed records of every followed topic, made by the real core and codec, go through `AnalyticsProjection.apply`
into a DuckDB file, in batches as a reader hands them over. Kafka is not part of it (`benches/replay.py` is for
that). Beside it, in the same run, the usual way on a share of the same records: fastavro record by record,
then `executemany`.

Run: `python benches/projection_rebuild.py [--records 200000] [--batch 50000] [--rounds 3]`; prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import duckdb
import fastavro

from benches._history import History
from octolog.ports import LogRecord, Positions
from projections.analytics.queries import canonical_digest
from projections.analytics.sink import AnalyticsProjection
from projections.duck import Store
from projections.tables import FOLLOWED, column_name, tables
from schemas import catalog
from schemas.blocks import BlockSchema
from schemas.registry import MemorySchemaTopic, SchemaIds, TopicSchemaIds

_SINGLE_SHARE: Final = 40
"""The usual way is measured on one record of so many: it would take minutes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--batch", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    ids = TopicSchemaIds(MemorySchemaTopic())
    history = History(ids)
    grown = history.grow(asked.records)
    records = [record for record in grown if record.topic in FOLLOWED]
    rounds = [_columnar(records, ids, asked.batch) for _ in range(asked.rounds)]
    assert len({digest for _, _, digest, _ in rounds}) == 1
    few = records[: len(records) // _SINGLE_SHARE]
    single_s = _usual(few, ids, asked.batch)
    rates = [len(records) / seconds for seconds, _, _, _ in rounds]
    print(
        json.dumps(
            {
                "bench": "projection_rebuild",
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
                "machine": {
                    "cpus": os.cpu_count(),
                    "load": os.getloadavg()[0],
                    "python": platform.python_version(),
                },
                "records": len(records),
                "bytes_per_record": sum(len(record.value or b"") for record in records) // len(records),
                "batch": asked.batch,
                "events_per_s": {"median": round(median(rates)), "rounds": [round(rate) for rate in rates]},
                "cpu_us_per_event": round(median(cpu for _, cpu, _, _ in rounds) / len(records) * 1e6, 2),
                "file_bytes_per_record": rounds[0][3] // len(records),
                "fastavro_executemany": {"records": len(few), "events_per_s": round(len(few) / single_s)},
                "times_faster": round(median(rates) * single_s / len(few), 1),
            },
            indent=2,
        )
    )


def _columnar(records: list[LogRecord], ids: SchemaIds, size: int) -> tuple[float, float, str, int]:
    """Seconds, processor seconds, the store's digest, the file's size in bytes."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "knowledge.duckdb"
        store = Store.open(path)
        projection = AnalyticsProjection(store, ids)
        begun, begun_cpu = time.perf_counter(), time.process_time()
        for start in range(0, len(records), size):
            batch = records[start : start + size]
            projection.apply(batch, _after(batch))
        seconds, cpu_s = time.perf_counter() - begun, time.process_time() - begun_cpu
        assert sum(_counts(store)) == len(records)
        digest = canonical_digest(store)
        projection.close()
        return seconds, cpu_s, digest, path.stat().st_size


def _usual(records: list[LogRecord], ids: SchemaIds, size: int) -> float:
    """Seconds of the same tables filled record by record."""
    connection = duckdb.connect()
    for table in tables():
        connection.execute(table.ddl)
    named = {table.record: table for table in tables()}
    parsed = {name: fastavro.parse_schema(json.loads(catalog.schema_json(name))) for name in named}
    leaves = {
        name: [(column_name(c), c.name) for c in BlockSchema(catalog.schema_json(name)).columns]
        for name in named
    }
    begun = time.perf_counter()
    for start in range(0, len(records), size):
        rows: dict[str, list[list[Any]]] = defaultdict(list)
        for record in records[start : start + size]:
            name = ids.by_id(int.from_bytes((record.value or b"")[1:5], "big"))[0]
            datum = fastavro.schemaless_reader(BytesIO((record.value or b"")[5:]), parsed[name], None)
            flat = _flat(datum)
            at = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC).replace(tzinfo=None)
            row = [flat.get(path) for _, path in leaves[name]]
            rows[name].append([*row, record.topic, record.partition, record.offset, at])
        connection.begin()
        for name, some in rows.items():
            marks = ", ".join("?" for _ in some[0])
            connection.executemany(f"INSERT INTO {named[name].name} VALUES ({marks})", some)  # noqa: S608
        connection.commit()
    return time.perf_counter() - begun


def _flat(datum: Any, prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in datum.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}_")
        elif isinstance(value, list):
            found[prefix + name] = [_flat(item) if isinstance(item, dict) else item for item in value]
        else:
            found[prefix + name] = value.replace(tzinfo=None) if isinstance(value, datetime) else value
    return found


def _after(records: list[LogRecord]) -> Positions:
    return {(record.topic, record.partition): record.offset + 1 for record in records}


def _counts(store: Store) -> list[int]:
    return [store.rows(f'SELECT count(*) AS n FROM "{table.name}"')[0]["n"] for table in tables()]  # noqa: S608


if __name__ == "__main__":
    main()
