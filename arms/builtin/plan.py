"""From a survey to a plan of at most ten steps: documents, examples and code side by side, then judge, then report."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import orjson

from arms.builtin.contexts import context_for
from arms.review import Batch, Survey
from octolog.domain.contract import Step
from octolog.domain.rules import MAX_PLANNED_STEPS

__all__ = ["JUDGE", "REPORT", "fresh", "plan_goal", "plan_review"]

JUDGE: Final = "judge"
REPORT: Final = "report"
_FEWEST_CLAUSES: Final = 2
MAX_WORK_STEPS: Final = MAX_PLANNED_STEPS - 2
# A step's context holds its paths; a record's free-form values end at 256 kB.
MAX_PATHS_BYTES: Final = 200_000
_MANY_BATCHES: Final = 4

_ACTIONS: Final = (
    ("code_analysis", r"code|refactor|debug|lint|function|module|class"),
    ("keyword_search", r"search|find|look up|gather|collect|retrieve|read|research|documents?"),
    ("python_execution", r"exec\w*|run|compute|calculate|script|command"),
    ("criteria_validation", r"validate|verify|check|judge|test|review|confirm"),
    ("pii_detection", r"safety|safe|personal|pii|secrets?|redact\w*|injection"),
)
"""Tags by what a clause says, the first that fits. Source: seed A's order of keywords."""

_CLAUSE: Final = re.compile(
    r"(?P<then>\s*(?:[,;.]?\s*\b(?:and\s+)?(?:then|after that|afterwards|finally|next)\b,?|->|→"
    r"|\n\s*\d+[.)]|^\s*\d+[.)])\s*)"
    r"|(?P<also>\s*(?:;|,?\s+and\s+also\b|\n\s*[-*•])\s*)",
    re.IGNORECASE,
)


def plan_review(root: str, survey: Survey, extra: Mapping[str, Any]) -> tuple[tuple[Step, ...], int]:
    """Share the survey's batches out over steps.

    Args:
        root: The folder.
        survey: What it holds.
        extra: Goes into the report step's context, e.g. a note of the planner's.

    Returns:
        The plan, and how many files found no place in it.
    """
    documents = [batch for batch in survey.batches if batch.kind == "documents"]
    code = [batch for batch in survey.batches if batch.kind == "code"]
    examples, reading, coding = _shares(len(documents), len(code))
    groups = [
        *(("documents", "keyword_search", group) for group in _split(documents, reading)),
        *(("examples", "python_execution", group) for group in _split(documents, examples)),
        *(("code", "code_analysis", group) for group in _split(code, coding)),
    ]
    steps: list[Step] = []
    dropped: set[str] = set()
    for number, (what, tag, group) in enumerate(groups, 1):
        paths, left = _fitting(path for batch in group for path in batch.paths)
        dropped.update(left)
        goal = f"Review {len(paths)} files of {root}: {what}"
        steps.append(_step(f"{what}-{number}", goal, tag, {"path": root, "paths": paths}))
    needs = tuple(step.step_id for step in steps)
    steps.append(_step(JUDGE, f"Verify the findings in {root}", "criteria_validation", {"path": root}, needs))
    context = {**extra, "path": root, "survey": _summary(survey, len(dropped))}
    steps.append(_step(REPORT, f"Report on {root}", "quality_assessment", context, (JUDGE,)))
    return tuple(steps), len(dropped)


