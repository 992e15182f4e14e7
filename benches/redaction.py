"""Redaction: how much the detectors find, how often they are wrong, and how long they take.

Claims: on the labelled corpus in `tests/data/safety`, recall is at least 99 % and false positives at most 2 %; a text
takes time in proportion to its length.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benches._run import bound, options, report, say, spread
from octolog.safety import detect, find_injections, redact, redact_json
from tests.unit.safety.corpus import load, score

MB: Final = 1_000_000
ROUNDS: Final = {"quick": 3, "full": 10}
GOAL: Final = (
    "Review the folder docs/ of release v1.2.3 and report what is wrong; see issue 1234 of 2026-11-22."
)


def main() -> None:
    """Measure, check, print."""
    given = options(__doc__ or "")
    size = "full" if given.full else "quick"
    rounds = ROUNDS[size]
    result = score()
    say(f"recall {result.recall:.4f}, false positives {result.false_positives:.4f}")
    for line in (*result.missed, *result.alarms):
        say(line)
    positives = [sample.text for sample in load("positive")]
    negatives = [sample.text for sample in load("negative")]
    context = _context()
    texts = {
        "harmless text, 2 MB": _filled(" ".join(negatives), 2 * MB),
        "personal data in every line, 2 MB": _filled("\n".join(positives), 2 * MB),
        "prose, 2 MB": _filled(
            "The keeper of the lighthouse wrote every evening what the sea had been like. ", 2 * MB
        ),
    }
    report(
        {
            "bench": "redaction",
            "size": size,
            "corpus": {
                "positive_texts": len(positives),
                "values": result.values.total(),
                "negative_texts": result.texts,
                "recall_percent": bound(100 * result.recall, at_least=99),
                "redacted_percent": round(100 * result.hidden / result.values.total(), 2),
                "false_positive_percent": bound(100 * result.false_positives, at_most=2),
                "by_kind": {
                    kind: f"{result.found[kind]}/{count}" for kind, count in sorted(result.values.items())
                },
                "missed": result.missed,
                "false_alarms": result.alarms,
            },
            "one_goal": _times(lambda: redact(GOAL), 300 * rounds),
            "one_goal_injection": _times(lambda: find_injections(GOAL), 300 * rounds),
            "context_256_kb": _times(lambda: redact_json(context), rounds),
            "mb_per_s": {
                name: round(len(text) / MB / _best_s(partial(detect, text), rounds), 2)
                for name, text in texts.items()
            },
        }
    )


def _filled(unit: str, chars: int) -> str:
    return (unit * (chars // len(unit) + 1))[:chars]


def _context() -> str:
    """A context as large as one may be, of harmless values."""
    rows: list[dict[str, Any]] = []
    while len(json.dumps(rows)) < 200_000:
        rows += [{"path": f"src/module_{len(rows) + n}.py", "line": n, "message": GOAL} for n in range(200)]
    return json.dumps(rows)


def _best_s(work: Callable[[], object], rounds: int) -> float:
    best = float("inf")
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best


def _times(work: Callable[[], object], rounds: int) -> dict[str, float]:
    times: list[float] = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append((time.perf_counter() - started) * 1_000)
    found = spread(times)
    return found | {"p50_ms": round(sorted(times)[len(times) // 2], 4)}


if __name__ == "__main__":
    main()
