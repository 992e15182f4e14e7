"""The planner: surveys a folder, or takes a goal in clauses apart, by rules; any other goal needs a model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import orjson

from arms.arm import Answer, Fail, Retry, arm
from arms.builtin.plan import fresh, plan_goal, plan_review
from arms.review import Survey, survey
from arms.work import Work
from octolog.domain.assignment import Feedback, FeedbackKind
from octolog.domain.contract import Step
from octolog.domain.errors import InvalidContract, Refused, Unavailable
from octolog.domain.rules import MAX_PLANNED_STEPS, check_plan

__all__ = ["planner"]

_FOLDER: Final = re.compile(r"\bfolder\s+[\"'`]?(?P<path>[^\"'`\n]+?)[\"'`]?[.\s]*\Z", re.IGNORECASE)
_DONE_CHARS: Final = 1_000
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
    description="Surveys a folder and plans its review; takes goals in clauses apart; plans other goals with a model.",
    capabilities=("task_planning", "goal_decomposition", "dependency_resolution"),
    cost_tier=2,
    timeout_seconds=120,
    max_concurrent_tasks=4,
    input_schema={"type": "object", "properties": {"path": {"type": "string"}}},
)
def planner(work: Work) -> Answer:
    """Plan the review of the folder in the context's `path`, or named at the end of the goal."""
    if work.feedback is not None and work.feedback.kind is FeedbackKind.REPLAN:
        return _again(work, work.feedback)
    clauses = () if "path" in work.context and work.model is not None else plan_goal(work.goal, work.context)
    if clauses and work.model is None:
        return _planned(clauses, None)
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


def _again(work: Work, told: Feedback) -> Answer:
    """Another plan, after a step failed for good: by the model, else what failed and what waited for it, once more."""
    if work.model is not None:
        return _decompose(work)
    first = plan_goal(work.goal, work.context)
    done = {step.step_id for step in told.done}
    left = tuple(step for step in first if step.step_id not in done and not _same_work_done(step, done))
    if not left:
        raise Fail(f"another plan needs a model; the last one failed: {told.message}", "MODEL_REQUIRED")
    return _planned(fresh(left, told.taken), None)


def _same_work_done(step: Step, done: set[str]) -> bool:
    """Whether an earlier plan did this step under a later name of it."""
    return any(name.startswith(f"{step.step_id}.") for name in done)


def _planned(steps: tuple[Step, ...], model: str | None) -> Answer:
    names = [step.step_id for step in steps]
    return Answer({"steps": names}, confidence=0.5, plan=steps, model_version=model)


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
        raise Fail(
            "the goal names no folder and no clauses that say search, run, code or check; a model could plan it",
            "MODEL_REQUIRED",
        )
    system = _DECOMPOSE.format(most=MAX_PLANNED_STEPS)
    told = work.feedback
    done = () if told is None else tuple(step.step_id for step in told.done)
    answer = work.wait(work.ask(_prompt(work.goal, told), system=system, max_tokens=2_000))
    try:
        steps = tuple(map(_step_of, orjson.loads(_inner_json(answer.text))))
        steps = fresh(steps, () if told is None else told.taken)
    except (ValueError, TypeError, KeyError) as error:
        raise Retry(f"the model's answer is no plan: {error}", "INVALID_OUTPUT") from error
    try:
        check_plan("plan", steps, MAX_PLANNED_STEPS, done=done)
    except InvalidContract as error:
        raise Retry(f"the model's answer is no plan: {error}", "INVALID_PLAN") from error
    if not steps:
        raise Retry("the model's answer is a plan without steps", "INVALID_OUTPUT")
    return _planned(steps, answer.model)


def _prompt(goal: str, told: Feedback | None) -> str:
    """The goal, and what became of the last plan."""
    if told is None:
        return goal
    if told.kind is FeedbackKind.PLAN_REFUSED:
        return f"{goal}\n\nYour last plan was refused: {told.message}"
    if told.kind is not FeedbackKind.REPLAN:
        return f"{goal}\n\nSaid since: {told.message}"
    listed = "\n".join(f"- {step.step_id}: {step.output[:_DONE_CHARS]}" for step in told.done) or "- nothing"
    return f"{goal}\n\nA step failed for good: {told.message}\nDone (new steps may depend on these by name):\n{listed}"


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
