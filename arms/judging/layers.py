"""The judge's layers: schema, criteria, facts, quality. Confidence is their mean. Source: seed A."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from arms.judging.criteria import text_of
from schemas.json_schema import fault_in

__all__ = ["FACT_THRESHOLD", "Layer", "facts", "of_criteria", "quality", "schema", "verdict"]

FACT_THRESHOLD: Final = 0.8
"""Share of a claim's words that one source must have for the claim to count as supported."""

QUALITY_MINIMUM: Final = 0.7
_NO_LAYER: Final = 0.5
_MAX_ISSUES: Final = 50
_WORD: Final = re.compile(r"\w{3,}")


@dataclass(slots=True)
class Layer:
    """What one layer found.

    Attributes:
        name: Which.
        confidence: 0.0 to 1.0.
        issues: Severity (error, warning, info) and message of each.
        passed: Criteria that are met.
        failed: Criteria that are not.
    """

    name: str
    confidence: float
    issues: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    passed: list[str] = field(default_factory=list[str])
    failed: list[str] = field(default_factory=list[str])


def verdict(layers: Iterable[Layer]) -> dict[str, Any]:
    """The judge's output: valid only without an issue that is an error and without a failed criterion."""
    ran = list(layers)
    issues = [issue for layer in ran for issue in layer.issues][:_MAX_ISSUES]
    failed = [each for layer in ran for each in layer.failed]
    errors = [issue["message"] for issue in issues if issue["severity"] == "error"]
    mean = sum(layer.confidence for layer in ran) / len(ran) if ran else _NO_LAYER
    return {
        "confidence": round(mean, 6),
        "failed": failed,
        "feedback": "; ".join([*errors, *(f"not met: {each}" for each in failed)]),
        "issues": issues,
        "layers": {layer.name: round(layer.confidence, 6) for layer in ran},
        "passed": [each for layer in ran for each in layer.passed],
        "valid": not errors and not failed,
    }


def of_criteria(verdicts: Mapping[str, bool]) -> Layer:
    """The criteria layer: its confidence is the share that is met; 1.0 without any."""
    passed = [each for each, met in verdicts.items() if met]
    failed = [each for each, met in verdicts.items() if not met]
    share = len(passed) / len(verdicts) if verdicts else 1.0
    return Layer("criteria", round(share, 6), passed=passed, failed=failed)


def schema(result: Any, expected: Mapping[str, Any]) -> Layer:
    """The result against a JSON Schema."""
    fault = fault_in(orjson.dumps(expected).decode(), orjson.dumps(result).decode())
    issues = (
        []
        if fault is None
        else [{"severity": "error", "message": f"the result breaks the schema: {fault}"[:300]}]
    )
    return Layer("schema", 0.0 if issues else 1.0, issues)


def facts(claims: Iterable[str], sources: Iterable[Any]) -> Layer:
    """Each claim against the sources: most of its words, and every number, must stand in one of them."""
    given = [(frozenset(_words(text)), _numbers(text)) for text in map(text_of, sources)]
    unsupported, total = [], 0
    for claim in claims:
        total += 1
        words, numbers = set(_words(claim)), _numbers(claim)
        shares = [len(words & have) / max(1, len(words)) for have, known in given if numbers <= known]
        if max(shares, default=0.0) < FACT_THRESHOLD:
            unsupported.append({"severity": "error", "message": f"no source supports: {claim}"[:300]})
    return Layer("facts", round(1 - len(unsupported) / total, 6) if total else 1.0, unsupported[:_MAX_ISSUES])


def quality(score: float, why: str) -> Layer:
    """A model's estimate of the quality; below the minimum it is a warning, which fails nothing."""
    low = score < QUALITY_MINIMUM
    issues = [{"severity": "warning", "message": f"quality {score:g}: {why}"[:300]}] if low else []
    return Layer("quality", score, issues)


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


def _numbers(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\d+(?:\.\d+)?", text))
