"""A judge's output, read as a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, cast

from octolog.domain.json_text import exactly, is_number, whole
from octolog.domain.reports import ExecutionResult

MAX_FEEDBACK_CHARS: Final = 4_000
MAX_CRITERIA: Final = 100


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge says.

    Attributes:
        accepted: True when it says so, no criterion failed and no issue is an error. Source: seed A.
        confidence: 0.0 to 1.0: as it says, else the share of criteria that are met.
        passed: Criteria that are met.
        failed: Criteria that are not.
        feedback: What is to be done better.
    """

    accepted: bool
    confidence: float
    passed: tuple[str, ...]
    failed: tuple[str, ...]
    feedback: str


def verdict_of(result: ExecutionResult) -> Verdict:
    """Read a verdict.

    Raises:
        ValueError: The output is none; says why. What cannot be read accepts nothing.
    """
    if result.output_blob is not None:
        raise ValueError("a verdict is no large output")
    try:
        found: Any = exactly(result.output)
    except ValueError as error:
        raise ValueError(f"a verdict is a JSON object: {error}") from None
    said = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    if not isinstance(said.get("valid"), bool):
        raise ValueError("a verdict is a JSON object with `valid`, true or false")  # noqa: TRY004 -- of a document
    passed, failed = _texts(said, "passed"), _texts(said, "failed")
    errors = _errors(said.get("issues", []))
    feedback = said.get("feedback") or "; ".join((*errors, *(f"not met: {each}" for each in failed)))
    if not _is_text(feedback):
        raise ValueError("`feedback` of a verdict is a text")
    accepted = said["valid"] and not failed and not errors
    confidence = _confidence(said, passed, failed)
    return Verdict(accepted, confidence, passed, failed, whole(feedback[:MAX_FEEDBACK_CHARS]))


def _confidence(said: dict[str, Any], passed: tuple[str, ...], failed: tuple[str, ...]) -> float:
    if "confidence" not in said:
        return _share(passed, failed)
    found = said["confidence"]
    value = float(found) if is_number(found) else -1.0
    if not 0.0 <= value <= 1.0:
        raise ValueError("`confidence` of a verdict is a number from 0 to 1")
    return value


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not is_number(value)


def _share(passed: tuple[str, ...], failed: tuple[str, ...]) -> float:
    total = len(passed) + len(failed)
    return round(len(passed) / total, 6) if total else 1.0


def _texts(said: dict[str, Any], name: str) -> tuple[str, ...]:
    items = _listed(said.get(name, []), f"`{name}` of a verdict is a list of at most {MAX_CRITERIA} texts")
    if len(items) > MAX_CRITERIA or not all(map(_is_text, items)):
        raise ValueError(f"`{name}` of a verdict is a list of at most {MAX_CRITERIA} texts")
    return tuple(whole(str(item)) for item in items)


def _errors(issues: object) -> tuple[str, ...]:
    listed = _listed(issues, "`issues` of a verdict is a list of objects")
    told = [cast("dict[str, object]", issue) for issue in listed if isinstance(issue, dict)]
    return tuple(whole(str(issue.get("message", ""))) for issue in told if issue.get("severity") == "error")


def _listed(value: object, otherwise: str) -> list[object]:
    if not isinstance(value, list):
        raise ValueError(otherwise)  # noqa: TRY004 -- of a document
    return cast("list[object]", value)
