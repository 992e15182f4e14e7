"""Type hints of an arm's function: schemas for the registry, and a context that is checked and taken apart."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_settings import BaseSettings, SettingsConfigDict

from arms.arm import Answer, Arm, Fail, arm
from arms.handler import Handler
from arms.work import Work
from octolog.domain.errors import InvalidContract, SettingsError
from tests.unit.arms.doubles import RecordingMeter, assignment


class Asked(BaseModel):
    text: str
    top: int = 3


class Found(BaseModel):
    words: int


@dataclass
class Point:
    x: int
    y: int


class Keys(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="WAYSIN_")

    token: str


def call(made: Arm, goal: str = "a goal", **context: Any) -> Any:
    given = assignment(goal=goal, context=context)
    answer = made(Work(given, Handler(given, RecordingMeter())))
    return asyncio.run(answer) if made.is_async else answer


def schemas(made: Arm) -> tuple[Any, Any]:
    return json.loads(made.capability.input_schema_json), json.loads(made.capability.output_schema_json)


@arm("one", capabilities=("tag",))
def by_name(text: str, longer_than: int = 0) -> dict[str, int]:
    """Count words."""
    return {"words": sum(len(word) > longer_than for word in text.split())}


@arm("two", capabilities=("tag",))
async def whole(asked: Asked, work: Work, goal: str) -> Found:
    assert work.goal == goal
    return Found(words=len(asked.text.split()) * asked.top)


def test_parameters_are_fields_of_the_context_and_the_schema_says_so() -> None:
    takes, gives = schemas(by_name)
    assert takes["required"] == ["text"]
    assert {name: field["type"] for name, field in takes["properties"].items()} == {
        "text": "string", "longer_than": "integer",
    }  # fmt: skip
    assert gives == {"type": "object", "additionalProperties": {"type": "integer"}}
    assert by_name.capability.description == "Count words."
    assert call(by_name, text="a bb ccc", longer_than=1, unknown="passed over") == {"words": 2}


def test_one_model_takes_the_whole_context_beside_the_work_and_the_goal() -> None:
    takes, gives = schemas(whole)
    assert takes["properties"]["top"]["default"] == 3
    assert gives["required"] == ["words"]
    assert call(whole, text="a b") == {"words": 6}


def test_dataclasses_are_models_too() -> None:
    @arm("sum", capabilities=("tag",))
    def total(point: Point) -> int:
        return point.x + point.y

    assert call(total, x=1, y=2) == 3


@pytest.mark.parametrize(
    ("context", "said"),
    [({}, "context.text: field required"), ({"text": "a", "longer_than": "x"}, "context.longer_than: ")],
)
def test_a_context_that_does_not_fit_fails_before_the_function_and_names_the_field(
    context: dict[str, Any], said: str
) -> None:
    with pytest.raises(Fail) as failed:
        call(by_name, **context)
    assert failed.value.code == "INVALID_INPUT"
    assert str(failed.value).startswith(said)
    assert not failed.value.retryable


def test_a_value_of_another_type_is_an_invalid_output() -> None:
    @arm("liar", capabilities=("tag",))
    def liar(text: str) -> Found:
        return text  # type: ignore[return-value]  # on purpose

    with pytest.raises(Fail) as failed:
        call(liar, text="secret words")
    assert failed.value.code == "INVALID_OUTPUT"
    assert "secret" not in str(failed.value)


def test_an_answer_goes_through_as_it_is() -> None:
    @arm("answers", capabilities=("tag",))
    def answers(text: str) -> Answer:
        return Answer({"text": text}, 0.5)

    assert call(answers, text="a").confidence == 0.5
    assert schemas(answers)[1] == {}


def test_a_function_that_takes_the_work_alone_is_called_as_it_is() -> None:
    def plain(work: Work) -> dict[str, Any]:
        return work.context

    made = arm("plain", capabilities=("tag",))(plain)
    assert made.function is plain
    assert schemas(made) == ({}, {})


def test_settings_come_from_the_environment_once_and_what_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def made() -> Arm:
        @arm("keyed", capabilities=("tag",))
        def keyed(text: str, keys: Keys) -> str:
            return f"{text} {keys.token}"

        return keyed

    without = made()
    assert without.signature is not None
    with pytest.raises(SettingsError, match="setting WAYSIN_TOKEN: field required"):
        without.signature.settle()
    monkeypatch.setenv("WAYSIN_TOKEN", "t0k")
    assert call(made(), text="a") == "a t0k"
    assert "keys" not in schemas(made())[0]["properties"]


def test_a_parameter_that_json_cannot_give_is_refused_where_the_arm_is_defined() -> None:
    def stars(*texts: str) -> str:
        return ""

    def bare(text, other: int) -> str:  # type: ignore[no-untyped-def]  # noqa: ANN001
        return ""

    def odd(thing: Handler, other: int) -> str:
        return ""

    for function in (stars, bare, odd):
        with pytest.raises(InvalidContract) as refused:
            arm("odd", capabilities=("tag",))(function)
        assert refused.value.code == "INVALID_CAPABILITY"
