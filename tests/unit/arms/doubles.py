"""What the tests of arms share."""

from __future__ import annotations

import json
from typing import Any

from arms.arm import Answer, Arm
from arms.handler import Handler
from arms.model import Completion, ModelUnavailable
from arms.outcome import Outcomes
from arms.prices.price import FREE, Price
from arms.work import Work
from octolog.domain.assignment import AttemptAssignment, StepInput
from octolog.domain.ids import ArmId, AttemptId, TaskId
from octolog.domain.reports import ContextRecalled, ModelCallIntended, ResourceUsed, ResultStatus
from octolog.domain.values import NO_LIMITS, Limits


class RecordingMeter:
    """Keeps what a handler reports, in order."""

    def __init__(self) -> None:
        self.records: list[ModelCallIntended | ResourceUsed] = []
        self.warnings: list[str] = []
        self.recollections: list[ContextRecalled] = []

    async def intended(self, record: ModelCallIntended) -> None:
        self.records.append(record)

    def used(self, record: ResourceUsed) -> None:
        self.records.append(record)

    def warned(self, text: str) -> None:
        self.warnings.append(text)

    async def recalled(self, record: ContextRecalled) -> None:
        self.recollections.append(record)


def assignment(**fields: Any) -> AttemptAssignment:
    """An assignment with `context` and `inputs` given as Python values."""
    context = fields.pop("context", {})
    inputs = fields.pop("inputs", {})
    values: dict[str, Any] = {
        "root_task_id": TaskId("t"),
        "task_id": TaskId("t"),
        "attempt_id": AttemptId("a"),
        "number": 1,
        "arm_id": ArmId("arm"),
        "goal": "a goal",
        "constraints_json": "{}",
        "context_json": json.dumps(context),
        "acceptance_criteria": (),
        "inputs": tuple(StepInput(step_id, json.dumps(output)) for step_id, output in inputs.items()),
        "allowance": NO_LIMITS,
        "priority": 5,
        "assigned_ms": 0,
        "lease_ms": 30_000,
        "timeout_ms": 30_000,
        "security_policy": "default",
    }
    return AttemptAssignment(**(values | fields))


class ScriptedModel:
    """Answers with what it was told to, or is away."""

    name = "scripted"

    def __init__(self, text: str | None) -> None:
        self.text, self.prompts = text, list[str]()

    def price(self) -> Price:
        return FREE

    async def ask(self, prompt: str, *, system: str, max_tokens: int) -> Completion:
        self.prompts.append(prompt)
        if self.text is None:
            raise ModelUnavailable("away")
        return Completion(self.text, "scripted-1", 10, 5)


def run(arm: Arm, model: ScriptedModel | None = None, limits: Limits = NO_LIMITS, **fields: Any) -> Answer:
    given = assignment(arm_id=arm.arm_id, allowance=limits, **fields)
    answer = arm(Work(given, Handler(given, RecordingMeter()), model=model))
    assert isinstance(answer, Answer)
    result = Outcomes(arm).of(given, answer, Handler(given, RecordingMeter()), took_ms=1, ended_ms=1)
    assert result.status is ResultStatus.SUCCESS, result.error
    return answer
