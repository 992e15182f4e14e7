"""What the template arm tells a model, what it makes of the answers, and the tools it runs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from octolog.domain.assignment import Feedback, FeedbackKind
from octolog.domain.reports import ResourceUsed, ResultStatus
from octolog.domain.values import TaskErrorType
from tests.unit.arms.model_server import Asked, Says
from tests.unit.arms.template_runs import calculator, run

pytest.importorskip("pydantic_ai.models.openai", reason="the extra `model` is not installed")


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


def test_a_repair_is_told_what_the_judge_did_not_accept() -> None:
    feedback = Feedback(FeedbackKind.REPAIR, 1, "too long", ("one page",), '{"content":"a novel"}')
    assert run([Says("done")], goal="Sum up", feedback=feedback).server.asked[0].prompt == (
        "Sum up\n\nFeedback on an earlier attempt:\ntoo long\n- not met: one page\n"
        'The earlier attempt gave:\n{"content":"a novel"}'
    )


def test_a_task_outside_programs_is_told_by_its_goal() -> None:
    assert run([Says("done")], goal="Count the words").server.asked[0].prompt == "Count the words"


def test_the_model_that_a_task_names_is_asked() -> None:
    assert run([Says("done")], model="large").server.asked[0].body["model"] == "large"
    assert run([Says("done")]).server.asked[0].body["model"] == "tiny"


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
