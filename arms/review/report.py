"""The reviewed folder in one Markdown page: what was looked at, what is wrong and where, what the judge threw out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

from arms.review.findings import KINDS, Finding, Kind, Severity
from arms.review.survey import Survey
from arms.review.verify import Refuted

__all__ = ["FILES_MAX", "PER_FILE_MAX", "report"]

# A page people read; every finding is on the log.
FILES_MAX: Final = 100
PER_FILE_MAX: Final = 20
_QUOTE_MAX_CHARS: Final = 120
_RANK: Final[dict[Severity, int]] = {"error": 0, "warning": 1, "note": 2}


def report(survey: Survey, confirmed: Iterable[Finding], refuted: Iterable[Refuted]) -> str:
    """Write the report; the same input gives the same text.

    Args:
        survey: What the folder holds.
        confirmed: What the judge confirmed: reported in full up to `FILES_MAX` files and `PER_FILE_MAX` findings each,
            files with errors first.
        refuted: What it did not: counted by reason.
    """
    kept = sorted(set(confirmed))
    dropped = sorted(set(refuted))
    parts = [*_head(survey, kept, dropped), *_totals(kept), *_by_file(kept), *_dropped(dropped)]
    return "\n".join(parts).rstrip() + "\n"


def _head(survey: Survey, kept: Sequence[Finding], dropped: Sequence[Refuted]) -> Iterator[str]:
    reviewed = sum(count for _kind, count in survey.by_kind)
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in survey.by_kind) or "none"
    total = len(kept) + len(dropped)
    yield "# Review\n"
    yield f"{reviewed:,} of {survey.files_total:,} files reviewed ({kinds}; {survey.size_bytes:,} bytes)."
    if survey.skipped:
        yield "Left out: " + ", ".join(f"{count:,} {reason}" for reason, count in survey.skipped) + "."
    share = f" ({len(kept) / total:.1%})" if total else ""
    yield f"{total:,} findings, {len(kept):,} confirmed by a second reading{share}, {len(dropped):,} refuted.\n"


def _totals(kept: Sequence[Finding]) -> Iterator[str]:
    if not kept:
        yield "Nothing is wrong that this review can prove.\n"
        return
    counts: dict[Kind, int] = {}
    for finding in kept:
        counts[finding.kind] = counts.get(finding.kind, 0) + 1
    yield "| severity | what | findings |"
    yield "|---|---|---:|"
    rows: list[tuple[int, int, Kind]] = [
        (_RANK[KINDS[kind][0]], -count, kind) for kind, count in counts.items()
    ]
    for _rank, _count, kind in sorted(rows):
        severity, title = KINDS[kind]
        yield f"| {severity} | {title} | {counts[kind]:,} |"
    yield ""


def _by_file(kept: Sequence[Finding]) -> Iterator[str]:
    files = [(path, list(found)) for path, found in groupby(kept, key=lambda finding: finding.path)]
    files.sort(key=lambda each: (min(_RANK[finding.severity] for finding in each[1]), each[0]))
    for path, findings in files[:FILES_MAX]:
        yield f"## {_escape(path)}\n"
        shown = sorted(findings, key=lambda finding: (_RANK[finding.severity], finding))[:PER_FILE_MAX]
        for finding in sorted(shown):
            yield f"- {_code(f'{path}:{finding.line}')} **{finding.severity}** {finding.kind}: {finding.message}"
            quote = finding.evidence.strip()
            if quote:
                yield f"  {_code(quote[:_QUOTE_MAX_CHARS] + ('…' if len(quote) > _QUOTE_MAX_CHARS else ''))}"
        if len(findings) > len(shown):
            yield f"- and {len(findings) - len(shown):,} more in this file"
        yield ""
    left = files[FILES_MAX:]
    if left:
        yield f"And {sum(len(found) for _path, found in left):,} findings in {len(left):,} more files.\n"


def _dropped(dropped: Sequence[Refuted]) -> Iterator[str]:
    if not dropped:
        return
    yield "## Refuted by the second reading\n"
    for (kind, reason), count in sorted(
        Counter((each.finding.kind, each.reason) for each in dropped).items()
    ):
        yield f"- {kind}: {_escape(reason)} ({count:,})"


def _code(text: str) -> str:
    """Quote text as Markdown code, whatever backticks it holds."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {text} {fence}" if longest else f"`{text}`"


def _escape(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>])", r"\\\1", text)
