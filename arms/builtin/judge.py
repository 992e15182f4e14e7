"""The judge: holds results against their criteria; reads findings again by another route, and reports what held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import orjson

from arms.arm import Answer, Fail, arm
from arms.builtin.bounded import bounded, context_root, counts
from arms.builtin.plan import JUDGE
from arms.judging.judging import hold
from arms.review import Finding, Refuted, Survey, report, verify_findings
from arms.work import Work
from octolog.domain.errors import Refused, Unavailable

__all__ = ["judge"]

_CONFIRMED_BYTES: Final = 180_000
_REFUTED_BYTES: Final = 40_000
_SUMMARY: Final = (
    "You summarise a review of documents and code for its owner. In at most five sentences, say what matters most "
    "and what to mend first. Use only the findings given."
)


@arm(
    "judge",
    name="Judge",
    description="Holds results against acceptance criteria, schemas and sources, by rules and with a model for what no "
    "rule can check; verifies findings by a second reading and reports what held.",
    capabilities=("criteria_validation", "fact_checking", "quality_assessment", "schema_validation"),
    cost_tier=2,
    timeout_seconds=300,
    max_concurrent_tasks=2,
)
def judge(work: Work) -> Answer:
    """Hold a result against its acceptance criteria; verify findings among the inputs; report on a verdict."""
    if "survey" in work.context:
        return _report(work)
    if work.context.get("judge") == "criteria":
        return hold(work, work.inputs["result"])
    if "output" in work.context:
        return hold(work, work.context["output"])
    if "path" not in work.context and work.inputs:
        given = list(work.inputs.values())
        return hold(work, given[0] if len(given) == 1 else work.inputs)
    return _verify(work)


def _verify(work: Work) -> Answer:
    root = context_root(work.context)
    found: list[Finding] = []
    left_out = 0
    for step_id, output in work.inputs.items():
        if not isinstance(output, Mapping) or "findings" not in output:
            raise Fail(f"input {step_id} holds no findings", "INVALID_INPUT")
        found += _findings(step_id, output["findings"])
        left_out += int(output.get("left_out", 0))
    verdict = verify_findings(root, found)
    confirmed, confirmed_left = bounded(verdict.confirmed, _CONFIRMED_BYTES)
    refuted, refuted_left = bounded(verdict.refuted, _REFUTED_BYTES)
    output = {
        "by_kind": counts(verdict.confirmed),
        "by_severity": dict(sorted(Counter(finding.severity for finding in verdict.confirmed).items())),
        "confidence": verdict.confidence,
        "confirmed": confirmed,
        "confirmed_total": len(verdict.confirmed),
        "left_out": left_out,
        "refuted": refuted,
        "refuted_total": len(verdict.refuted),
        "unlisted": confirmed_left + refuted_left,
    }
    return Answer(output, verdict.confidence, verdict.files_read, ("second-reading",))


def _findings(step_id: str, values: Any) -> list[Finding]:
    try:
        return [Finding.from_json(value) for value in values]
    except (ValueError, TypeError) as error:
        raise Fail(f"input {step_id}: {error}", "INVALID_INPUT") from error


def _report(work: Work) -> Answer:
    verdict = work.inputs.get(JUDGE)
    if not isinstance(verdict, Mapping):
        raise Fail(f"the report needs the output of step {JUDGE!r}", "INVALID_INPUT")
    survey = Survey.from_json(work.context["survey"])
    confirmed = [Finding.from_json(value) for value in verdict["confirmed"]]
    refuted = [Refuted.from_json(value) for value in verdict["refuted"]]
    summary = _summary(work, confirmed)
    page = report(survey, confirmed, refuted)
    parts = [summary["summary"] + "\n"] if "summary" in summary else []
    missing = verdict["left_out"] + verdict["unlisted"]
    if missing:
        parts.append(
            f"{missing:,} more findings were made and are not listed: a record holds only so many.\n"
        )
    title, _, rest = page.partition("\n")
    totals = {
        "by_kind": verdict["by_kind"],
        "by_severity": verdict["by_severity"],
        "confirmed": verdict["confirmed_total"],
        "files_reviewed": sum(count for _, count in survey.by_kind),
        "files_total": survey.files_total,
        "left_out": verdict["left_out"],
        "refuted": verdict["refuted_total"],
    }
    output = {**summary, "report": "\n".join([title, "", *parts]) + rest, "totals": totals}
    return Answer(output, confidence=verdict["confidence"], data_sources=(work.context["path"],))


def _summary(work: Work, confirmed: list[Finding]) -> dict[str, str]:
    """The model's summary; a note when it could not be asked."""
    if work.model is None or not confirmed:
        return {}
    first = sorted(confirmed, key=lambda finding: (finding.severity != "error", finding))[:20]
    told = [f"{finding.path}:{finding.line} {finding.kind}: {finding.message}"[:200] for finding in first]
    prompt = f"Findings by kind: {orjson.dumps(counts(confirmed)).decode()}\nSome of them:\n" + "\n".join(
        told
    )
    try:
        answer = work.wait(work.ask(prompt, system=_SUMMARY, max_tokens=300))
    except (Refused, Unavailable) as error:
        return {"note": f"reported without the model: {error}"}
    return {"summary": answer.text.strip()[:2_000]}
