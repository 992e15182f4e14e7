"""The simple settings of an operator: how each is written down, and what it may be."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from octolog.domain.ids import ArmId, is_arm_id, is_step_id
from octolog.domain.tasksystem import AccumulationFormat, AtomicTaskSubtype
from octolog.domain.templates.errors import invalid
from octolog.domain.templates.nodes import shown

OUTPUT_TYPES: Final = ("text", "json", "object", "array", "string[]", "number", "boolean")
MAX_CRITERIA: Final = 10
MAX_TAGS: Final = 10
_DAY_MS: Final = 24 * 3_600_000
_TAG: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_RESERVED: Final = re.compile(r"(recovery|decomposed|subtask)-[0-9]+|.*\.(argument|reduction)")
"""Names that the evaluator gives to what it makes. Source: docs/reference/operators.md."""

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL: Final = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{0,18})?")


@dataclass(frozen=True, slots=True)
class Field:
    """A setting.

    Attributes:
        written: Its name in a document.
        name: Its name in the domain.
        read: From text and path; raises DocumentRefused.
        write: To text.
    """

    written: str
    name: str
    read: Callable[[str, str], Any]
    write: Callable[[Any], str] = str


def whole(low: int, high: int) -> Callable[[str, str], int]:
    """Reads a whole number within bounds, both included."""

    def read(text: str, at: str) -> int:
        if _INTEGER.fullmatch(text.strip()) is None:
            raise invalid(at, f"{shown(text)} is no whole number")
        value = int(text)
        if not low <= value <= high:
            raise invalid(at, f"{value} is not between {low} and {high}")
        return value

    return read


def parts(per_unit: int, low: int, high: int) -> Callable[[str, str], int]:
    """Reads a decimal number of units as a whole number of their parts, exactly.

    Args:
        per_unit: How many parts a unit has, e.g. 1,000 milliseconds.
        low: Least, in parts.
        high: Most, in parts.
    """

    def read(text: str, at: str) -> int:
        if _DECIMAL.fullmatch(text.strip()) is None:
            raise invalid(at, f"{shown(text)} is no decimal number")
        value = Decimal(text.strip()) * per_unit
        if value != int(value):
            raise invalid(at, f"{shown(text)} is finer than 1/{per_unit}")
        if not low <= value <= high:
            raise invalid(at, f"{text} is not between {_units(low, per_unit)} and {_units(high, per_unit)}")
        return int(value)

    return read


def written_in(per_unit: int) -> Callable[[int], str]:
    """Writes parts as a decimal number of units."""
    return lambda value: _units(value, per_unit)


def _units(value: int, per_unit: int) -> str:
    text = f"{Decimal(value) / per_unit:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def truth(text: str, at: str) -> bool:
    """The words `true` and `false`, and no other."""
    if text.strip() not in {"true", "false"}:
        raise invalid(at, f"{shown(text)} is neither true nor false")
    return text.strip() == "true"


def one_of(words: tuple[str, ...]) -> Callable[[str, str], str]:
    """Reads one of some words."""

    def read(text: str, at: str) -> str:
        if text not in words:
            raise invalid(at, f"{shown(text)} is none of {', '.join(words)}")
        return text

    return read


def name(text: str, at: str) -> str:
    """A name, which becomes a part of task ids."""
    if not is_step_id(text):
        raise invalid(
            at, f"{shown(text)} is no name: use 1 to 64 letters, digits and ._- , a letter or digit first"
        )
    if _RESERVED.fullmatch(text):
        raise invalid(at, f"{shown(text)} is a name that octolog gives itself; choose another")
    return text


def input_name(text: str, at: str) -> str:
    """A name of an input; it may begin with `_`."""
    name(f"i{text[1:]}" if text.startswith("_") else text, at)
    return text


def version(text: str, at: str) -> str:
    """A version of a template."""
    if _VERSION.fullmatch(text) is None:
        raise invalid(at, f"{shown(text)} is no version: use 1 to 64 letters, digits and ._+-")
    return text


def model(text: str, at: str) -> str:
    """A model id."""
    found = " ".join(text.split())
    if not found:
        raise invalid(at, "names no model")
    return found


def subtype(text: str, at: str) -> AtomicTaskSubtype:
    """What kind of atomic task."""
    return AtomicTaskSubtype(one_of(("standard", "subtask"))(text, at).upper())


def accumulation_format(text: str, at: str) -> AccumulationFormat:
    """What is kept of earlier steps."""
    return AccumulationFormat(one_of(("full_output", "notes_only"))(text.strip(), at).upper())


def _arm(text: str, at: str) -> ArmId:
    if not is_arm_id(text):
        raise invalid(at, f"{shown(text)} is no arm id: use lowercase words joined by hyphens")
    return ArmId(text)


def _tags(text: str, at: str) -> tuple[str, ...]:
    found = tuple(text.split())
    if not 1 <= len(found) <= MAX_TAGS:
        raise invalid(at, f"{len(found)} tags; 1 to {MAX_TAGS}")
    for tag in found:
        if _TAG.fullmatch(tag) is None:
            raise invalid(at, f"{shown(tag)} is no tag: use lowercase letters, digits, _ and -")
    return found


def _fraction(text: str, at: str) -> float:
    try:
        value = float(Decimal(text.strip()))
    except InvalidOperation:
        raise invalid(at, f"{shown(text)} is no number") from None
    if not (math.isfinite(value) and 0.0 < value <= 1.0):
        raise invalid(at, f"{shown(text)} is not above 0 and at most 1")
    return value


ROUTING: Final = (
    Field("arm", "assigned_arm", _arm),
    Field("capabilities", "required_capabilities", _tags, " ".join),
    Field("max_cost_tier", "max_cost_tier", whole(1, 5)),
    Field("priority", "priority", whole(1, 10)),
    Field("timeout_seconds", "timeout_ms", parts(1_000, 1, _DAY_MS), written_in(1_000)),
    Field("max_turns", "max_turns", whole(1, 1_000_000)),
    Field("max_context_fraction", "max_context_fraction", _fraction, repr),
)
"""Attributes of a task."""

LIMITS: Final = (
    Field("max_tokens", "max_tokens", whole(1, 100_000_000)),
    Field("max_time_seconds", "max_time_ms", parts(1_000, 1, 30 * _DAY_MS), written_in(1_000)),
    Field(
        "max_cost_dollars", "max_cost_micros", parts(1_000_000, 0, 1_000_000_000_000), written_in(1_000_000)
    ),
    Field("max_llm_calls", "max_llm_calls", whole(0, 1_000_000)),
)
"""Attributes of a budget; bounds as in `octolog.domain.rules`."""
