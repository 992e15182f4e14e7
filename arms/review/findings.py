"""What a review says: findings that name a file, a line and the exact words there, and the files it read to say so.

Findings travel between arms as plain dicts with sorted keys, so the same folder always gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

__all__ = ["EVIDENCE_MAX_CHARS", "KINDS", "Finding", "Kind", "Review", "Severity", "finding_at"]

Severity = Literal["error", "warning", "note"]
Kind = Literal[
    "bare-except",
    "broken-anchor",
    "broken-link",
    "invalid-bash",
    "invalid-json",
    "invalid-toml",
    "invalid-yaml",
    "long-function",
    "missing-docstring",
    "missing-image",
    "mutable-default",
    "snippet-bash",
    "snippet-fails",
    "snippet-json",
    "snippet-python",
    "snippet-toml",
    "snippet-yaml",
    "swallowed-exception",
    "syntax-error",
    "todo-marker",
    "undefined-reference",
    "untested-function",
]

# Errors break what a reader or a machine does next; warnings hide trouble; notes are upkeep.
KINDS: Final[Mapping[Kind, tuple[Severity, str]]] = {
    "bare-except": ("warning", "Bare `except:` without a re-raise"),
    "broken-anchor": ("error", "Links to headings that do not exist"),
    "broken-link": ("error", "Links to files that do not exist"),
    "invalid-bash": ("error", "Shell scripts that do not parse"),
    "invalid-json": ("error", "JSON files that do not parse"),
    "invalid-toml": ("error", "TOML files that do not parse"),
    "invalid-yaml": ("error", "YAML files that do not parse"),
    "long-function": ("note", "Functions over 60 lines"),
    "missing-docstring": ("note", "Public names without a docstring"),
    "missing-image": ("error", "Images that do not exist"),
    "mutable-default": ("warning", "Mutable default arguments"),
    "snippet-bash": ("error", "Shell examples that do not parse"),
    "snippet-fails": ("error", "Python examples that fail when run"),
    "snippet-json": ("error", "JSON examples that do not parse"),
    "snippet-python": ("error", "Python examples that do not parse"),
    "snippet-toml": ("error", "TOML examples that do not parse"),
    "snippet-yaml": ("error", "YAML examples that do not parse"),
    "swallowed-exception": ("warning", "Exceptions swallowed without a word"),
    "syntax-error": ("error", "Python files that do not parse"),
    "todo-marker": ("note", "TODO and FIXME markers"),
    "undefined-reference": ("error", "Reference links without a definition"),
    "untested-function": ("note", "Public functions that no test names"),
}

# A generated or minified line can be a megabyte; a finding is one record on the log.
EVIDENCE_MAX_CHARS: Final = 400


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that is wrong, with its proof.

    Attributes:
        path: Relative to the reviewed root, with forward slashes.
        line: 1-based.
        kind: One of `KINDS`.
        message: What is wrong; the name or target it is about stands in the first backticks.
        evidence: The source line at `line`, exact, cut at `EVIDENCE_MAX_CHARS` characters.
        severity: Error, warning or note, as `KINDS` says.
    """

    path: str
    line: int
    kind: Kind
    message: str
    evidence: str
    severity: Severity

    def to_json(self) -> dict[str, Any]:
        """Give the finding as a plain dict with sorted keys."""
        return {
            "evidence": self.evidence,
            "kind": self.kind,
            "line": self.line,
            "message": self.message,
            "path": self.path,
            "severity": self.severity,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Finding:
        """Read what `to_json` wrote.

        Raises:
            ValueError: A field is missing, of the wrong type, or names no kind or severity we know.
        """
        try:
            finding = cls(**{name: value[name] for name in cls.__slots__})
        except KeyError as error:
            raise ValueError(f"a finding needs the field {error.args[0]!r}") from error
        texts = (finding.path, finding.message, finding.evidence)
        if (
            type(finding.line) is not int
            or finding.line < 1
            or not all(isinstance(text, str) for text in texts)
        ):
            raise ValueError("a finding needs a line of at least 1 and text for path, message and evidence")
        if finding.kind not in KINDS or finding.severity not in get_args(Severity):
            raise ValueError(f"no such finding: kind {finding.kind!r}, severity {finding.severity!r}")
        return finding


def finding_at(kind: Kind, path: str, lines: list[str], line: int, message: str) -> Finding:
    """Cite `line` (1-based, moved into the file when a parser points past its end) of a file split into lines."""
    line = min(max(line, 1), max(len(lines), 1))
    evidence = lines[line - 1][:EVIDENCE_MAX_CHARS] if lines else ""
    return Finding(path, line, kind, message, evidence, KINDS[kind][0])


@dataclass(frozen=True, slots=True)
class Review:
    """What one step of the review found and every file it read to find it.

    Attributes:
        findings: Sorted by path, line, kind, message; no duplicates.
        files_read: The data sources, relative to the root, sorted.
    """

    findings: tuple[Finding, ...]
    files_read: tuple[str, ...]

    @classmethod
    def of(cls, findings: Iterable[Finding], files_read: Iterable[str]) -> Review:
        """Sort and remove duplicates, so that equal input gives equal reviews."""
        return cls(tuple(sorted(set(findings))), tuple(sorted(set(files_read))))

    def to_json(self) -> dict[str, Any]:
        """Give the review as a plain dict with sorted keys."""
        return {
            "files_read": list(self.files_read),
            "findings": [finding.to_json() for finding in self.findings],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Review:
        """Read what `to_json` wrote.

        Raises:
            ValueError: As `Finding.from_json`.
        """
        return cls.of(map(Finding.from_json, value["findings"]), map(str, value["files_read"]))
