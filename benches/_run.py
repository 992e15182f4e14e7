"""What every bench shares: its two sizes, progress on stderr, one JSON document on stdout, percentiles."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

_STARTED_S: Final = time.monotonic()


def options(description: str) -> argparse.Namespace:
    """`full` is true for `--full`; `--quick`, at most a minute, is the default."""
    parser = argparse.ArgumentParser(description=description)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="at most a minute (default)")
    size.add_argument(
        "--full", action="store_true", help="the sizes that the figures in the README come from"
    )
    parser.add_argument("--no-peers", action="store_true", help="measure octolog alone")
    return parser.parse_args()


def say(text: str) -> None:
    """One line of progress, with the seconds since the start."""
    print(f"[{time.monotonic() - _STARTED_S:6.1f} s] {text}", file=sys.stderr, flush=True)


def report(document: dict[str, Any]) -> None:
    """Print the result."""
    print(json.dumps({**document, "machine": _machine()}, indent=2, default=str), flush=True)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of values in ascending order."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def spread(values_ms: Sequence[float]) -> dict[str, float]:
    """Number, p50, p99 and maximum, milliseconds."""
    ordered = sorted(values_ms)
    return {
        "n": len(ordered),
        "p50_ms": round(percentile(ordered, 0.50), 2),
        "p99_ms": round(percentile(ordered, 0.99), 2),
        "max_ms": round(ordered[-1], 2),
    }


def bound(value: float, *, at_least: float | None = None, at_most: float | None = None) -> dict[str, Any]:
    """A figure beside the bound that it is held to, and whether it keeps it."""
    wanted = {"at_least": at_least} if at_least is not None else {"at_most": at_most}
    kept = (at_least is None or value >= at_least) and (at_most is None or value <= at_most)
    return {"value": round(value, 2), **wanted, "kept": kept}


def _machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "load_1m_at_end": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "system": platform.platform(),
    }
