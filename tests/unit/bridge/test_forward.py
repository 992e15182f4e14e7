"""Attempts over HTTP: what is sent, what is repeated, what is refused, what is told to the service."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from arms.arm import Fail, Retry
from arms.bridge.protocol import BadAnswer
from arms.bridge.service import Service as Bridged
from arms.handler import DeadlinePassed
from octolog.domain.errors import BudgetRefused, NotFound, SettingsError, Unavailable
from octolog.domain.reports import ModelCallIntended, ResourceUsed
from octolog.domain.values import Amounts, Limits
from tests.unit.bridge.conftest import Bridge
from tests.unit.bridge.services import drop, error, raw, serving, success

MODEL = {"model_use": {"model": "small", "max_tokens": 100, "max_cost_dollars": 0.5, "max_calls": 2}}


def test_an_attempt_is_sent_as_the_seeds_contract_and_its_id_is_the_idempotency_key() -> None:
    with serving() as service:
        limits = Limits(max_tokens=500, max_time_ms=1_500, max_cost_micros=250_000, max_llm_calls=3)
        answer = Bridge(service.url, headers={"Authorization": "Bearer t0k"}).ask(
            goal="Count", allowance=limits, capability_token="signed", inputs={"one": [1]}, priority=2
        )
    assert answer.output == {"words": 2, "top": [["to", 1], ["be", 1]]}
    assert answer.data_sources == ("context.text",)
    (request,) = service.asked
    assert request["contract"] == {
        "task_id": "t", "goal": "Count", "constraints": {}, "context": {"text": "to be"}, "acceptance_criteria": [],
        "budget": {"max_tokens": 500, "max_time_seconds": 1.5, "max_cost_dollars": 0.25, "max_llm_calls": 3},
        "assigned_arm": "arm", "priority": 2, "security_policy": "default",
    }  # fmt: skip
    assert (request["attempt_id"], request["attempt_number"], request["api_version"]) == ("a", 1, "v1")
    assert (request["capability_token"], request["inputs"]) == ("signed", {"one": [1]})
    assert 0 < request["timeout_seconds"] <= 30
    assert service.keys == ["a"]
    assert service.headers["Authorization"] == "Bearer t0k"


def test_a_request_without_an_answer_is_made_again_with_the_same_key_and_counted_apart() -> None:
    def twice_dropped(handler: Any, request: dict[str, Any]) -> Any:
        if len(service.asked) <= 2:
            return drop(handler)
        return 200, success(request)

    with serving(twice_dropped) as service:
        bridge = Bridge(service.url)
        assert bridge.ask().confidence == 0.5
    assert service.keys == ["a", "a", "a"]
    assert bridge.bridged is not None
    counts = bridge.bridged.forward.counts
    assert (counts.forwarded, counts.transport_retries, counts.faults) == (1, 2, 2)
    assert len(bridge.notes) == 2
    assert bridge.notes[0].startswith("asking again in 0.0 s: POST /execute: RemoteProtocolError")


def test_after_the_last_try_the_attempt_fails_retryably() -> None:
    with serving(lambda handler, _: drop(handler)) as service, pytest.raises(Retry) as failed:
        Bridge(service.url).ask()
    assert (failed.value.code, len(service.asked)) == ("ARM_UNAVAILABLE", 3)


@pytest.mark.parametrize(
    ("status", "code"), [(429, "RATE_LIMIT_EXCEEDED"), (503, "ARM_UNAVAILABLE"), (502, "EXTERNAL")]
)
def test_a_service_that_says_later_is_asked_later(status: int, code: str) -> None:
    with serving(lambda *_: (status, {})) as service, pytest.raises(Retry) as failed:
        Bridge(service.url).ask()
    assert (failed.value.code, len(service.asked)) == (code, 3)


def test_an_attempt_that_still_runs_is_asked_for_again_and_that_is_no_retry() -> None:
    def running(_: Any, request: dict[str, Any]) -> Any:
        if len(service.asked) <= 5:
            return 409, error("ATTEMPT_RUNNING", retry_after_seconds=0.01, retryable=True)
        return 200, success(request)

    with serving(running) as service:
        bridge = Bridge(service.url)
        bridge.ask()
    assert bridge.bridged is not None
    assert bridge.bridged.forward.counts.transport_retries == 0
    assert len(service.asked) == 6


@pytest.mark.parametrize(
    ("status", "document", "kind", "code"),
    [
        (400, error("INVALID_INPUT", category="validation"), Fail, "INVALID_INPUT"),
        (403, error("INSUFFICIENT_CAPABILITIES", category="authorization"), Fail, "INSUFFICIENT_CAPABILITIES"),
        (500, error("INTERNAL_ERROR", category="internal"), Retry, "INTERNAL_ERROR"),
        (500, error("BROKEN_FOR_GOOD", category="internal", retryable=False), Fail, "BROKEN_FOR_GOOD"),
        (500, "no document", Retry, "EXTERNAL"),
        (404, {}, Fail, "NOT_FOUND"),
    ],
)  # fmt: skip
def test_what_the_service_answers_is_not_asked_for_again(
    status: int, document: Any, kind: type[Fail], code: str
) -> None:
    with serving(lambda *_: (status, document)) as service, pytest.raises(Fail) as failed:
        Bridge(service.url).ask()
    assert type(failed.value) is kind
    assert (failed.value.code, len(service.asked)) == (code, 1)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"confidence": 1.5}, "confidence"),
        ({"status": "done"}, "status"),
        ({"error": "but"}, "a success with an error"),
        ({"status": "failure"}, "a failure without an error"),
        ({"attempt_id": "b"}, "attempt_id is 'b'"),
        ({"task_id": "other"}, "task_id is 'other'"),
        ({"output": {"words": "two", "top": []}}, "output.words: is no integer"),
        ({"provenance": {"command_hash": "ABC"}}, "provenance.command_hash"),
        ({"tokens_used": -1}, "tokens_used"),
    ],
)
def test_an_answer_that_breaks_the_protocol_is_an_invalid_output(fields: dict[str, Any], said: str) -> None:
    with (
        serving(lambda _, request: (200, success(request, **fields))) as service,
        pytest.raises(BadAnswer, match=said) as failed,
    ):
        Bridge(service.url).ask()
    assert failed.value.code == "INVALID_OUTPUT"
    assert failed.value.task_error is not None


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda handler, _: raw(handler, b"<html>", media_type="text/html"), "text/html; it must be application/json"),
        (lambda handler, _: raw(handler, b"{"), "it is no JSON"),
        (lambda handler, _: raw(handler, b"x" * 5_000), "more than 4000 bytes"),
        (lambda handler, _: raw(handler, b"[]"), "no JSON object"),
        (lambda handler, _: raw(handler, b"", status=204), "204; a result is a 200"),
    ],
    ids=["type", "json", "size", "shape", "status"],
)  # fmt: skip
def test_an_answer_out_of_bounds_is_refused(answer: Any, said: str) -> None:
    with serving(answer) as service, pytest.raises(BadAnswer, match=said):
        Bridge(service.url, max_response_bytes=4_000).ask()


def test_a_redirect_is_not_followed() -> None:
    def elsewhere(handler: Any, _: Any) -> None:
        handler.send_response(307)
        handler.send_header("location", "http://user:pw@127.0.0.1:1/x?key=1")
        handler.send_header("content-length", "0")
        handler.end_headers()

    with (
        serving(elsewhere) as service,
        pytest.raises(BadAnswer, match=r"redirected to http://127.0.0.1:1/x;"),
    ):
        Bridge(service.url).ask()


def test_a_context_that_breaks_the_input_schema_is_never_sent() -> None:
    with serving() as service, pytest.raises(Fail, match=r"context\.text: is missing") as failed:
        Bridge(service.url).ask(context={})
    assert (failed.value.code, service.asked) == ("INVALID_INPUT", [])


def test_a_partial_or_failed_result_fails_the_attempt_and_keeps_what_there_is() -> None:
    document = {"status": "partial", "error": "half", "error_code": "TOO_HARD", "output": {"words": 1}}
    with serving(lambda *_: (200, document)) as service, pytest.raises(Fail, match="half") as failed:
        Bridge(service.url).ask()
    assert (failed.value.code, failed.value.output) == ("TOO_HARD", {"words": 1})


def test_model_use_is_reserved_before_the_service_is_asked_and_settled_by_what_it_says() -> None:
    usage = {"model": "small", "input_tokens": 30, "output_tokens": 12, "cost_dollars": 0.001, "calls": 2}
    with serving(lambda _, request: (200, success(request, usage=usage)), description=MODEL) as service:
        bridge = Bridge(service.url)
        bridge.ask(allowance=Limits(max_tokens=100, max_llm_calls=2))
    intended, used = bridge.meter.records
    assert isinstance(intended, ModelCallIntended)
    assert intended.at_most == Amounts(100, 0, 500_000, 2)
    assert isinstance(used, ResourceUsed)
    assert used.used == Amounts(42, 0, 1_000, 2)


def test_an_attempt_that_may_not_use_so_much_is_never_sent() -> None:
    with serving(description=MODEL) as service, pytest.raises(BudgetRefused):
        Bridge(service.url).ask(allowance=Limits(max_tokens=99))
    assert service.asked == []


def test_model_use_that_was_not_declared_is_charged_all_the_same() -> None:
    with serving(lambda _, request: (200, success(request, tokens_used=7))) as service:
        bridge = Bridge(service.url)
        bridge.ask()
    assert [record.used.tokens for record in bridge.meter.records if isinstance(record, ResourceUsed)] == [7]


def test_an_attempt_whose_time_is_over_is_cancelled_at_the_service() -> None:
    with serving(lambda handler, request: (service.release.wait(30), (200, success(request)))[1]) as service:
        with pytest.raises(DeadlinePassed, match=r"no answer within 0\.\d s"):
            Bridge(service.url).ask(limit_s=0.3)
        assert service.cancelled == ["a"]


def test_a_revoked_attempt_is_cancelled_at_the_service_and_one_that_the_host_leaves_is_not() -> None:
    with serving(lambda handler, request: (service.release.wait(30), (200, success(request)))[1]) as service:
        bridge = Bridge(service.url)

        async def stopped(bridged: Bridged) -> None:
            for reason in ("revoked", None):
                work = bridge.work(attempt_id=str(reason))
                task = asyncio.create_task(bridged.forward(work))
                async with asyncio.timeout(60):
                    while len(service.asked) < (1 if reason else 2):  # noqa: ASYNC110 -- bounded
                        await asyncio.sleep(0.01)
                if reason is not None:
                    work.handler.stop(reason)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

        bridge.run(stopped)
        assert service.cancelled == ["revoked"]


def test_a_url_is_checked_and_its_secrets_are_never_said() -> None:
    for url in ("ftp://host", "host:80", "http://", "http://host:99999", "http://host/?key=s3cret"):
        with pytest.raises(SettingsError) as refused:
            Bridge(url)
        assert "s3cret" not in str(refused.value)
    with serving() as service:
        bridge = Bridge(service.url.replace("http://", "http://user:s3cret@"))
        bridge.ask()
        assert service.headers["Authorization"].startswith("Basic ")
        assert bridge.bridged is not None
        assert bridge.bridged.forward._capability.endpoint == f"{service.url}/execute"
    assert "s3cret" not in repr(bridge.bridged.status())


def test_a_service_without_a_description_is_said_to_be_none() -> None:
    with serving(arm=(404, {})) as service, pytest.raises(NotFound, match="/arm answers 404"):
        Bridge(service.url).ask()
    with serving(arm=(500, {})) as service, pytest.raises(Unavailable, match="see the service's log"):
        Bridge(service.url).ask()
