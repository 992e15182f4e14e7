"""The judge's work: read the cited line again and reach the same conclusion by another route, or refute it.

The finders use a Markdown parser and syntax trees; the judge uses folder listings, regular expressions over raw text
and the tokenizer. What both say is what a reader can trust.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from arms.review import reread, reread_python
from arms.review.findings import EVIDENCE_MAX_CHARS, Finding, Kind
from arms.review.sources import Source, is_test, kind_of, list_files, read

__all__ = ["Refuted", "Verdict", "verify_findings"]


@dataclass(frozen=True, slots=True, order=True)
class Refuted:
    """A finding that did not hold, and why."""

    finding: Finding
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Give the refutation as a plain dict with sorted keys."""
        return {"finding": self.finding.to_json(), "reason": self.reason}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Refuted:
        """Read what `to_json` wrote.

        Raises:
            ValueError: As `Finding.from_json`.
        """
        return cls(Finding.from_json(value["finding"]), str(value["reason"]))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the judge says of a set of findings; both lists sorted.

    Attributes:
        files_read: The data sources: the cited files and those the proof needed, relative to the root, sorted.
    """

    confirmed: tuple[Finding, ...]
    refuted: tuple[Refuted, ...]
    files_read: tuple[str, ...]

    @property
    def confidence(self) -> float:
        """Confirmed over all, 0 to 1; 1 when there was nothing to judge."""
        total = len(self.confirmed) + len(self.refuted)
        return len(self.confirmed) / total if total else 1.0

    def to_json(self) -> dict[str, Any]:
        """Give the verdict as a plain dict with sorted keys."""
        return {
            "confidence": self.confidence,
            "confirmed": [finding.to_json() for finding in self.confirmed],
            "files_read": list(self.files_read),
            "refuted": [refuted.to_json() for refuted in self.refuted],
        }


def verify_findings(root: Path | str, findings: Iterable[Finding]) -> Verdict:
    """Judge findings against what is on disk now.

    Args:
        root: The folder they are about; nothing outside it is opened.
        findings: From any finder; duplicates count once.
    """
    bench = _Bench(Path(root))
    confirmed: list[Finding] = []
    refuted: list[Refuted] = []
    for finding in sorted(set(findings)):
        reason = _refute(bench, finding)
        if reason:
            refuted.append(Refuted(finding, reason))
        else:
            confirmed.append(finding)
    files_read = sorted(path for path, source in bench.sources.items() if source)
    return Verdict(tuple(confirmed), tuple(refuted), tuple(files_read))


@dataclass(slots=True)
class _Bench:
    """What the judge has opened: each file, folder and test suite once per call."""

    root: Path
    sources: dict[str, Source | None] = field(default_factory=dict)
    folders: dict[str, frozenset[str]] = field(default_factory=dict)
    words: frozenset[str] | None = None

    def source(self, path: str) -> Source | None:
        if path not in self.sources:
            self.sources[path] = read(self.root, path)
        return self.sources[path]

    def names_in(self, folder: str) -> frozenset[str]:
        if folder not in self.folders:
            try:
                self.folders[folder] = frozenset(os.listdir(self.root / folder))  # noqa: PTH208 -- names are all
            except OSError:
                self.folders[folder] = frozenset()
        return self.folders[folder]

    def is_listed(self, path: str) -> bool:
        parts = [part for part in path.split("/") if part not in {"", "."}]
        return all(name in self.names_in("/".join(parts[:depth])) for depth, name in enumerate(parts))

    def words_in_tests(self) -> frozenset[str]:
        if self.words is None:
            tests = [path for path in list_files(self.root) if kind_of(path) == "python" and is_test(path)]
            texts = (source.text for path in tests if (source := self.source(path)))
            self.words = frozenset(word for text in texts for word in reread.words(text))
        return self.words


def _refute(bench: _Bench, finding: Finding) -> str:
    """Give the reason why a finding does not hold; empty when it does."""
    source = bench.source(finding.path)
    if source is None:
        return "the file is not there, or cannot be read"
    if finding.line > len(source.lines):
        return f"the file has {len(source.lines)} lines"
    if source.lines[finding.line - 1][:EVIDENCE_MAX_CHARS] != finding.evidence:
        return "the line does not say what the finding quotes"
    subject = reread.subject(finding.message)
    if not subject:
        return "the finding names nothing that could be checked"
    return _CHECKS[finding.kind](bench, source, finding.line, subject)


def _refute_link(bench: _Bench, source: Source, line: int, target: str) -> str:
    if not reread.shows_target(source, line, target):
        return "the target is not written there as a link"
    path = reread.resolve(source.path, target)
    if path is None:
        return "the target is outside the folder under review"
    return "the target exists" if bench.is_listed(path) else ""


def _refute_anchor(bench: _Bench, source: Source, line: int, target: str) -> str:
    if not reread.shows_target(source, line, target):
        return "the target is not written there as a link"
    path = reread.resolve(source.path, target)
    other = bench.source(path) if path else None
    if other is None:
        return "the document that should hold the anchor cannot be read"
    return "the anchor exists" if reread.offers_anchor(other.text, target.partition("#")[2]) else ""


def _refute_untested(bench: _Bench, source: Source, line: int, name: str) -> str:
    if not reread_python.defines(source.lines[line - 1], name):
        return "the line does not define it"
    return "a test mentions it" if name in bench.words_in_tests() else ""


def _from_text(check: Callable[[Source, int, str], str]) -> Callable[[_Bench, Source, int, str], str]:
    return lambda _bench, source, line, subject: check(source, line, subject)


_CHECKS: Final[Mapping[Kind, Callable[[_Bench, Source, int, str], str]]] = {
    "bare-except": _from_text(reread_python.refute_bare_except),
    "broken-anchor": _refute_anchor,
    "broken-link": _refute_link,
    "invalid-bash": _from_text(reread.refute_unparsable),
    "invalid-json": _from_text(reread.refute_unparsable),
    "invalid-toml": _from_text(reread.refute_unparsable),
    "invalid-yaml": _from_text(reread.refute_unparsable),
    "long-function": _from_text(reread_python.refute_long),
    "missing-docstring": _from_text(reread_python.refute_docstring),
    "missing-image": _refute_link,
    "mutable-default": _from_text(reread_python.refute_mutable),
    "snippet-bash": _from_text(reread.refute_snippet),
    "snippet-fails": _from_text(reread.refute_failing),
    "snippet-json": _from_text(reread.refute_snippet),
    "snippet-python": _from_text(reread.refute_snippet),
    "snippet-toml": _from_text(reread.refute_snippet),
    "snippet-yaml": _from_text(reread.refute_snippet),
    "swallowed-exception": _from_text(reread_python.refute_swallowed),
    "syntax-error": _from_text(reread_python.refute_syntax),
    "todo-marker": _from_text(reread.refute_marker),
    "untested-function": _refute_untested,
    "undefined-reference": _from_text(reread.refute_reference),
}
