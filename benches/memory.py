"""Memory of the processor: it grows with open trees, not with history.

Claim: 1,000,000 finished trees later its resident memory is within 50 MB of where it was after 10,000.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil

from benches._children import Processor, processor
from benches._cluster import cluster
from benches._feeder import ARM, Feeder
from benches._run import bound, options, report, say
from benches._work import facts_of
from streams.kafka.reader import KafkaLogReader
from streams.topics import TASKS

WAVE: Final = 1_000
WINDOW: Final = 1_000_000
FIRST: Final = 10_000
TREES: Final = {"quick": 50_000, "full": 1_000_000}
BOUND_MB: Final = 50
SAMPLES: Final = 20
_MB: Final = 1024 * 1024


def main() -> None:
    """Measure, check, print."""
    given = options(__doc__ or "")
    size = "full" if given.full else "quick"
    trees = TREES[size]
    marks = sorted({FIRST, *(trees * n // SAMPLES for n in range(1, SAMPLES + 1))} - set(range(FIRST)))
    with cluster() as where:
        where.register_arm(ARM)
        with processor(where, window=WINDOW) as child:
            started_s = time.monotonic()
            feeder = Feeder(where, WAVE)
            found = {mark: _at(mark, feeder, child) for mark in marks}
            feeder.run(lambda _: True)
            feeder.close()
            seconds = time.monotonic() - started_s
        assert where.dead_letters() == 0, "there are dead letters"
        stored = _files_mb(where.folder / "state")
        kept = _kept(where)
    grown = found[trees]["rss_mb"] - found[FIRST]["rss_mb"]
    report(
        {
            "bench": "memory",
            "size": size,
            "finished_trees": feeder.finished,
            "facts": feeder.finished * facts_of(1),
            "open_trees_at_most": 2 * WAVE,
            "window": WINDOW,
            "seconds": round(seconds, 1),
            "trees_per_s": round(feeder.finished / seconds),
            "rss_mb_at": {str(mark): row["rss_mb"] for mark, row in found.items()},
            "grown_mb": bound(grown, at_most=BOUND_MB),
            "closed_index_on_disk_mb": stored,
            "offsets_in_tasks": kept,
        }
    )


def _at(mark: int, feeder: Feeder, child: Processor) -> dict[str, Any]:
    feeder.run(lambda begun: begun >= mark)
    rss_mb = psutil.Process(child.pid).memory_info().rss / _MB
    say(f"{feeder.finished} trees finished: {rss_mb:.1f} MB")
    return {"rss_mb": round(rss_mb, 1)}


def _files_mb(folder: Path) -> float:
    return round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / _MB, 1)


def _kept(where: Any) -> int:
    reader = KafkaLogReader(where.kafka)
    try:
        return sum(reader.ends([TASKS]).values())
    finally:
        reader.close()


if __name__ == "__main__":
    main()
