"""The checks of what a service's answers may ask for; each is made where `uses` in `GET /arm` names it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final
from uuid import uuid4

import orjson

from arms.bridge.asked import Asked, asked_of
from arms.bridge.conformance.bench import Broken, Skipped, Stand
from arms.bridge.conformance.checks import Check
from arms.bridge.description import Sample
from arms.bridge.protocol import BadAnswer, ExecuteResponse, request_of
from octolog.domain.assignment import AttemptAssignment, Continuation, Feedback, FeedbackKind, Recovery
from octolog.domain.errors import InvalidContract
from octolog.domain.evaluator.recovery import MAX_SUBTASKS
from octolog.domain.ids import AttemptId, TaskId
from octolog.domain.operators import RecoveryKind
from octolog.domain.rules import MAX_PLANNED_STEPS, check_plan
from octolog.domain.values import TaskError, TaskErrorType

__all__ = ["ASKING"]

_TOO_LARGE: Final = TaskError(TaskErrorType.RESOURCE_EXHAUSTION, "the context is full", resource="context")


async def _plan(stand: Stand) -> str:
    _, found = await _shown(stand, "plan")
    asked = _asked(found)
    try:
        check_plan("plan", asked.plan, MAX_PLANNED_STEPS)
    except InvalidContract as broken:
        raise Broken(f"{broken.field}: {broken.message}") from None
    anyone = [step.step_id for step in asked.plan if not (step.assigned_arm or step.required_capabilities)]
    if anyone:
        raise Broken(f"step {anyone[0]} names neither required_capabilities nor an assigned_arm")
    return f"a plan of {len(asked.plan)} steps"


async def _operators(stand: Stand) -> str:
    sample = _sample(stand, "operators")
    recovery = Recovery(RecoveryKind.DECOMPOSITION, 1, _TOO_LARGE, sample.goal, "")
    _, found = await _shown(stand, "operators", recovery=recovery)
    return f"a program of {len(_asked(found).operators)} operators for a recovery by decomposition"


async def _subtask(stand: Stand) -> str:
    given, found = await _shown(stand, "subtask")
    content, count = _sample(stand, "subtask").content, 0
    while found.subtask is not None:
        count += 1
        if count > MAX_SUBTASKS:
            raise Broken(f"asks for more than {MAX_SUBTASKS} subtasks, one after the other")
        goal = _asked(found).subtask
        assert goal is not None  # noqa: S101 -- the loop's condition
        kept = orjson.dumps(found.continuation).decode()
        child = TaskId(f"{given.task_id}/subtask-{count}")
        told = Continuation(child, count, goal.goal, content, "{}", kept)
        given = _next(given, continuation=told)
        found = await _done(stand, given)
    return f"asked for {count} and went on with what it kept"


async def _question(stand: Stand) -> str:
    given, found = await _shown(stand, "question")
    approved = Feedback(FeedbackKind.APPROVED, 1, "yes")
    again = await _done(stand, _next(given, feedback=approved))
    if again.question == found.question:
        raise Broken(f"asks the same again after it was approved: {found.question[:80]!r}")
    return "asked, was approved, and went on"


async def _memories(stand: Stand) -> str:
    _, found = await _shown(stand, "memories")
    return f"{len(_asked(found).memories)} proposed"


def _sample(stand: Stand, use: str) -> Sample:
    named = stand.sample if stand.sample is not None and stand.sample.shows == use else None
    found = named or next((each for each in stand.described().samples if each.shows == use), None)
    if found is None:
        raise Skipped(f'no sample shows it: give one of the samples in GET /arm "shows": "{use}"')
    return found


async def _shown(stand: Stand, use: str, **more: Any) -> tuple[AttemptAssignment, ExecuteResponse]:
    """The attempt and its answer to the sample of a use, which asks for it."""
    given = stand.assignment(_sample(stand, use), **more)
    found = await _done(stand, given)
    if use not in found.asks:
        what = f"asks for {', '.join(found.asks)}" if found.asks else "asks for nothing"
        raise Broken(f"the answer to the sample that shows {use} {what}")
    _asked(found)
    return given, found


def _next(given: AttemptAssignment, **more: Any) -> AttemptAssignment:
    """Another attempt at the same task."""
    return replace(given, attempt_id=AttemptId(str(uuid4())), number=given.number + 1, **more)


async def _done(stand: Stand, given: AttemptAssignment) -> ExecuteResponse:
    return await stand.execute(request_of(given, stand.limit_s))


def _asked(found: ExecuteResponse) -> Asked:
    try:
        return asked_of(found)
    except BadAnswer as error:
        raise Broken(str(error)) from None


ASKING: Final[Mapping[str, tuple[str, Check]]] = MappingProxyType({
    "plan": ("plans", Check("answer with steps in the names of a contract; each says who can do it", _plan)),
    "operators": ("divides", Check('answer a "recovery" of kind DECOMPOSITION with a legal program', _operators)),
    "subtask": (
        "goes on after a subtask",
        Check('go on from "continuation": its content, and what you kept; do not ask the same again', _subtask),
    ),
    "question": ("asks a person", Check('go on when "feedback" is of kind APPROVED', _question)),
    "memories": ("proposes memories", Check("propose 1 to 16 texts of at most 8,000 characters", _memories)),
})  # fmt: skip
"""The check of each use, and its name."""
