"""The model adapter, against a server that speaks the OpenAI protocol over a real socket."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from arms.handler import Handler
from arms.model import ModelSettings, ModelUnavailable, OpenAIModel, model_from
from arms.prices.own import OwnPrice
from arms.work import Work
from octolog.domain.errors import BudgetRefused, SettingsError
from octolog.domain.reports import ModelCallIntended, ResourceUsed
from octolog.domain.values import NO_LIMITS, Amounts, Limits
from tests.unit.arms.doubles import RecordingMeter, assignment

pytest.importorskip("pydantic_ai.models.openai", reason="the extra `model` is not installed")


class Endpoint(ThreadingHTTPServer):
    """Answers every chat completion with `text`, counting; or with the status `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.asked: list[dict[str, Any]] = []
        self.status = 200
        self.usage: dict[str, int] | None = {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Answer(BaseHTTPRequestHandler):
    server: Endpoint  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_POST(self) -> None:
        self.server.asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        message = {"role": "assistant", "content": "forty-two"}
        body: dict[str, Any] = {
            "id": "c", "object": "chat.completion", "created": 1, "model": "tiny-1",
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        }  # fmt: skip
        if self.server.usage is not None:
            body["usage"] = self.server.usage
        data = json.dumps(
            body if self.server.status == 200 else {"error": {"message": "overloaded"}}
        ).encode()
        self.send_response(self.server.status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class's name
        """Say nothing."""


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


TINY = OwnPrice(model="tiny", input_dollars=Decimal(1), output_dollars=Decimal(2), since=date(2026, 1, 1))


def ask(
    url: str, limits: Limits = NO_LIMITS, prices: tuple[OwnPrice, ...] = ()
) -> tuple[Any, RecordingMeter]:
    given, meter = assignment(allowance=limits), RecordingMeter()
    model = OpenAIModel(ModelSettings(url, "tiny", "none", prices=prices))
    work = Work(given, Handler(given, meter), model=model)
    try:
        return work.wait(work.ask("What?", system="Be brief.", max_tokens=20)), meter
    except (BudgetRefused, ModelUnavailable) as error:
        return error, meter


def test_an_answer_is_settled_with_what_the_endpoint_counted(endpoint: Endpoint) -> None:
    answer, meter = ask(endpoint.url, prices=(TINY,))
    assert (answer.text, answer.model) == ("forty-two", "tiny-1")
    intended, used = meter.records
    assert isinstance(intended, ModelCallIntended)
    assert isinstance(used, ResourceUsed)
    assert used.used == Amounts(14, 0, 17, 1)
    assert used.price_version == "own:1/2 since 2026-01-01"
    assert intended.at_most.tokens >= 14
    assert intended.at_most.cost_micros >= 17
    assert (endpoint.asked[0]["model"], len(endpoint.asked)) == ("tiny", 1)


def test_the_worst_case_price_is_reserved_before_the_call(endpoint: Endpoint) -> None:
    answer, meter = ask(endpoint.url, prices=(TINY,))
    intended = meter.records[0]
    assert isinstance(intended, ModelCallIntended)
    most = intended.at_most
    # Every token of the answer at the answer's price, every token of the prompt at the prompt's.
    assert (most.cost_micros, most.tokens) == ((most.tokens - 20) + 20 * 2, most.tokens)
    error, meter = ask(endpoint.url, Limits(max_cost_micros=most.cost_micros - 1), prices=(TINY,))
    assert isinstance(error, BudgetRefused)
    assert (meter.records, len(endpoint.asked)) == ([], 1)
    answer, _ = ask(endpoint.url, Limits(max_cost_micros=most.cost_micros), prices=(TINY,))
    assert answer.text == "forty-two"


def test_a_local_endpoint_costs_nothing_and_nobody_is_warned(endpoint: Endpoint) -> None:
    _, meter = ask(endpoint.url)
    used = meter.records[-1]
    assert isinstance(used, ResourceUsed)
    assert (used.used.cost_micros, used.price_version, meter.warnings) == (0, "local", [])


def test_a_call_without_a_known_price_is_charged_zero_and_says_so(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "arms.prices.price.is_local", lambda _: False
    )  # the socket is here, the price list is not
    _, meter = ask(endpoint.url)
    used = meter.records[-1]
    assert isinstance(used, ResourceUsed)
    assert (used.used.cost_micros, used.price_version) == (0, "unknown")
    assert [text.split(",")[0] for text in meter.warnings] == ["price of tiny: not known"]


def test_a_refused_call_reaches_no_endpoint(endpoint: Endpoint) -> None:
    error, meter = ask(endpoint.url, Limits(max_tokens=20))
    assert isinstance(error, BudgetRefused)
    assert (endpoint.asked, meter.records) == ([], [])


def test_an_endpoint_that_fails_is_asked_once_and_the_call_stays_charged(endpoint: Endpoint) -> None:
    endpoint.status = 503
    error, meter = ask(endpoint.url)
    assert isinstance(error, ModelUnavailable)
    assert error.retryable
    assert len(endpoint.asked) == 1
    assert [type(record) for record in meter.records] == [ModelCallIntended]


def test_an_endpoint_that_does_not_count_leaves_the_call_charged(endpoint: Endpoint) -> None:
    endpoint.usage = None
    answer, meter = ask(endpoint.url)
    assert answer.text == "forty-two"
    assert [type(record) for record in meter.records] == [ModelCallIntended]


def test_a_call_that_nobody_answered_the_door_for_costs_nothing() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    error, meter = ask(url)
    assert isinstance(error, ModelUnavailable)
    assert not error.was_asked
    last = meter.records[-1]
    assert isinstance(last, ResourceUsed)
    assert last.used == Amounts()


def test_half_a_models_settings_are_refused() -> None:
    assert model_from(None, None) is None
    with pytest.raises(SettingsError, match="OCTOLOG_LLM_MODEL"):
        model_from("http://127.0.0.1:1/v1", None)


def test_asking_without_a_model_says_what_to_set() -> None:
    given = assignment()
    work = Work(given, Handler(given, RecordingMeter()))
    with pytest.raises(SettingsError, match="OCTOLOG_LLM_BASE_URL"):
        asyncio.run(work.ask("What?"))
