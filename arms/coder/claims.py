"""A claim about code: what, where, and who says so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

__all__ = ["EVIDENCE_MAX_CHARS", "Claim", "as_json"]

EVIDENCE_MAX_CHARS: Final = 300
_RANK: Final = {"error": 0, "warning": 1, "note": 2}


@dataclass(frozen=True, slots=True, order=True)
class Claim:
    """Something said about one line.

    Attributes:
        path: Relative to the folder.
        line: 1-based.
        rule: Which rule of the tool.
        message: What is wrong.
        severity: Error, warning or note.
        tool: Who says so.
        evidence: The line itself, cut at 300 characters.
    """

    path: str
    line: int
    rule: str
    message: str
    severity: Literal["error", "warning", "note"]
    tool: str
    evidence: str = ""

    def to_json(self) -> dict[str, Any]:
        """Give the claim as a plain dict."""
        return {name: getattr(self, name) for name in self.__slots__}


def as_json(claims: Iterable[Claim], most_bytes: int) -> tuple[list[dict[str, Any]], int]:
    """As many claims as fit, errors first, in the order of files and lines; and how many do not."""
    ranked = sorted(set(claims), key=lambda claim: (_RANK[claim.severity], claim))
    kept: list[Claim] = []
    left_bytes = most_bytes
    for claim in ranked:
        left_bytes -= len(orjson.dumps(claim.to_json())) + 1
        if left_bytes < 0:
            break
        kept.append(claim)
    return [claim.to_json() for claim in sorted(kept)], len(ranked) - len(kept)
