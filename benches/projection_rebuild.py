"""Claim: the tables are rebuilt from Kafka at 150,000 events a second and more, the broker beside.

Mixed records of every followed topic, made by the real core and codec, lie in a real broker, compressed as octolog
publishes them; `octolog projections rebuild` makes a DuckDB file of them: read by one process, stored by another.
Told are the whole, with starting that process and closing the file, and the rate from the first batch stored to the
last, which is what a longer log gets. Beside it, in the same run, the usual way on a share of the same records:
fastavro record by record, then `executemany`.

Run: `python benches/projection_rebuild.py [--records 1000000 | --full] [--rounds 3]`; prints JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import duckdb
import fastavro

from benches._cluster import PARTITIONS, Cluster, cluster
from benches._history import History
from benches._run import bound, report, say
from octolog.app.knowledge.rebuild import build
from octolog.app.settings import Settings
from octolog.ports import LogRecord
from projections.analytics.queries import canonical_digest
from projections.duck import Store
from projections.tables import FOLLOWED, column_name, tables
from schemas import catalog
from schemas.blocks import BlockSchema
from schemas.registry import SchemaIds
from streams.kafka.publisher import KafkaPublisher

_SINGLE: Final = 10_000
"""Records for the usual way: it would take minutes for all."""

_CHUNK: Final = 100_000
_BATCH: Final = 50_000


def main() -> None:
    """Measure, check, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--full", action="store_true", help="Ten million records.")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with cluster() as log:
        say("writing the log")
        written, few = _written(log, 10_000_000 if asked.full else asked.records)
        rounds = [_rebuilt(log, written, number) for number in range(1 if asked.full else asked.rounds)]
        assert len({one["digest"] for one in rounds}) == 1
        single_s = _usual(few, log.ids, _BATCH)
    rate = median(one["events_per_s"] for one in rounds)
    report(
        {
            "bench": "projection_rebuild",
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "records": written,
            "events_per_s": bound(rate, at_least=150_000),
            "events_per_s_once_begun": bound(
                median(one["events_per_s_once_begun"] for one in rounds), at_least=150_000
            ),
            "rounds": rounds,
            "fastavro_executemany": {"records": len(few), "events_per_s": round(len(few) / single_s)},
            "times_faster": bound(rate * single_s / len(few), at_least=20),
        }
    )


def _written(log: Cluster, records: int) -> tuple[int, list[LogRecord]]:
    """Records written that projections follow, and the first of them."""
    history, publisher = History(log.ids, partitions=PARTITIONS), KafkaPublisher(log.kafka, linger_ms=20)
    written, grown, few = 0, 0, list[LogRecord]()
    while grown < records:
        some = [record for record in history.grow(min(_CHUNK, records - grown)) if record.topic in FOLLOWED]
        grown += len(history.records)
        history.records.clear()
        for record in some:
            publisher.publish(record.topic, (record.key or b"").decode(), record.value or b"")
        written, few = written + len(some), few or some[:_SINGLE]
    publisher.close()
    return written, few


def _rebuilt(log: Cluster, records: int, number: int) -> dict[str, Any]:
    path = log.folder / f"rebuilt-{number}" / "knowledge.duckdb"
    settings = Settings(home=path.parent, bootstrap_servers=log.bootstrap_servers)
    told: list[tuple[int, float]] = []
    begun_s, begun_cpu_s, broker_s = time.perf_counter(), _cpu_s(), log.cpu_s()
    read = build(settings, path, 1, lambda done, _total: told.append((done, time.perf_counter())))
    whole_s, broker_s = time.perf_counter() - begun_s, log.cpu_s() - broker_s
    assert read == records
    (first, first_at), (last, last_at) = told[0], told[-1]
    store = Store.open(path, read_only=True)
    assert sum(_counts(store)) == records
    found = {
        "events_per_s": round(read / whole_s),
        "events_per_s_once_begun": round((last - first) / (last_at - first_at)),
        "first_batch_s": round(first_at - begun_s, 2),
        "closing_s": round(begun_s + whole_s - last_at, 2),
        "cpu_us_per_event": round((_cpu_s() - begun_cpu_s) / read * 1e6, 2),
        "broker_cpu_us_per_event": round(broker_s / read * 1e6, 2),
        "file_bytes_per_event": path.stat().st_size // read,
        "digest": canonical_digest(store),
    }
    store.close()
    path.unlink()
    say(f"{found['events_per_s']} events/s, {found['events_per_s_once_begun']} once begun")
    return found


def _cpu_s() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in both)


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


def _counts(store: Store) -> list[int]:
    return [store.rows(f'SELECT count(*) AS n FROM "{table.name}"')[0]["n"] for table in tables()]  # noqa: S608


if __name__ == "__main__":
    main()
