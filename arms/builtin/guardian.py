"""The guardian: finds personal data, secrets and injected instructions, says how grave they are, takes them out.

What comes through the log was redacted before it got there; the guardian is for what did not: files that a task is
about to read, an answer of a model, a text that only its place says is harmless. It needs no model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from arms.arm import Answer, Fail, arm
from arms.builtin.bounded import context_paths
from arms.review.sources import read
from arms.work import Work
from octolog.safety import (
    SECRETS,
    Severity,
    Style,
    detect,
    find_injections,
    redact,
)

__all__ = ["INPUT", "check", "guardian"]

MAX_TEXT_CHARS: Final = 50_000
MAX_ISSUES: Final = 500
_TYPES: Final = ("pii", "content", "policy", "secrets")
_MAX_DENIED: Final = 200
_REMOVED: Final = "[REMOVED_INSTRUCTION]"
INPUT: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "block_on_high": {"type": "boolean"},
        "denied_terms": {
            "type": "array",
            "items": {"type": "string", "minLength": 1},
            "maxItems": _MAX_DENIED,
        },
        "path": {"type": "string"},
        "paths": {"type": "array", "items": {"type": "string"}},
        "redact": {"type": "boolean"},
        "style": {"enum": [style.value for style in Style]},
        "text": {"type": "string", "minLength": 1, "maxLength": MAX_TEXT_CHARS},
        "types": {"type": "array", "items": {"enum": [*_TYPES, "all"]}},
    },
}
_OUTPUT: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": ["safe", "risk", "issues", "blocked", "checks"],
    "properties": {
        "blocked": {"type": "boolean"},
        "checks": {"type": "object"},
        "issues": {"type": "array"},
        "issues_left_out": {"type": "integer"},
        "risk": {"enum": ["none", "low", "medium", "high", "critical"]},
        "safe": {"type": "boolean"},
        "sanitized_text": {"type": "string"},
    },
}


class Issue(NamedTuple):
    """Something found. The value itself is never kept.

    Attributes:
        type: pii, secrets, content or policy.
        kind: What it is, e.g. `ssn`, `ignore_instructions`.
        severity: How grave it is.
        start: First character.
        end: One after the last.
        lowered_by: Why an instruction counts less: quoted, negated, academic, testing, embedded.
    """

    type: str
    kind: str
    severity: Severity
    start: int
    end: int
    lowered_by: tuple[str, ...] = ()


@arm(
    "guardian",
    name="Guardian",
    description="Finds personal data, secrets and injected instructions in texts and files, and takes them out.",
    capabilities=(
        "pii_detection",
        "secret_detection",
        "content_filtering",
        "input_sanitization",
        "output_redaction",
    ),
    timeout_seconds=60,
    max_concurrent_tasks=4,
    input_schema=INPUT,
    output_schema=_OUTPUT,
)
def guardian(work: Work) -> Answer:
    """Check the context's `text`, else the files in `path` and `paths`, else what earlier steps gave, else the goal."""
    context = work.context
    types = _types(context)
    if "text" not in context and "path" in context:
        return _files(work, types)
    text = _text(work)
    issues = check(text, types, _denied(context))
    output = _verdict([(issue, _line(text, issue.start), None) for issue in issues], types, context)
    if context.get("redact", True) is True:
        output["sanitized_text"] = _sanitized(text, issues, types, context)
    return Answer(output, confidence=0.95, tests_passed=tuple(f"{name}-checked" for name in types))


def check(text: str, types: Iterable[str] = _TYPES, denied: Iterable[str] = ()) -> list[Issue]:
    """What is in a text, in order.

    Args:
        text: Any text.
        types: Which checks: pii, secrets, content, policy.
        denied: Terms that the policy does not allow, in any case.
    """
    wanted = set(types)
    issues: list[Issue] = []
    if wanted & {"pii", "secrets"}:
        for found in detect(text):
            kind = "secrets" if found.kind in SECRETS else "pii"
            if kind in wanted:
                issues.append(Issue(kind, found.kind.value, found.severity, found.start, found.end))
    if "content" in wanted:
        for like in find_injections(text):
            # Injected text is high at most: it asks for harm, where a leaked secret is harm already (seed A).
            severity = min(like.severity, Severity.HIGH)
            issues.append(Issue("content", like.pattern, severity, like.start, like.end, like.lowered_by))
    if "policy" in wanted:
        issues += _against_policy(text, denied)
    return sorted(issues, key=lambda issue: (issue.start, issue.end))


