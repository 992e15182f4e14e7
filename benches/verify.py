"""Verifying a log: hashes from the bytes alone, deciding again, folding, and an audit bundle of it.

Claims: hashes, chains and positions of 300,000 facts/s; deciding again 30,000 facts/s a process. The log is in
memory, so that what is measured is the verification, in one process.
"""

from __future__ import annotations

import gc
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benches._history import History
from benches._run import bound, options, report, say
from octolog.app.audit.export import export_bundle
from octolog.domain.proof.merkle import Peaks
from octolog.ports import LogReader, LogRecord, Positions
from octolog.verifier.verify import verify_bundle
from schemas.codec import Codec
from schemas.fact_bytes import FactSchemas
from schemas.registry import MemorySchemaTopic, TopicSchemaIds
from streams.replay import rebuild, verify
from streams.replay.hashes import HashCheck
from streams.topics import ARMS, DEAD_LETTERS, INPUTS, TASKS

HASHES_AT_LEAST = 300_000
DECIDED_AT_LEAST = 30_000
ROUNDS = 3


class _Reader:
    """A log reader on lists."""

    def __init__(self, records: dict[tuple[str, int], list[LogRecord]]) -> None:
        self._records = records

    def ends(self, topics: Sequence[str]) -> Positions:
        return {place: len(records) for place, records in self._records.items() if place[0] in topics}

    def read(self, start: Positions, *, until: Positions | None = None) -> Iterator[list[LogRecord]]:
        assert until is not None
        for place, first in start.items():
            records, end = self._records[place], until.get(place, 0)
            for at in range(first, end, 20_000):
                yield records[at : min(end, at + 20_000)]

    def at_time(self, topics: Sequence[str], timestamp_ms: int) -> Positions:
        raise NotImplementedError(topics, timestamp_ms)

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class _Source:
    records: dict[tuple[str, int], list[LogRecord]]
    known: Codec

    def reader(self) -> LogReader:
        return _Reader(self.records)

    def codec(self) -> Codec:
        return self.known


def main() -> None:
    full = options(__doc__ or "").full
    count = 1_000_000 if full else 150_000
    say(f"a history of {count} records")
    ids = TopicSchemaIds(MemorySchemaTopic())
    records: dict[tuple[str, int], list[LogRecord]] = defaultdict(list)
    for topic in (*INPUTS, TASKS):
        records[topic, 0] = []
    for topic in (ARMS, DEAD_LETTERS):
        records[topic, 0] = []
    history = History(ids, partitions=1)
    for record in history.grow(count):
        records[record.topic, record.partition].append(record)
    source, facts = _Source(dict(records), history.codec), records[TASKS, 0]
    gc.freeze()
    hashes = _best(len(facts), lambda: _hashes(facts, ids))
    say(f"hashes {hashes[0]:,.0f} facts/s")
    leaves = [(record.value or b"")[-32:] for record in facts]
    merkle = _best(len(leaves), lambda: Peaks().add(leaves))
    decided = _best(len(facts), lambda: _decided(source), 1 if full else ROUNDS)
    say(f"deciding again {decided[0]:,.0f} facts/s")
    folded = _best(len(facts), lambda: rebuild(source), 1)
    report(
        {
            "bench": "verify",
            "facts": len(facts),
            "bytes_per_fact": round(sum(len(record.value or b"") for record in facts) / len(facts)),
            "hashes_chains_positions_per_s": bound(hashes[0], at_least=HASHES_AT_LEAST),
            "decided_again_per_s_a_process": bound(decided[0], at_least=DECIDED_AT_LEAST),
            "merkle_leaves_per_s": round(merkle[0]),
            "folded_per_s": round(folded[0]),
            "per_second_on_a_core": {
                "hashes": round(hashes[1]),
                "decided_again": round(decided[1]),
                "merkle_leaves": round(merkle[1]),
                "folded": round(folded[1]),
            },
            **_bundle(source, len(history.records)),
        }
    )


def _best(count: int, work: Callable[[], object], rounds: int = ROUNDS) -> tuple[float, float]:
    """The best rates of some rounds: by the clock, and by this process's own time on a core."""
    rates, of_cpu = [], []
    for _ in range(rounds):
        started_s, cpu_s = time.perf_counter(), time.process_time()
        work()
        rates.append(count / (time.perf_counter() - started_s))
        of_cpu.append(count / (time.process_time() - cpu_s))
    return max(rates), max(of_cpu)


def _hashes(facts: list[LogRecord], ids: TopicSchemaIds) -> None:
    check = HashCheck(0, FactSchemas(ids))
    for start in range(0, len(facts), 20_000):
        check.add(facts[start : start + 20_000])
    found = check.finish(len(facts))
    assert found.difference is None, found
    assert found.facts == len(facts)


def _decided(source: _Source) -> None:
    found = verify(source)
    assert found.ok, found.first_difference


def _bundle(source: _Source, count: int) -> dict[str, Any]:
    say("a bundle of all of it")
    with TemporaryDirectory(prefix="octolog-bench-") as folder:
        out = Path(folder) / "bundle.zip"
        started_s = time.perf_counter()
        exported = export_bundle(source, out)
        written_s = time.perf_counter()
        found = verify_bundle(out)
        assert found.ok, found.faults
        return {
            "bundle_mb": round(exported.size_bytes / 1e6, 1),
            "bundle_export_records_per_s": round(count / (written_s - started_s)),
            "bundle_verify_records_per_s": round(count / (time.perf_counter() - written_s)),
        }


if __name__ == "__main__":
    main()
