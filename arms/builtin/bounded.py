"""Findings cut to what a record may hold, the grave ones first, and the number left out said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import orjson

from arms.arm import Fail
from arms.review import Finding, Refuted
from arms.work import Work

__all__ = ["MAX_STEP_BYTES", "bounded", "context_paths", "context_root", "counts"]

# The judge's assignment carries what up to eight steps found, and a Kafka record ends at 1 MB.
MAX_STEP_BYTES: Final = 100_000
_RANK: Final = {"error": 0, "warning": 1, "note": 2}

_T = TypeVar("_T", Finding, Refuted)


def bounded(found: Sequence[_T], max_bytes: int) -> tuple[list[dict[str, Any]], int]:
    """As many of `found` as fit, errors first, as JSON in their own order; and how many do not fit."""
    sized = [(item, value, len(orjson.dumps(value)) + 1) for item in found for value in [item.to_json()]]
    kept: list[tuple[_T, dict[str, Any]]] = []
    left_bytes = max_bytes
    for item, value, size_bytes in sorted(sized, key=lambda each: (_rank(each[0]), each[0])):
        if size_bytes <= left_bytes:
            left_bytes -= size_bytes
            kept.append((item, value))
    kept.sort(key=lambda each: each[0])
    return [value for _, value in kept], len(found) - len(kept)


def counts(found: Iterable[Finding]) -> dict[str, int]:
    """How many findings of each kind."""
    return dict(sorted(Counter(finding.kind for finding in found).items()))


def context_root(context: Mapping[str, Any]) -> str:
    """The folder that a step is about."""
    path = context.get("path")
    if not isinstance(path, str) or not path:
        raise Fail("the context needs `path`, the folder under review", "INVALID_INPUT")
    return path


def context_paths(work: Work) -> tuple[str, list[str]]:
    """The folder and the files in it that a step is about."""
    paths = work.context.get("paths")
    if not isinstance(paths, list):
        raise Fail("the context needs `paths`, a list of files relative to `path`", "INVALID_INPUT")
    return context_root(work.context), [str(path) for path in paths]


def _rank(item: Finding | Refuted) -> int:
    finding = item.finding if isinstance(item, Refuted) else item
    return _RANK[finding.severity]
