"""The template arm and the conversations under it, against a server that answers from a script."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from arms.arm import Arm
from arms.builtin.template import make_template
from arms.chat.tools import Tool
from arms.handler import Handler
from arms.limits import DeadlinePassed, HandlerConfig
from arms.model import ModelSettings, ModelUnavailable, OpenAIModel
from arms.outcome import Outcomes
from arms.template.memory import Match, Remembered
from arms.work import Work
from octolog.domain.assignment import AttemptAssignment, Continuation, Recovery
from octolog.domain.ids import TaskId
from octolog.domain.operators import ContextMode, RecoveryKind
from octolog.domain.reports import ExecutionResult, ModelCallIntended, ResourceUsed, ResultStatus
from octolog.domain.rules import check_report
from octolog.domain.values import Limits, TaskError, TaskErrorType
from tests.unit.arms.doubles import RecordingMeter, assignment
from tests.unit.arms.model_server import Asked, Says, Script, Server, serving

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


def run(script: Script | Sequence[Says], made: Arm | None = None, **fields: Any) -> Ran:
    """One attempt of the template arm, as its host runs it."""
    said = iter(script) if isinstance(script, Sequence) else None
    given, meter, made = assignment(**fields), RecordingMeter(), made or make_template()
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


# ------------------------------------------------------------------------------------- what a model is told


def test_a_model_is_told_system_instructions_and_what_they_do_not_say_yet() -> None:
    ran = run(
        [Says("done")],
        instructions="Sum up: a long paper",
        system="Be brief.",
        inputs={"paper": "a long paper", "style": "plain"},
        context={"year": 2024},
        acceptance_criteria=("one page",),
    )
    [asked] = ran.server.asked
    assert asked.system == "Be brief."
    assert asked.prompt == (
        'Sum up: a long paper\n\nInput style:\nplain\n\nContext:\n{"year": 2024}\n\n'
        "The result is held against:\n- one page"
    )
    assert ran.output["content"] == "done"


def test_a_task_outside_programs_is_told_by_its_goal() -> None:
    assert run([Says("done")], goal="Count the words").server.asked[0].prompt == "Count the words"


def test_the_model_that_a_task_names_is_asked() -> None:
    assert run([Says("done")], model="large").server.asked[0].body["model"] == "large"
    assert run([Says("done")]).server.asked[0].body["model"] == "tiny"


class Library:
    """A memory that keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def relevant(self, task: str, history_json: str) -> Remembered:
        self.asked.append((task, history_json))
        return Remembered("Known before.", (Match("/notes/a.md", "same task"),))


@pytest.mark.parametrize(
    ("mode", "asked"),
    [
        (ContextMode.INHERIT, []),
        (ContextMode.ACCUMULATE, [("Do it", '{"history": []}')]),
        (ContextMode.FRESH, [("Do it", "")]),
        (ContextMode.UNKNOWN, []),
    ],
)
def test_38_the_context_mode_says_whether_memory_is_asked_and_with_what(
    mode: ContextMode, asked: list[tuple[str, str]]
) -> None:
    library = Library()
    ran = run(
        [Says("done")],
        make_template(memory=library),
        instructions="Do it",
        context={"history": []},
        context_mode=mode,
    )
    assert library.asked == asked
    assert ("From memory:\nKnown before.\n- /notes/a.md: same task" in ran.server.asked[0].prompt) == bool(
        asked
    )


# ------------------------------------------------------------------------------------------------- answers


def test_the_handler_says_which_data_was_used_where_the_model_does_not() -> None:
    notes = run([Says("an answer in words")], inputs={"paper": "text"}).output["notes"]
    assert notes["dataUsageDerived"] is True
    assert "Input paper" in notes["dataUsage"]
    assert "1 turns, 44 tokens" in notes["dataUsage"]


def test_what_the_model_says_about_its_data_is_kept() -> None:
    answer = {"content": "four", "notes": {"dataUsage": "the paper", "sure": True}}
    assert run([Says(json.dumps(answer))]).output == answer
    revised = {"content": "four", "notes": "the paper"}
    assert run([Says(json.dumps(revised))]).output["notes"] == {"dataUsage": "the paper"}