def plan_goal(goal: str, context: Mapping[str, Any]) -> tuple[Step, ...]:
    """A goal in clauses as a plan: `then` and numbers make an order, `;` and bullets stand side by side.

    Args:
        goal: In words.
        context: Goes into every step, as far as it is meant for it; see `arms.builtin.contexts`.

    Returns:
        At most ten steps; fewer than two clauses, or a clause that names nothing an arm does, give none.

    Raises:
        Fail: INVALID_INPUT: the context says what is meant for which step, and not as it is to be said.
    """
    stages = _stages(goal)
    if sum(map(len, stages)) < _FEWEST_CLAUSES or sum(map(len, stages)) > MAX_PLANNED_STEPS:
        return ()
    found = [_tag(clause) for stage in stages for clause in stage]
    tags = [tag for tag in found if tag]
    if len(tags) < len(found):
        return ()
    given = {tag: context_for(tag, set(tags), context) for tag in dict.fromkeys(tags)}
    steps: list[Step] = []
    before: tuple[str, ...] = ()
    for stage in stages:
        made: list[Step] = []
        for clause in stage:
            place = len(steps) + len(made)
            tag = tags[place]
            made.append(_step(f"{place + 1}-{tag.replace('_', '-')}", clause, tag, given[tag], before))
        steps += made
        before = tuple(step.step_id for step in made)
    return tuple(steps)


def _tag(clause: str) -> str | None:
    found = (tag for tag, words in _ACTIONS if re.search(rf"\b(?:{words})\b", clause, re.IGNORECASE))
    return next(found, None)


def fresh(steps: tuple[Step, ...], taken: Iterable[str]) -> tuple[Step, ...]:
    """A plan whose names are none of those taken: `name`, `name.2`, `name.3`."""
    used, names = set(taken), dict[str, str]()
    for step in steps:
        number, name = 1, step.step_id
        while name in used:
            number += 1
            name = f"{step.step_id}.{number}"
        names[step.step_id] = name
        used.add(name)
    return tuple(
        replace(
            step,
            step_id=names[step.step_id],
            depends_on=tuple(names.get(need, need) for need in step.depends_on),
        )
        for step in steps
    )


def _stages(goal: str) -> list[list[str]]:
    stages: list[list[str]] = [[]]
    at, after_then = 0, False
    for found in [*_CLAUSE.finditer(goal), None]:
        clause = goal[at : len(goal) if found is None else found.start()].strip(" \t\n.,;:")
        if clause:
            if after_then and stages[-1]:
                stages.append([])
            stages[-1].append(clause)
            after_then = False
        if found is not None:
            at, after_then = found.end(), after_then or found["then"] is not None
    return [stage for stage in stages if stage]


def _shares(documents: int, code: int) -> tuple[int, int, int]:
    """Steps for examples, for documents and for code, given the batches of each."""
    examples = 0 if not documents else 2 if documents > _MANY_BATCHES else 1
    free = MAX_WORK_STEPS - examples
    if not documents:
        return 0, 0, min(code, free)
    reading = min(documents, max(1, round(free * documents / (documents + code))), free - (1 if code else 0))
    return examples, reading, min(code, free - reading)


def _split(batches: Sequence[Batch], count: int) -> list[Sequence[Batch]]:
    """Consecutive groups, as even as may be."""
    size = len(batches)
    return [batches[size * n // count : size * (n + 1) // count] for n in range(count)]


def _fitting(paths: Iterable[str]) -> tuple[list[str], list[str]]:
    kept: list[str] = []
    left: list[str] = []
    size_bytes = 0
    for path in paths:
        size_bytes += len(orjson.dumps(path)) + 1
        (kept if size_bytes <= MAX_PATHS_BYTES else left).append(path)
    return kept, left


def _summary(survey: Survey, dropped: int) -> dict[str, Any]:
    """The survey without its lists of paths, which are in the steps."""
    value: dict[str, Any] = survey.to_json() | {"batches": [], "tests": []}
    if dropped:
        value["skipped"] = value["skipped"] | {"beyond the plan": dropped}
    return value


def _step(
    step_id: str, goal: str, tag: str, context: Mapping[str, Any], depends_on: tuple[str, ...] = ()
) -> Step:
    context_json = orjson.dumps(context, option=orjson.OPT_SORT_KEYS).decode()
    return Step(step_id, goal, depends_on, required_capabilities=(tag,), context_json=context_json)
