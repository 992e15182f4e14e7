"""The border to a schema registry by URL: what it answers, what it refuses, and when it is away."""

from __future__ import annotations

import base64
from collections.abc import Callable

import httpx
import pytest

from octolog.domain.errors import IncompatibleSchema, SettingsError, Unavailable, UndecodableRecord
from schemas.registry import HttpSchemaIds, MemorySchemaTopic, SchemaIds, TopicSchemaIds
from tests.unit.schemas.schema_topic import A


def client(
    answer: Callable[[httpx.Request], httpx.Response], url: str = "http://registry:8081", **more: str
) -> tuple[HttpSchemaIds, list[float]]:
    waits: list[float] = []
    return HttpSchemaIds(url, transport=httpx.MockTransport(answer), sleep=waits.append, **more), waits


def test_a_prefix_in_the_url_is_kept_and_the_schema_is_asked_for_once() -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(f"{request.method} {request.url.path}")
        return httpx.Response(200, json={"id": 7} if request.method == "POST" else {"schema": A})

    ids, _ = client(answer, "http://registry:8080/apis/ccompat/v7")
    assert [ids.register("t.A", A) for _ in range(2)] == [7, 7]
    assert [ids.by_id(7) for _ in range(2)] == [("t.A", A)] * 2
    assert seen == ["POST /apis/ccompat/v7/subjects/t.A/versions", "GET /apis/ccompat/v7/schemas/ids/7"]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_registry_that_is_away_for_a_moment_is_asked_again(status: int) -> None:
    answers: list[httpx.Response | Exception] = [httpx.Response(status), httpx.ConnectError("refused")]
    answers.append(httpx.Response(200, json={"id": 1}))

    def answer(request: httpx.Request) -> httpx.Response:
        reply = answers.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    ids, waits = client(answer)
    assert ids.register("t.A", A) == 1
    assert waits == [0.2, 0.4]


def test_a_registry_that_stays_away_is_unavailable_within_bounds_and_no_password_is_shown() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectTimeout("timed out")

    ids, waits = client(answer, "http://me:s3cret@registry:8081/api")
    with pytest.raises(Unavailable, match="registry at http://registry:8081/api does not answer") as caught:
        ids.by_id(1)
    assert waits == [0.2, 0.4, 0.8, 1.6]
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (409, {"error_code": 409, "message": "reader type\nmismatch"}, IncompatibleSchema),
        (422, {"error_code": 42201, "message": "invalid"}, IncompatibleSchema),
        (401, {}, SettingsError),
        (403, {}, SettingsError),
        (404, {}, SettingsError),
        (200, {"unexpected": 1}, SettingsError),
    ],
)
def test_a_refusal_to_register_is_one_of_our_errors(
    status: int, body: dict[str, object], error: type[Exception]
) -> None:
    ids, waits = client(lambda _: httpx.Response(status, json=body))
    with pytest.raises(error) as caught:
        ids.register("t.A", A)
    assert "\n" not in str(caught.value)
    assert waits == []


@pytest.mark.parametrize(
    "reply",
    [
        httpx.Response(404, json={"error_code": 40403, "message": "Schema not found"}),
        httpx.Response(200, json={"schema": "message M {}", "schemaType": "PROTOBUF"}),
        httpx.Response(200, json={"schema": A, "references": [{"name": "x"}]}),
        httpx.Response(200, json={"schema": '"string"'}),
        httpx.Response(200, json={"schema": "{"}),
    ],
)
def test_an_id_that_means_no_avro_record_is_undecodable(reply: httpx.Response) -> None:
    with pytest.raises(UndecodableRecord):
        client(lambda _: reply)[0].by_id(1)


def test_a_404_of_something_that_is_no_registry_is_a_matter_of_settings_not_of_the_record() -> None:
    ids, _ = client(lambda _: httpx.Response(404, text="<html>nginx</html>"))
    with pytest.raises(SettingsError, match="OCTOLOG_SCHEMA_REGISTRY_URL"):
        ids.by_id(1)


@pytest.mark.parametrize(
    ("url", "user_info", "variable", "expected"),
    [
        ("http://registry", None, None, None),
        ("http://me:a%40b@registry", None, None, "me:a@b"),
        ("http://registry", None, "env:c:d", "env:c:d"),
        ("http://me:a@registry", "arg:e", "env:c", "arg:e"),
    ],
)
def test_credentials_come_from_the_argument_then_the_variable_then_the_url(
    url: str,
    user_info: str | None,
    variable: str | None,
    expected: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OCTOLOG_SCHEMA_REGISTRY_USER_INFO", raising=False)
    if variable:
        monkeypatch.setenv("OCTOLOG_SCHEMA_REGISTRY_USER_INFO", variable)
    sent: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers.get("authorization"))
        return httpx.Response(200, json={"schema": A})

    HttpSchemaIds(url, user_info=user_info, transport=httpx.MockTransport(answer)).by_id(1)
    assert sent == [expected and f"Basic {base64.b64encode(expected.encode()).decode()}"]


@pytest.mark.parametrize(
    ("url", "user_info"), [("registry:8081", None), ("ftp://registry", None), ("http://registry", "nocolon")]
)
def test_settings_that_cannot_work_are_refused_at_once(url: str, user_info: str | None) -> None:
    with pytest.raises(SettingsError):
        HttpSchemaIds(url, user_info=user_info)


def test_both_adapters_are_the_port() -> None:
    ports: list[SchemaIds] = [TopicSchemaIds(MemorySchemaTopic()), HttpSchemaIds("http://registry")]
    assert len(ports) == 2