@pytest.mark.parametrize(
    "answer", ['{"content":["a.txt"],"dataUsage":"the folder"}', '["a.txt"]', '```json\n["a.txt"]\n```']
)
def test_42_a_list_of_strings_is_parsed_and_its_text_is_the_content(answer: str) -> None:
    ran = run([Says(answer)], output_type="string[]")
    assert (ran.output["content"], ran.output["parsedContent"]) == ('["a.txt"]', ["a.txt"])
    wanted = ran.server.asked[0].body["response_format"]["json_schema"]["schema"]
    assert wanted["properties"]["content"] == {"type": "array", "items": {"type": "string"}}


def test_42_another_type_is_an_invalid_output_with_expected_actual_and_what_there_is() -> None:
    ran = run([Says('{"content":{"a":1},"dataUsage":"none"}')], output_type="string[]")
    assert (ran.result.status, ran.result.error_code) == (ResultStatus.FAILURE, "INVALID_OUTPUT")
    assert ran.error.violations == ("content: expected array of strings, actual object",)
    assert ran.output["content"] == '{"a":1}'
    assert ran.output["notes"] == {"dataUsage": "none"}


def test_42_undeclared_text_stays_text_even_if_it_begins_like_json() -> None:
    assert run([Says("{not json")]).output["content"] == "{not json"
    assert run([Says("[1, 2]")]).output["parsedContent"] == [1, 2]


def test_broken_xml_in_an_answer_is_a_text_with_a_warning() -> None:
    ran = run([Says("<report><open></report>")])
    assert ran.output["content"] == "<report><open></report>"
    assert "XML_PARSE_ERROR" in ran.output["warnings"][0]


def test_an_endpoint_that_takes_no_schema_is_asked_without_and_its_answer_is_checked() -> None:
    def script(asked: Asked) -> Says:
        if "response_format" in asked.body:
            return Says("response_format is not supported", status=400)
        return Says("[1, 2]")

    ran = run(script, output_type="array")
    assert ran.output["parsedContent"] == [1, 2]
    first, second = (r for r in ran.meter.records if isinstance(r, ResourceUsed))
    assert (first.used.calls, second.used.calls, ran.handler.used.turns) == (0, 1, 1)


def test_an_empty_answer_is_no_progress() -> None:
    ran = run([Says("")])
    assert (ran.error.type, ran.error.violations) == (TaskErrorType.INVALID_OUTPUT, ("no_progress",))


# --------------------------------------------------------------------------------------------------- tools


def calculator(seen: list[Any]) -> Arm:
    def tools(work: Work) -> list[Tool]:
        def add(arguments: dict[str, Any]) -> int:
            seen.append((work.goal, arguments))
            return int(arguments["a"] + arguments["b"])

        numbers = {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}}
        return [Tool("add", "Adds.", numbers, add)]

    return make_template(tools)


def test_a_tool_is_run_and_the_model_goes_on_with_its_result() -> None:
    seen: list[Any] = []
    ran = run([Says(calls=(("1", "add", '{"a":2,"b":3}'),)), Says("five")], calculator(seen))
    assert seen == [("a goal", {"a": 2, "b": 3})]
    last = ran.server.asked[1].messages[-1]
    assert (last["role"], last["tool_call_id"], last["content"]) == ("tool", "1", "5")
    assert ran.server.asked[0].tools == ["add", "spawn_subtask"]
    assert ran.output["content"] == "five"
    assert ran.handler.used.turns == 2  # results of tools are no turns


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (("1", "add", "{"), "error: the arguments are no JSON"),
        (("1", "add", "{}"), "error: KeyError: 'a'"),
        (("1", "subtract", "{}"), "error: there is no tool 'subtract'; there are: add, spawn_subtask"),
    ],
)
def test_a_call_that_cannot_be_done_is_told_to_the_model(call: tuple[str, str, str], told: str) -> None:
    ran = run([Says(calls=(call,)), Says("sorry")], calculator([]))
    assert ran.server.asked[1].messages[-1]["content"].startswith(told)
    assert ran.output["content"] == "sorry"


