"""Subtasks that a model asks for, and recoveries: how the template arm asks for them and goes on after them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from arms.builtin.template import make_template
from arms.chat.tools import Tool
from arms.work import Work
from octolog.domain.assignment import Recovery
from octolog.domain.evaluator.prompts import TEMPLATES, system_of
from octolog.domain.evaluator.text import MAX_FILLED_CHARS
from octolog.domain.operators import RecoveryKind
from octolog.domain.values import TaskError, TaskErrorType
from tests.unit.arms.model_server import Says
from tests.unit.arms.template_runs import SPAWN, calculator, resumed, run

pytest.importorskip("pydantic_ai.models.openai", reason="the extra `model` is not installed")


# ------------------------------------------------------------------------------------------------- subtasks


def test_a_subtask_ends_the_attempt_with_what_it_needs_to_go_on() -> None:
    ran = run([Says("I need help", calls=(SPAWN,))])
    request = ran.result.subtask
    assert request is not None
    assert (request.goal, request.instructions) == ("Find it", "Look for {{what}}")
    assert [(each.name, each.text) for each in request.inputs] == [("what", "gold")]
    kept = json.loads(ran.result.continuation_json)
    assert (kept["call_id"], kept["turns"], kept["held_tokens"]) == ("7", 1, 44)


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
    assert run([Says("done")], **recovering(RecoveryKind.ALTERNATIVE)).server.asked[0].tools == []


# ------------------------------------------------------------------------------------------------ recoveries


def recovering(kind: RecoveryKind, own_system: str = "") -> dict[str, Any]:
    """What the evaluator gives to a recovery."""
    error = TaskError(
        TaskErrorType.RESOURCE_EXHAUSTION, "turns: 3 of 3 used", resource="turns", used=3, limit=3
    )
    if kind is RecoveryKind.ALTERNATIVE:
        error = TaskError(TaskErrorType.INVALID_OUTPUT, "no sources", violations=("cite a source",))
    recovery = Recovery(kind, 1, error, "Write the report", '{"content":"half"}')
    template = TEMPLATES[kind].task_prompt
    return {"recovery": recovery, "instructions": template, "system": system_of(kind, own_system)}


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
    ran = run([Says(answer)], **recovering(RecoveryKind.DECOMPOSITION), max_turns=1)
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
    ran = run([Says(answer)], **recovering(RecoveryKind.DECOMPOSITION))
    assert (ran.result.error_code, ran.error.type) == (str(kind), kind)
    assert (ran.error.location or ran.error.path or "").startswith(place)
    assert not ran.result.retryable


def test_36_an_alternative_is_told_what_was_given_and_what_was_wrong_with_it() -> None:
    ran = run(
        [Says('{"content":[1],"dataUsage":"all"}')],
        **recovering(RecoveryKind.ALTERNATIVE, "You write reports."),
        output_type="array",
    )
    asked = ran.server.asked[0]
    for part in ("Write the report", '{"content":"half"}', "- cite a source", "INVALID_OUTPUT"):
        assert part in asked.prompt
    assert asked.system.startswith("You write reports.\n\nYou answer exactly in the form")
    assert ran.output["parsedContent"] == [1]


def test_work_that_was_told_too_much_says_so() -> None:
    fields = recovering(RecoveryKind.ALTERNATIVE)
    fields["recovery"] = replace(fields["recovery"], instructions="x" * MAX_FILLED_CHARS)
    ran = run([Says("done")], **fields)
    assert (ran.result.error_code, ran.result.retryable, ran.server.asked) == ("INPUT_TOO_LARGE", False, [])
