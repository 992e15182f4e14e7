"""An attempt of the template arm, as its host runs it, against a server that answers from a script."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from arms.arm import Arm
from arms.builtin.template import make_template
from arms.chat.tools import Tool
from arms.handler import Handler
from arms.model import ModelSettings, OpenAIModel
from arms.outcome import Outcomes
from arms.work import Work
from octolog.domain.assignment import Continuation
from octolog.domain.ids import TaskId
from octolog.domain.reports import ExecutionResult
from octolog.domain.rules import check_report
from octolog.domain.values import TaskError
from tests.unit.arms.doubles import RecordingMeter, assignment
from tests.unit.arms.model_server import Says, Script, Server, serving

pytest.importorskip("pydantic_ai.models.openai", reason="the extra `model` is not installed")


@dataclass
class Ran:
    """What an attempt came to."""

    result: ExecutionResult
    meter: RecordingMeter
    handler: Handler
    server: Server

    @property
    def output(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.result.output)
        return found

    @property
    def error(self) -> TaskError:
        assert self.result.task_error is not None
        return self.result.task_error

    def calls(self, kind: type[Any]) -> int:
        return sum(isinstance(record, kind) for record in self.meter.records)


def run(
    script: Script | Sequence[Says],
    made: Arm | None = None,
    meter: RecordingMeter | None = None,
    **fields: Any,
) -> Ran:
    """One attempt of the template arm, as its host runs it."""
    said = iter(script) if isinstance(script, Sequence) else None
    given, meter, made = assignment(**fields), meter or RecordingMeter(), made or make_template()
    with serving(script if callable(script) else lambda _: next(said or iter(()))) as server:
        model = OpenAIModel(ModelSettings(server.url, "tiny"))
        handler = Handler(given, meter, config=made.config.under(given))
        outcomes = Outcomes(made)

        async def attempt() -> ExecutionResult:
            try:
                value = await made(Work(given, handler, model=model))
            except Exception as error:  # noqa: BLE001 -- as the host does
                return outcomes.of_error(given, error, handler, took_ms=1, ended_ms=1)
            finally:
                await model.close()
            return outcomes.of(given, value, handler, took_ms=1, ended_ms=1)

        result = asyncio.run(attempt())
    check_report(result)
    return Ran(result, meter, handler, server)


def calculator(seen: list[Any]) -> Arm:
    def tools(work: Work) -> list[Tool]:
        def add(arguments: dict[str, Any]) -> int:
            seen.append((work.goal, arguments))
            return int(arguments["a"] + arguments["b"])

        numbers = {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}}
        return [Tool("add", "Adds.", numbers, add)]

    return make_template(tools)


SPAWN = (
    "7",
    "spawn_subtask",
    '{"goal":"Find it","instructions":"Look for {{what}}","inputs":{"what":"gold"}}',
)


def resumed(ran: Ran, content: str, **fields: Any) -> dict[str, Any]:
    """The fields of the attempt that goes on."""
    waiting = Continuation(TaskId("t/subtask-1"), 1, "Find it", content, "{}", ran.result.continuation_json)
    return {"continuation": waiting, **fields}