def test_the_same_call_again_and_again_is_no_progress() -> None:
    ran = run(lambda _: Says(calls=(("1", "add", '{"a":1,"b":1}'),)), calculator([]))
    assert ran.error.violations == ("no_progress",)
    assert len(ran.server.asked) == 3


# ------------------------------------------------------------------------------------------------- subtasks

SPAWN = (
    "7",
    "spawn_subtask",
    '{"goal":"Find it","instructions":"Look for {{what}}","inputs":{"what":"gold"}}',
)


def test_a_subtask_ends_the_attempt_with_what_it_needs_to_go_on() -> None:
    ran = run([Says("I need help", calls=(SPAWN,))])
    request = ran.result.subtask
    assert request is not None
    assert (request.goal, request.instructions) == ("Find it", "Look for {{what}}")
    assert [(each.name, each.text) for each in request.inputs] == [("what", "gold")]
    kept = json.loads(ran.result.continuation_json)
    assert (kept["call_id"], kept["turns"], kept["held_tokens"]) == ("7", 1, 44)


def resumed(ran: Ran, content: str, **fields: Any) -> dict[str, Any]:
    """The fields of the attempt that goes on."""
    waiting = Continuation(TaskId("t/subtask-1"), 1, "Find it", content, "{}", ran.result.continuation_json)
    return {"continuation": waiting, **fields}


def test_the_conversation_goes_on_with_the_subtasks_content_as_the_tools_result() -> None:
    seen: list[Any] = []
    first = run([Says(calls=(("1", "add", '{"a":2,"b":3}'), SPAWN))], calculator(seen), max_turns=2)
    second = run([Says("found")], calculator(seen), max_turns=2, **resumed(first, "a nugget"))
    messages = second.server.asked[0].messages
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool"]
    assert [message["content"] for message in messages[2:]] == ["5", "a nugget"]
    assert len(seen) == 1, "a tool ran twice"
    assert second.output["content"] == "found"
    assert second.handler.used.turns == 2, "the turns before the subtask count"
    third = run([Says("found")], calculator(seen), max_turns=1, **resumed(first, "a nugget"))
    assert (third.error.resource, third.error.used, third.error.limit) == ("turns", 1, 1)
    assert third.server.asked == []


def test_a_request_that_would_be_refused_is_told_to_the_model_instead() -> None:
    bad = ("7", "spawn_subtask", '{"goal":"g","instructions":"i","inputs":{"no name":"x"}}')
    ran = run([Says(calls=(bad,)), Says("alone then")])
    assert "is no name of an input" in ran.server.asked[1].messages[-1]["content"]
    assert (ran.result.subtask, ran.output["content"]) == (None, "alone then")


def test_of_two_subtasks_at_once_the_second_is_put_off() -> None:
    ran = run([Says(calls=(SPAWN, ("8", *SPAWN[1:2], SPAWN[2].replace("gold", "silver"))))])
    kept = json.loads(ran.result.continuation_json)
    assert kept["call_id"] == "7"
    assert kept["messages"][-1]["text"].startswith("not done")


def test_a_history_that_is_too_long_loses_its_oldest_turns_and_says_so() -> None:
    def tools(_: Work) -> list[Tool]:
        return [Tool("read", "Reads.", {"type": "object"}, lambda asked: "x" * 16_000 + str(asked))]

    reads = [Says(calls=((str(n), "read", json.dumps({"n": n})),)) for n in range(12)]
    first = run([*reads, Says(calls=(SPAWN,))], make_template(tools), max_turns=20, max_context_fraction=None)
    kept = json.loads(first.result.continuation_json)
    assert len(first.result.continuation_json) < 140_000
    assert kept["truncated"] is True
    assert kept["messages"][0]["role"] == "assistant"
    second = run([Says("done")], make_template(tools), max_turns=20, **resumed(first, "found"))
    assert "[earlier turns of this conversation are left out]" in second.server.asked[0].prompt


