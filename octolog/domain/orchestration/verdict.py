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
    if not isinstance(found, dict) or not isinstance(found.get("valid"), bool):
        raise ValueError("a verdict is a JSON object with `valid`, true or false")  # noqa: TRY004 -- of a document
    said = cast("dict[str, Any]", found)
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
    found = said.get(name, [])
    if not isinstance(found, list) or len(found) > MAX_CRITERIA:
        raise ValueError(f"`{name}` of a verdict is a list of at most {MAX_CRITERIA} texts")
    items: list[Any] = found
    if not all(map(_is_text, items)):
        raise ValueError(f"`{name}` of a verdict is a list of texts")
    return tuple(map(whole, items))


def _errors(issues: Any) -> tuple[str, ...]:
    if not isinstance(issues, list):
        raise ValueError("`issues` of a verdict is a list of objects")  # noqa: TRY004 -- of a document
    found = [issue for issue in issues if isinstance(issue, dict)]
    told = [cast("dict[str, Any]", issue) for issue in found]
    return tuple(whole(str(issue.get("message", ""))) for issue in told if issue.get("severity") == "error")
