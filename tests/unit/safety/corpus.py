"""The labelled corpus in `tests/data/safety`, and how well the detectors do on it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from octolog.safety import Found, detect

FOLDER: Final = Path(__file__).parents[2] / "data" / "safety"
BREAK: Final = "‖"
"""Stands inside values that a scanner would take for live secrets."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A text, and what is in it.

    Attributes:
        name: File and id.
        kind: What it was written for.
        text: The text.
        expected: Kind and value of each finding; empty in a harmless text.
    """

    name: str
    kind: str
    text: str
    expected: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Score:
    """How the detectors do.

    Attributes:
        values: Values to find, by kind.
        found: Those found whole and named rightly, by kind.
        hidden: Those that a redaction takes out, whatever it calls them.
        texts: Harmless texts.
        missed: What was not found, in words.
        alarms: What was found in harmless texts, in words.
    """

    values: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    hidden: int = 0
    texts: int = 0
    missed: list[str] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)

    @property
    def recall(self) -> float:
        """Values found, 0 to 1."""
        return self.found.total() / self.values.total()

    @property
    def false_positives(self) -> float:
        """Harmless texts in which something was found, 0 to 1."""
        return len(self.alarms) / self.texts


def load(side: str) -> Iterator[Sample]:
    """Every sample of `positive` or `negative`."""
    for path in sorted(FOLDER.glob(f"{side}_*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row: dict[str, Any] = json.loads(line.replace(BREAK, ""))
            expected = tuple((kind, value) for kind, value in row.get("expect", []))
            yield Sample(f"{path.stem}/{row['id']}", row["kind"], row["text"], expected)


def score() -> Score:
    """Run the detectors over the corpus."""
    result = Score()
    for sample in load("positive"):
        found = detect(sample.text)
        for kind, value in sample.expected:
            start = sample.text.index(value)
            named = any(each.kind == kind and _covers(each, start, len(value)) for each in found)
            result.values[kind] += 1
            result.found[kind] += named
            result.hidden += any(_covers(each, start, len(value)) for each in found)
            if not named:
                result.missed.append(f"{sample.name}: {kind} in {sample.text!r}")
    for sample in load("negative"):
        result.texts += 1
        found = detect(sample.text)
        if found:
            result.alarms.append(f"{sample.name}: {[each.kind.value for each in found]} in {sample.text!r}")
    return result


def _covers(found: Found, start: int, size: int) -> bool:
    return found.start <= start and found.end >= start + size