def test_a_recovery_is_offered_no_subtask_and_constraints_can_forbid_it() -> None:
    assert run([Says("done")], constraints_json='{"subtasks": false}').server.asked[0].tools == []
    assert run([Says("done")], recovery=recovery(RecoveryKind.ALTERNATIVE)).server.asked[0].tools == []


# ------------------------------------------------------------------------------------------------ recoveries


def recovery(kind: RecoveryKind) -> Recovery:
    error = TaskError(
        TaskErrorType.RESOURCE_EXHAUSTION, "turns: 3 of 3 used", resource="turns", used=3, limit=3
    )
    if kind is RecoveryKind.ALTERNATIVE:
        error = TaskError(TaskErrorType.INVALID_OUTPUT, "no sources", violations=("cite a source",))
    return Recovery(kind, 1, error, "Write the report", '{"content":"half"}')


DIVIDED = """<task type="sequential">
  <description>Halves</description>
  <steps>
    <task type="atomic" name="first"><description>One</description><instructions>first half</instructions></task>
    <task type="atomic" name="second"><description>Two</description><instructions>then {{first}}</instructions></task>
  </steps>
</task>"""


@pytest.mark.parametrize(
    "answer", [DIVIDED, f"\n{DIVIDED}\n", f"```xml\n{DIVIDED}\n```", f'<?xml version="1.0"?>{DIVIDED}']
)
def test_35_a_decomposition_is_asked_for_as_xml_and_gives_a_program(answer: str) -> None:
    ran = run([Says(answer)], recovery=recovery(RecoveryKind.DECOMPOSITION), max_turns=1)
    assert [operator.name for operator in ran.result.operators] == ["", "first", "second"]
    asked = ran.server.asked[0]
    assert asked.system == "You plan work. You answer in XML alone."
    assert "Write the report" in asked.prompt
    assert "turns (RESOURCE_EXHAUSTION: turns: 3 of 3 used)" in asked.prompt


@pytest.mark.parametrize(
    ("answer", "kind", "place"),
    [
        ("<task type='sequential'><steps>", TaskErrorType.XML_PARSE_ERROR, "1:32"),
        ("```xml\n<task type='sequential'>\n<steps>\n```", TaskErrorType.XML_PARSE_ERROR, "3:8"),
        ("Here it is: <task/>", TaskErrorType.XML_PARSE_ERROR, "1:1"),
        (DIVIDED.replace('"second"', '"first"'), TaskErrorType.VALIDATION_ERROR, "/task/steps/task[2]"),
        (
            DIVIDED.replace("<instructions>first", "<model>unheard-of</model><instructions>first"),
            TaskErrorType.VALIDATION_ERROR,
            "",
        ),
    ],
)
def test_35_a_malformed_decomposition_says_where(answer: str, kind: TaskErrorType, place: str) -> None:
    ran = run([Says(answer)], recovery=recovery(RecoveryKind.DECOMPOSITION))
    assert (ran.result.error_code, ran.error.type) == (str(kind), kind)
    assert (ran.error.location or ran.error.path or "").startswith(place)
    assert not ran.result.retryable


def test_36_an_alternative_is_told_what_was_given_and_what_was_wrong_with_it() -> None:
    ran = run(
        [Says('{"content":[1],"dataUsage":"all"}')],
        recovery=recovery(RecoveryKind.ALTERNATIVE),
        output_type="array",
        system="You write reports.",
    )
    asked = ran.server.asked[0]
    for part in ("Write the report", '{"content":"half"}', "- cite a source", "INVALID_OUTPUT"):
        assert part in asked.prompt
    assert asked.system.startswith("You write reports.\n\nYou answer exactly in the form")
    assert ran.output["parsedContent"] == [1]


# ---------------------------------------------------------------------------------------------------- limits


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
