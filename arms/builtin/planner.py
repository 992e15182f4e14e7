"""The planner: surveys a folder and answers with a plan; any other goal needs a model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import orjson

from arms.arm import Answer, Fail, Retry, arm
from arms.builtin.plan import plan_review
from arms.review import Survey, survey
from arms.work import Work
from octolog.domain.contract import Step
from octolog.domain.errors import InvalidContract, Refused, Unavailable
from octolog.domain.rules import MAX_PLANNED_STEPS, check_plan

__all__ = ["planner"]

_FOLDER: Final = re.compile(r"\bfolder\s+[\"'`]?(?P<path>[^\"'`\n]+?)[\"'`]?[.\s]*\Z", re.IGNORECASE)
_FOCUS: Final = (
    "You plan the review of a folder of documents and code. In at most three sentences, say what the reviewer "
    "should look at first and why. Use only the figures given."
)
_DECOMPOSE: Final = (
    "Break the goal into at most {most} steps. Answer with a JSON array and nothing else; each element is "
    '{{"step_id": "short-name", "goal": "...", "depends_on": ["earlier-step"], "capabilities": ["tag"]}}. '
    "Tags: keyword_search, python_execution, code_analysis, criteria_validation, quality_assessment."
)


@arm(
    "planner",
    name="Planner",
    description="Surveys a folder and plans its review; decomposes other goals with a model.",
    capabilities=("task_planning", "goal_decomposition", "dependency_resolution"),
    cost_tier=2,
    timeout_seconds=120,
    max_concurrent_tasks=4,
    input_schema={"type": "object", "properties": {"path": {"type": "string"}}},
)
def planner(work: Work) -> Answer:
    """Plan the review of the folder in the context's `path`, or named at the end of the goal."""
    found = _FOLDER.search(work.goal)
    path = work.context.get("path") or (found and found["path"])
    if path is None:
        return _decompose(work)
    if not isinstance(path, str) or not Path(path).is_dir():
        raise Fail(f"{path!r} is not a folder on this machine; give `path` in the context", "NOT_FOUND")
    root = str(Path(path).resolve())
    seen = survey(root)
    if not seen.batches:
        raise Fail(f"{root} holds no document and no code that can be reviewed", "NOT_FOUND")
    advice = _focus(work, seen)
    steps, dropped = plan_review(root, seen, advice)
    output = {**advice, "files_beyond_plan": dropped, "path": root, "steps": [step.step_id for step in steps]}
    return Answer(output | {"files_total": seen.files_total}, data_sources=(root,), plan=steps)


def _focus(work: Work, seen: Survey) -> dict[str, str]:
    """What the model says to look at first; a note when it could not be asked."""
    if work.model is None:
        return {}
    figures = {name: value for name, value in seen.to_json().items() if name not in {"batches", "tests"}}
    prompt = f"Goal: {work.goal}\nSurvey: {orjson.dumps(figures).decode()}"
    try:
        answer = work.wait(work.ask(prompt, system=_FOCUS, max_tokens=200))
    except (Refused, Unavailable) as error:
        return {"note": f"planned without the model: {error}"}
    return {"focus": answer.text.strip()[:1_000]}


def _decompose(work: Work) -> Answer:
    if work.model is None:
        raise Fail("the goal names no folder, and decomposing any other goal needs a model", "MODEL_REQUIRED")
    system = _DECOMPOSE.format(most=MAX_PLANNED_STEPS)
    answer = work.wait(work.ask(work.goal, system=system, max_tokens=2_000))
    try:
        steps = tuple(map(_step_of, orjson.loads(_inner_json(answer.text))))
        check_plan("plan", steps, MAX_PLANNED_STEPS)
    except (InvalidContract, ValueError, TypeError, KeyError) as error:
        raise Retry(f"the model's answer is no plan: {error}", "INVALID_OUTPUT") from error
    if not steps:
        raise Retry("the model's answer is a plan without steps", "INVALID_OUTPUT")
    return Answer(
        {"steps": [step.step_id for step in steps]}, confidence=0.5, plan=steps, model_version=answer.model
    )


def _inner_json(text: str) -> str:
    """The array inside whatever the model wrapped it in."""
    start, end = text.find("["), text.rfind("]")
    return text[start : end + 1] if 0 <= start < end else text


def _step_of(value: dict[str, Any]) -> Step:
    return Step(
        str(value["step_id"]),
        str(value["goal"]),
        tuple(map(str, value.get("depends_on", ()))),
        required_capabilities=tuple(map(str, value.get("capabilities", ()))),
    )
