"""Bounds of single values: what is refused, and in which words. `rules` and the operators' check are made of these."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from octolog.domain.errors import InvalidContract
from octolog.domain.ids import is_arm_id, is_task_id
from octolog.domain.json_text import parse
from octolog.domain.values import DEFAULT_RETRY, NO_LIMITS, BlobRef, Limits, RetryPolicy

MAX_GOAL_CHARS: Final = 10_000
MAX_CRITERIA: Final = 10
MAX_TAGS: Final = 10
MAX_JSON_BYTES: Final = 256 * 1024
"""A value longer than this belongs in the blob store (design section 6)."""

_BUDGET_BOUNDS: Final = (
    ("max_tokens", 1, 100_000_000),
    ("max_time_ms", 1, 30 * 24 * 3_600_000),
    ("max_cost_micros", 0, 1_000_000_000_000),
    ("max_llm_calls", 0, 1_000_000),
)
_SHOWN_CHARS: Final = 40
"""How much of a bad value a message repeats."""

MAX_BLOB_BYTES: Final = 2**40
"""Largest value that a record may refer to; a store's own bound is lower."""

_MAX_MEDIA_TYPE_CHARS: Final = 255
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_MAX_TAG_CHARS: Final = 64
_TAG: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")


def check_limits(field: str, limits: Limits) -> None:
    """Raise InvalidContract (INVALID_BUDGET) for a limit out of bounds."""
    if limits is NO_LIMITS:
        return
    for name, low, high in _BUDGET_BOUNDS:
        value = getattr(limits, name)
        if value is not None and not low <= value <= high:
            check_between(f"{field}.{name}", value, low, high, "INVALID_BUDGET")


def check_retry(field: str, retry: RetryPolicy) -> None:
    """Raise InvalidContract (INVALID_RETRY) for a rule that cannot be followed."""
    if retry is DEFAULT_RETRY:
        return
    check_between(f"{field}.max_attempts", retry.max_attempts, 1, 100, "INVALID_RETRY")
    check_between(f"{field}.base_ms", retry.base_ms, 0, 3_600_000, "INVALID_RETRY")
    check_between(f"{field}.cap_ms", retry.cap_ms, 0, 24 * 3_600_000, "INVALID_RETRY")
    for name in ("factor", "jitter_low", "jitter_high"):
        check_fraction(f"{field}.{name}", getattr(retry, name), 0.0, 100.0, "INVALID_RETRY")
    if retry.jitter_low > retry.jitter_high:
        raise InvalidContract("INVALID_RETRY", f"{field}.jitter_low", "is above jitter_high")


def check_task_id(field: str, value: str) -> None:
    """Raise InvalidContract for an id that no task can have."""
    if not is_task_id(value):
        shown = value if len(value) <= _SHOWN_CHARS else f"{value[:_SHOWN_CHARS]}..."
        raise InvalidContract(
            "INVALID_TASK_ID",
            field,
            f"{shown!r}: use 1 to 255 letters, digits and ._:/- , a letter or digit first",
        )


def check_goal(field: str, goal: str) -> None:
    """Raise InvalidContract for an empty or endless goal."""
    if not goal.strip():
        raise InvalidContract("VALIDATION", field, "is empty")
    if len(goal) > MAX_GOAL_CHARS:
        raise InvalidContract("VALIDATION", field, f"{len(goal)} characters; at most {MAX_GOAL_CHARS}")


def check_words(field: str, text: str, most: int) -> None:
    """Raise InvalidContract for a text that is too long."""
    if len(text) > most:
        raise InvalidContract("VALIDATION", field, f"{len(text)} characters; at most {most}")


def check_criteria(field: str, criteria: tuple[str, ...]) -> None:
    """Raise InvalidContract for too many criteria."""
    if len(criteria) > MAX_CRITERIA:
        raise InvalidContract("VALIDATION", field, f"{len(criteria)} criteria; at most {MAX_CRITERIA}")


def check_json(field: str, text: str) -> None:
    """Raise InvalidContract for what is no JSON object, or too long a one."""
    if len(text) > MAX_JSON_BYTES:
        raise InvalidContract("VALIDATION", field, f"{len(text)} characters; at most {MAX_JSON_BYTES}")
    if text == "{}":
        return
    try:
        value = parse(text)
    except ValueError as error:
        raise InvalidContract("VALIDATION", field, f"is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidContract("VALIDATION", field, "must be a JSON object")


def check_claim(field: str, beside: str, blob: BlobRef, code: str = "VALIDATION") -> None:
    """Raise InvalidContract for a claim check that names no blob, or stands beside the value itself."""
    if beside not in ("", "{}"):
        raise InvalidContract(code, field, "is given in the record and as a blob; give one of them")
    if _SHA256.fullmatch(blob.sha256) is None:
        raise InvalidContract(code, f"{field}_blob.sha256", "is not 64 lowercase hex digits")
    check_between(f"{field}_blob.size_bytes", blob.size_bytes, 0, MAX_BLOB_BYTES, code)
    if len(blob.media_type) > _MAX_MEDIA_TYPE_CHARS:
        raise InvalidContract(
            code, f"{field}_blob.media_type", f"has more than {_MAX_MEDIA_TYPE_CHARS} characters"
        )


def check_routing(at: str, arm: str | None, tags: tuple[str, ...], max_tier: int | None) -> None:
    """Raise InvalidContract for an impossible demand on arms."""
    if arm is not None and not is_arm_id(arm):
        raise InvalidContract("VALIDATION", f"{at}assigned_arm", f"{arm[:64]!r} is no arm id")
    if len(tags) > MAX_TAGS:
        raise InvalidContract(
            "VALIDATION", f"{at}required_capabilities", f"{len(tags)} tags; at most {MAX_TAGS}"
        )
    check_tags(f"{at}required_capabilities", tags, "VALIDATION")
    if max_tier is not None:
        check_between(f"{at}max_cost_tier", max_tier, 1, 5, "VALIDATION")


def check_tags(field: str, tags: Iterable[str], code: str) -> None:
    """Raise InvalidContract for what is no tag."""
    for tag in tags:
        if len(tag) > _MAX_TAG_CHARS or not _is_tag(tag):
            raise InvalidContract(
                code, field, f"{tag[:64]!r} is no tag: use lowercase letters, digits, _ and -"
            )


@lru_cache(maxsize=1_024)
def _is_tag(tag: str) -> bool:
    """Whether a word is a tag; many tasks ask for the same few."""
    return _TAG.fullmatch(tag) is not None


def check_timeout(field: str, timeout_ms: int | None) -> None:
    """Raise InvalidContract for a time that is out of bounds."""
    if timeout_ms is not None:
        check_between(field, timeout_ms, 1, 24 * 3_600_000, "VALIDATION")


def check_between(field: str, value: int, low: int, high: int, code: str) -> None:
    """Raise InvalidContract for a number out of bounds."""
    if not low <= value <= high:
        raise InvalidContract(code, field, f"{value} is not between {low} and {high}")


def check_fraction(field: str, value: float, low: float, high: float, code: str) -> None:
    """Raise InvalidContract for a fraction out of bounds."""
    if not math.isfinite(value) or not low <= value <= high:
        raise InvalidContract(code, field, f"{value} is not between {low} and {high}")
