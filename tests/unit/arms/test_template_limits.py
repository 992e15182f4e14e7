"""Where the template arm's conversations end before their answer."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from arms.builtin.template import make_template
from arms.handler import Handler
from arms.limits import DeadlinePassed, HandlerConfig
from arms.model import ModelSettings, ModelUnavailable, OpenAIModel
from arms.work import Work
from octolog.domain.assignment import AttemptAssignment
from octolog.domain.reports import ModelCallIntended, ResourceUsed
from octolog.domain.values import Limits, TaskErrorType
from tests.unit.arms.doubles import RecordingMeter, assignment
from tests.unit.arms.model_server import Says, serving
from tests.unit.arms.template_runs import calculator, run

pytest.importorskip("pydantic_ai.models.openai", reason="the extra `model` is not installed")


def test_33_the_turn_after_the_last_is_not_made_and_the_task_is_too_large() -> None:
    seen: list[Any] = []
    numbers = iter(range(100))
    ran = run(
        lambda _: Says(calls=(("1", "add", json.dumps({"a": next(numbers), "b": 1})),)),
        calculator(seen),
        max_turns=3,
    )
    assert len(ran.server.asked) == 3
    assert (ran.error.resource, ran.error.used, ran.error.limit) == ("turns", 3, 3)
    assert ran.meter.warnings == ["turns: 3 of 3 used"]
    assert (ran.calls(ModelCallIntended), ran.calls(ResourceUsed)) == (3, 3)
    assert ran.result.error_code == "RESOURCE_EXHAUSTION"


def test_34_a_prompt_that_does_not_fit_its_share_of_the_window_is_not_sent() -> None:
    narrow = make_template(config=HandlerConfig(max_turns=3, max_context_fraction=0.5, window_tokens=4_000))
    ran = run([Says("never")], narrow, instructions="x" * 2_000)
    assert ran.server.asked == []
    assert (ran.error.resource, ran.error.used, ran.error.limit) == ("context", 0, 2_000)
    assert ran.meter.records == []


def test_34_the_context_is_what_the_model_counted_and_an_answer_gets_what_is_left() -> None:
    narrow = make_template(config=HandlerConfig(max_turns=3, max_context_fraction=0.5, window_tokens=8_000))
    ran = run([Says("two words")], narrow, instructions="x" * 1_000, constraints_json='{"subtasks": false}')
    assert ran.handler.used.context_tokens == ran.handler.used.peak_context_tokens == 42
    longest = ran.server.asked[0].body["max_completion_tokens"]
    assert 2_000 < longest < 3_000


def test_an_answer_that_had_to_stop_is_an_exhausted_output() -> None:
    ran = run([Says("and then", finish="length", prompt_tokens=9)])
    assert ran.error.type is TaskErrorType.RESOURCE_EXHAUSTION
    assert ran.error.resource == "context"  # it stopped before the bound it was given: the model's own window
    ran = run([Says(" ".join("x" * 4_096), finish="length")])
    assert (ran.error.resource, ran.error.used, ran.error.limit) == ("output", 4_096, 4_096)


def test_an_answer_cut_by_the_allowance_is_a_spent_budget_and_no_recovery_follows() -> None:
    ran = run([Says("and then", finish="length")], allowance=Limits(max_tokens=2_500))
    assert (ran.result.error_code, ran.result.task_error) == ("BUDGET_EXCEEDED", None)
    assert ran.server.asked[0].body["max_completion_tokens"] < 2_500


@pytest.mark.parametrize(
    ("says", "used", "limit"),
    [
        (Says("too long", status=400, code="context_length_exceeded"), 0, 0),
        (
            Says(
                "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
                status=400,
                code="BadRequestError",
            ),
            9_000,
            8_192,
        ),
    ],
)
def test_a_prompt_beyond_the_models_own_window_is_an_exhausted_context(
    says: Says, used: int, limit: int
) -> None:
    ran = run([says])
    assert (ran.error.type, ran.error.resource) == (TaskErrorType.RESOURCE_EXHAUSTION, "context")
    assert (ran.error.used, ran.error.limit) == (used, limit)
    [_, settled] = ran.meter.records
    assert isinstance(settled, ResourceUsed)
    assert settled.used.calls == 0


def test_tokens_are_known_while_they_come_and_a_stream_that_overruns_is_broken_off() -> None:
    ran = run([Says("never ends", endless=True)], allowance=Limits(max_tokens=3_000))
    assert ran.error.resource == "output"
    assert ran.server.hung_up.wait(60)
    assert ran.error.limit is not None
    assert ran.error.used == ran.error.limit + 1
    assert ran.result.tokens_used == ran.error.used
    assert ran.calls(ResourceUsed) == 0, "nobody knows what it used: it stays charged with the most"


def test_a_revoked_attempt_stops_its_stream() -> None:
    given = assignment()
    handler = Handler(given, RecordingMeter())
    with serving(lambda _: Says("never ends", endless=True)) as server:
        model = OpenAIModel(ModelSettings(server.url, "tiny"))
        work = Work(given, handler, model=model)

        async def revoked() -> None:
            async def soon() -> None:
                while not handler.known_tokens:  # noqa: ASYNC110 -- a count has no event
                    await asyncio.sleep(0)
                handler.stop("revoked")

            stopping = asyncio.create_task(soon())
            with pytest.raises(DeadlinePassed, match="revoked"):
                await make_template()(work)
            await stopping
            await model.close()

        asyncio.run(asyncio.wait_for(revoked(), 60))
        assert server.hung_up.wait(60)


@pytest.mark.parametrize(
    ("says", "code", "retryable"),
    [
        (Says("no such model", status=404), "VALIDATION_ERROR", False),
        (Says("no such page", status=404), "MODEL_REFUSED", False),
        (Says("no key", status=401), "MODEL_REFUSED", False),
        (Says("slow down", status=429), "MODEL_UNAVAILABLE", True),
        (Says("oops", status=500), "MODEL_UNAVAILABLE", True),
    ],
)
def test_an_endpoints_refusal_says_whether_asking_again_can_help(
    says: Says, code: str, retryable: bool
) -> None:
    ran = run([says])
    assert (ran.result.error_code, ran.result.retryable) == (code, retryable)
    assert len(ran.server.asked) == 1
    if code == "VALIDATION_ERROR":
        assert ran.error.invalid_model is True


def test_a_model_that_is_away_costs_nothing() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given, meter = assignment(), RecordingMeter()
    model = OpenAIModel(ModelSettings(f"http://127.0.0.1:{port}/v1", "tiny"))
    handler = Handler(given, meter)
    with pytest.raises(ModelUnavailable, match="tiny at"):
        asyncio.run(make_template()(Work(given, handler, model=model)))
    assert (handler.used.turns, handler.used.calls) == (0, 0)


def test_limits_of_a_task_come_before_those_of_the_arm() -> None:
    own = HandlerConfig(max_turns=10, max_context_fraction=0.8, window_tokens=7)
    given: Callable[..., AttemptAssignment] = assignment
    assert own.under(given()) == own
    assert own.under(given(max_turns=3)) == replace(own, max_turns=3)
    assert own.under(given(max_context_fraction=0.5)) == replace(own, max_context_fraction=0.5)
