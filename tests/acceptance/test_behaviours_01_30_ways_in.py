"""Behaviours 1 to 30 as far as they concern arms over HTTP and arms of one's own; the numbers are the fact sheet's."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from arms.arm import Answer, Fail, Retry, arm
from arms.bridge import Description
from arms.bridge import health as health_module
from arms.bridge.protocol import BadAnswer
from arms.bridge.service import Service as Bridged
from arms.bridge.service import bridged
from arms.bridge.settings import BridgeSettings
from arms.handler import DeadlinePassed, Handler
from arms.outcome import Outcomes
from arms.work import Work
from octolog.domain.arm import Health
from octolog.domain.errors import BudgetRefused, InvalidContract
from octolog.domain.reports import ExecutionResult, ModelCallIntended, ResultStatus
from octolog.domain.rules import check_report
from octolog.domain.values import Limits
from tests.unit.arms.doubles import RecordingMeter, assignment
from tests.unit.bridge.conftest import Bridge
from tests.unit.bridge.services import drop, error, example, serving, success


def reported(bridge: Bridge, value: Any) -> ExecutionResult:
    """What the host writes into the log of an answer, or of what was raised instead of one."""
    given = assignment(arm_id="http-word-counter")
    description = Description.of(example.DESCRIPTION, bridge.settings)
    outcomes, handler = Outcomes(bridged(description, bridge.settings)), Handler(given, RecordingMeter())
    times = {"took_ms": 30_000, "ended_ms": 1}
    if isinstance(value, BaseException):
        result: ExecutionResult | None = outcomes.of_error(given, value, handler, **times)
    else:
        result = outcomes.of(given, value, handler, **times)
    assert result is not None
    check_report(result)
    return result


def test_06_a_model_call_beyond_the_allowance_is_refused_before_the_service_is_asked() -> None:
    use = {"model_use": {"model": "small", "max_tokens": 10, "max_calls": 3}}
    with serving(description=use) as service:
        bridge = Bridge(service.url)
        with pytest.raises(BudgetRefused, match="calls: 0 of 2 used"):
            bridge.ask(allowance=Limits(max_llm_calls=2))
    assert service.asked == []
    assert not [record for record in bridge.meter.records if isinstance(record, ModelCallIntended)]


def test_08_the_same_attempt_sent_twice_has_the_same_key_and_the_same_answer() -> None:
    with serving() as service:
        bridge = Bridge(service.url)
        first, second = bridge.ask(), bridge.ask()
    assert service.keys == ["a", "a"]
    assert first.output == second.output


def test_12_a_service_of_tier_6_or_without_tags_is_not_registered() -> None:
    wrong: tuple[dict[str, Any], ...] = ({"cost_tier": 6}, {"capabilities": ()})
    for broken in wrong:
        with pytest.raises(InvalidContract, match="INVALID_CAPABILITY"):
            Description.of(
                json.loads(json.dumps({**example.DESCRIPTION, **broken})),
                BridgeSettings("http://127.0.0.1:1"),
            )
        with pytest.raises(InvalidContract, match="INVALID_CAPABILITY"):
            arm("one", **{"capabilities": ("tag",), **broken})(lambda work: work)


def test_13_a_service_that_goes_away_and_comes_back_is_told_of_once_each() -> None:
    changes: list[tuple[Health, Health]] = []
    with serving() as service:
        bridge = Bridge(service.url, health_interval_s=0.01)

        async def script(it: Bridged) -> None:
            await it.start(lambda now, before, _: changes.append((now, before)))
            for status in ("unavailable", "healthy"):
                service.health = (200, {"status": status})
                async with asyncio.timeout(60):
                    while it.alive != (status == "healthy"):  # noqa: ASYNC110 -- bounded
                        await asyncio.sleep(0.01)
                await asyncio.sleep(0.1)  # many looks that see the same

        bridge.run(script)
    assert changes == [(Health.UNAVAILABLE, Health.HEALTHY), (Health.HEALTHY, Health.UNAVAILABLE)]
    assert health_module.SLOW_S == 3.0


def test_14_after_five_failures_in_a_row_the_sixth_request_is_not_sent_and_probes_decide() -> None:
    away = True

    def flaky(handler: Any, request: dict[str, Any]) -> Any:
        return drop(handler) if away else (200, success(request))

    with serving(flaky) as service:
        bridge = Bridge(service.url, breaker_reset_s=0.3)

        async def script(it: Bridged) -> None:
            nonlocal away
            with pytest.raises(Retry, match="RemoteProtocolError"):
                await it.forward(bridge.work())  # three requests
            with pytest.raises(Retry, match="not asked: 5 failures in a row") as refused:
                await it.forward(bridge.work())  # two more, then none
            assert (refused.value.code, len(service.asked)) == ("ARM_UNAVAILABLE", 5)
            async with asyncio.timeout(60):
                while it.status()["breaker"] != "half_open":  # noqa: ASYNC110 -- bounded
                    await asyncio.sleep(0.01)
            away = False
            for _ in range(3):
                await it.forward(bridge.work())
            assert it.status()["breaker"] == "closed"

        bridge.run(script)


def test_17_a_service_that_takes_too_long_ends_the_attempt_with_confidence_0_and_execution_timeout() -> None:
    def late(_: Any, request: dict[str, Any]) -> Any:
        service.release.wait(60)
        return 200, success(request)

    with serving(late) as service:
        bridge = Bridge(service.url)
        with pytest.raises(DeadlinePassed) as failed:
            bridge.ask(limit_s=0.2)
    result = reported(bridge, failed.value)
    assert (result.status, result.confidence) == (ResultStatus.FAILURE, 0.0)
    assert (result.error_code, result.retryable) == ("EXECUTION_TIMEOUT", True)


def test_18_a_validation_error_of_the_service_is_asked_for_once_and_not_retryable() -> None:
    refusal = error("INVALID_INPUT", "no such language", category="validation")
    with serving(lambda *_: (400, refusal)) as service:
        bridge = Bridge(service.url)
        with pytest.raises(Fail) as failed:
            bridge.ask()
    assert len(service.asked) == 1
    result = reported(bridge, failed.value)
    assert (result.error_code, result.retryable, result.error) == ("INVALID_INPUT", False, "no such language")


def test_20_a_cancelled_attempt_is_stopped_at_the_service() -> None:
    def held(_: Any, request: dict[str, Any]) -> Any:
        service.release.wait(60)
        return 200, success(request)

    with serving(held) as service:
        bridge = Bridge(service.url)

        async def script(it: Bridged) -> None:
            work = bridge.work()
            task = asyncio.create_task(it.forward(work))
            async with asyncio.timeout(60):
                while not service.asked:  # noqa: ASYNC110 -- bounded
                    await asyncio.sleep(0.01)
            work.handler.stop("cancelled by its author")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        bridge.run(script)
        assert service.cancelled == ["a"]


def test_22_a_command_hash_that_is_none_is_refused_and_a_good_one_is_the_provenances() -> None:
    good = "ab" * 32
    wrong = ("d41d8cd98f00b204e9800998ecf8427e", good.upper())
    for command_hash in wrong:
        said = {"command_hash": command_hash}

        def answers(_: Any, request: dict[str, Any], said: Any = said) -> Any:
            return 200, success(request, provenance=said)

        with serving(answers) as service, pytest.raises(BadAnswer, match=r"provenance\.command_hash"):
            Bridge(service.url).ask()
    with serving(lambda _, request: (200, success(request, provenance={"command_hash": good}))) as service:
        bridge = Bridge(service.url)
        assert reported(bridge, bridge.ask()).provenance.command_hash == good
    with serving() as service:
        bridge = Bridge(service.url)
        assert len(reported(bridge, bridge.ask()).provenance.command_hash) == 64


def test_25_what_a_service_says_is_redacted_before_it_is_logged() -> None:
    raw = "My SSN is 123-45-6789 and email is test@example.com"
    fields = {"output": {"words": 9, "top": [raw]}, "provenance": {"data_sources": [raw]}}
    with serving(lambda _, request: (200, success(request, **fields))) as service:
        bridge = Bridge(service.url)
        kept = reported(bridge, bridge.ask())
    with serving(lambda *_: (400, error("INVALID_INPUT", raw))) as service, pytest.raises(Fail) as failed:
        Bridge(service.url).ask()
    for result in (kept, reported(bridge, failed.value)):
        assert "123-45-6789" not in repr(result)
        assert "test@example.com" not in repr(result)
    assert json.loads(kept.output)["top"] == ["My SSN is [REDACTED_SSN] and email is [REDACTED_EMAIL]"]


def test_an_arm_of_ones_own_takes_ten_lines_and_checks_what_it_is_given() -> None:
    @arm("word-counter", capabilities=("word_count",))
    def count(text: str, longer_than: int = 0) -> dict[str, int]:
        """Count the words of a text."""
        return {"words": sum(len(word) > longer_than for word in text.split())}

    def work(**context: Any) -> Work:
        given = assignment(context=context)
        return Work(given, Handler(given, RecordingMeter()))

    assert count(work(text="a bb ccc", longer_than=1)) == {"words": 2}
    with pytest.raises(Fail, match=r"context\.text: field required"):
        count(work())
    assert Answer({"words": 2}).confidence == 1.0
