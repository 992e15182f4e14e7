"""Hostile documents: what refusing each costs, at every border that XML comes in by.

Claim: none costs more than one second of CPU time; nor does judging a document as long as one may be, valid or not.
The documents are those of `tests/unit/documents/hostile.py`.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benches._run import bound, options, report, say
from schemas.xml import KNOWN_MODELS, judge
from tests.unit.documents.hostile import BORDERS, FULL, HOSTILE, NAMES, cross_all, written

ROUNDS: Final = {"quick": 3, "full": 10}
TARGET_S: Final = 1.0
SLOWEST: Final = 5
"""Of every kind, as many are told by name."""


def main() -> None:
    """Measure, check, print."""
    given = options(__doc__ or "")
    size = "full" if given.full else "quick"
    rounds = ROUNDS[size]
    with TemporaryDirectory() as name:
        folder = Path(name)
        cross_all(folder)
        say("every border was crossed once")
        borders = {
            border: {
                document: _best_cpu_s(partial(refuse, text, written(document, text, folder)), rounds)
                for document, text in HOSTILE.items()
            }
            for border, refuse in BORDERS.items()
        }
    say("borders done")
    judged = {
        document: _best_cpu_s(partial(judge, text, KNOWN_MODELS), rounds)
        for document, text in {**FULL, "valid, full of names": NAMES}.items()
    }
    report(
        {
            "bench": "hostile",
            "size": size,
            "rounds": rounds,
            "documents": len(HOSTILE),
            "worst_refusal_cpu_s": bound(
                max(max(found.values()) for found in borders.values()), at_most=TARGET_S
            ),
            "worst_judgement_cpu_s": bound(max(judged.values()), at_most=TARGET_S),
            "slowest_by_border_cpu_s": {border: _slowest(found) for border, found in borders.items()},
            "slowest_judged_cpu_s": _slowest(judged),
        }
    )


def _best_cpu_s(work: Callable[[], object], rounds: int) -> float:
    best = float("inf")
    for _ in range(rounds):
        gc.collect()
        began_s = time.process_time()
        work()
        best = min(best, time.process_time() - began_s)
    return best


def _slowest(found: dict[str, float]) -> dict[str, float]:
    return {name: round(found[name], 4) for name in sorted(found, key=found.__getitem__)[: -SLOWEST - 1 : -1]}


if __name__ == "__main__":
    main()