def _against_policy(text: str, denied: Iterable[str]) -> Iterable[Issue]:
    lower = text.lower()
    for term in denied:
        at = lower.find(term.lower())
        while at >= 0:
            yield Issue("policy", "denied_term", Severity.HIGH, at, at + len(term))
            at = lower.find(term.lower(), at + len(term))


def _types(context: Mapping[str, Any]) -> tuple[str, ...]:
    asked = context.get("types", ["all"])
    if not isinstance(asked, list) or not asked or not set(map(str, asked)) <= {*_TYPES, "all"}:
        raise Fail(f"`types` must be a list of {', '.join(_TYPES)} or all", "INVALID_INPUT")
    return _TYPES if "all" in asked else tuple(name for name in _TYPES if name in asked)


def _denied(context: Mapping[str, Any]) -> list[str]:
    terms = context.get("denied_terms", [])
    if not isinstance(terms, list) or len(terms) > _MAX_DENIED or not all(map(str, terms)):
        raise Fail(f"`denied_terms` must be a list of at most {_MAX_DENIED} words", "INVALID_INPUT")
    return [str(term) for term in terms]


def _text(work: Work) -> str:
    text = work.context.get("text")
    if text is None and work.inputs:
        text = orjson.dumps(work.inputs, option=orjson.OPT_INDENT_2).decode()
    text = work.goal if text is None else text
    if not isinstance(text, str) or not 1 <= len(text) <= MAX_TEXT_CHARS:
        raise Fail(f"`text` needs 1 to {MAX_TEXT_CHARS} characters", "INVALID_INPUT")
    return text


def _files(work: Work, types: tuple[str, ...]) -> Answer:
    root, paths = context_paths(work)
    issues: list[tuple[Issue, int, str | None]] = []
    seen: list[str] = []
    for path in paths:
        source = read(Path(root), path)
        if source is None:
            continue
        seen.append(path)
        found = check(source.text, types, _denied(work.context))
        issues += [(issue, _line(source.text, issue.start), path) for issue in found]
    output = _verdict(issues, types, work.context) | {
        "files_read": len(seen),
        "files_skipped": len(paths) - len(seen),
    }
    return Answer(
        output,
        confidence=0.95,
        data_sources=tuple(seen),
        tests_passed=tuple(f"{name}-checked" for name in types),
    )


def _verdict(
    issues: list[tuple[Issue, int, str | None]], types: tuple[str, ...], context: Mapping[str, Any]
) -> dict[str, Any]:
    risk = max((issue.severity for issue, _, _ in issues), default=Severity.NONE)
    by_type = Counter(issue.type for issue, _, _ in issues)
    listed = sorted(issues, key=lambda each: -each[0].severity)[:MAX_ISSUES]
    return {
        "safe": risk <= Severity.LOW,
        "risk": risk.name.lower(),
        "blocked": context.get("block_on_high", True) is True and risk >= Severity.HIGH,
        "checks": {name: by_type[name] for name in types},
        "by_kind": dict(sorted(Counter(issue.kind for issue, _, _ in issues).items())),
        "issues": [_shown(*each) for each in listed],
        "issues_left_out": len(issues) - len(listed),
    }


def _shown(issue: Issue, line: int, path: str | None) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "type": issue.type,
        "kind": issue.kind,
        "severity": issue.severity.name.lower(),
        "line": line,
        "start": issue.start,
        "end": issue.end,
    }
    if issue.lowered_by:
        shown["lowered_by"] = list(issue.lowered_by)
    return shown if path is None else {"path": path, **shown}


def _sanitized(text: str, issues: list[Issue], types: tuple[str, ...], context: Mapping[str, Any]) -> str:
    """The text without grave instructions and denied terms, then without personal data and secrets."""
    try:
        style = Style(context.get("style", Style.MASK))
    except ValueError:
        raise Fail(f"`style` must be one of {', '.join(Style)}", "INVALID_INPUT") from None
    parts, at = [], 0
    for issue in issues:
        if issue.type in {"content", "policy"} and issue.severity >= Severity.HIGH and issue.start >= at:
            parts += [text[at : issue.start], _REMOVED if issue.type == "content" else "[DENIED_TERM]"]
            at = issue.end
    cleaned = "".join([*parts, text[at:]])
    return redact(cleaned, style).text if set(types) & {"pii", "secrets"} else cleaned


def _line(text: str, start: int) -> int:
    return text.count("\n", 0, start) + 1
