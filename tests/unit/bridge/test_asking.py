"""What a service's answer may ask for besides its output: read where it is announced, bounded, and checked."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import orjson
import pytest

from arms.arm import Answer, Fail
from arms.bridge import BridgeSettings, health
from arms.bridge.asked import asked_of
from arms.bridge.conformance import ASKING, CHECKS, Checked, Verdict, check_service
from arms.bridge.conformance.bench import Broken, Skipped, Stand
from arms.bridge.description import Description
from arms.bridge.protocol import (
    MAX_ASKED_BYTES,
    USES,
    BadAnswer,
    ExecuteResponse,
    read_response,
    request_of,
)
from arms.bridge.published import asked_schemas
from arms.bridge.service import bridged, describe
from arms.bridge.transport import Transport
from arms.handler import Handler
from arms.outcome import Outcomes
from octolog.domain.assignment import Continuation, Feedback, FeedbackKind
from octolog.domain.contract import ApprovalRule, OnTimeout, Step
from octolog.domain.errors import InvalidContract
from octolog.domain.ids import ArmId, TaskId
from octolog.domain.memory import EntityType, MemoryProposal
from octolog.domain.operators import Role, SubtaskRequest
from octolog.domain.tasksystem import NamedText, TaskType
from octolog.domain.values import Limits
from tests.unit.arms.doubles import RecordingMeter, assignment
from tests.unit.bridge.conftest import Bridge
from tests.unit.bridge.notices import notices, noticing
from tests.unit.bridge.services import Behaviour, example, serving, success
from tests.unit.bridge.test_openapi import DOCUMENT, against

ALL: Final = {"uses": list(USES)}
PLAN: Final = [
    {"step_id": "one", "goal": "first", "assigned_arm": "noop", "context": {"a": 1}},
    {
        "step_id": "two",
        "goal": "then",
        "depends_on": ["one"],
        "required_capabilities": ["tag"],
        "budget": {"max_cost_dollars": 0.5},
        "timeout_seconds": 2,
        "approval": {"question": "sure?", "on_timeout": "fail"},
    },
]
PROGRAM: Final = [
    {"type": "sequential", "goal": "both"},
    {"name": "a", "parent": 0, "role": "step", "type": "atomic", "instructions": "do a"},
]


def read(**fields: Any) -> ExecuteResponse:
    return read_response(
        {**success({"attempt_id": "a"}), **fields}, attempt_id="a", task_id="t", uses=tuple(USES)
    )


def asking(**fields: Any) -> Behaviour:
    return lambda _, request: (200, success(request, **fields))


def answered(bridge: type[Bridge], **fields: Any) -> Answer:
    with serving(asking(**fields), description=ALL) as service:
        return bridge(service.url).ask()


def test_a_plan_is_one_of_a_contracts_steps(bridge: type[Bridge]) -> None:
    assert answered(bridge, plan=PLAN).plan == (
        Step("one", "first", assigned_arm=ArmId("noop"), context_json='{"a":1}'),
        Step(
            "two",
            "then",
            ("one",),
            required_capabilities=("tag",),
            budget=Limits(max_cost_micros=500_000),
            timeout_ms=2_000,
            approval=ApprovalRule("sure?", None, OnTimeout.FAIL),
        ),
    )


def test_a_subtask_comes_with_what_shall_be_kept_and_needs_no_output(bridge: type[Bridge]) -> None:
    subtask = {
        "goal": "count",
        "instructions": "{{text}}",
        "inputs": {"text": "to be"},
        "assigned_arm": "noop",
    }
    found = answered(bridge, output=None, subtask=subtask, continuation={"n": 1})
    inputs = (NamedText("text", "to be"),)
    assert found.subtask == SubtaskRequest("count", "{{text}}", inputs, assigned_arm=ArmId("noop"))
    assert found.continuation == {"n": 1}


def test_a_program_a_question_and_memories_are_read(bridge: type[Bridge]) -> None:
    program = answered(bridge, output=None, operators=PROGRAM).operators
    assert [(each.type, each.role) for each in program] == [
        (TaskType.SEQUENTIAL, Role.ROOT),
        (TaskType.ATOMIC, Role.STEP),
    ]
    assert answered(bridge, question="May I?").question == "May I?"
    memories = [{"entity_type": "FACT", "content": "it rains", "confidence": 0.5, "tags": ["weather"]}]
    assert answered(bridge, memories=memories).memories == (
        MemoryProposal(EntityType.FACT, "it rains", 0.5, ("weather",)),
    )


def test_what_a_description_does_not_announce_is_passed_over_as_before(bridge: type[Bridge]) -> None:
    odd = {"plan": "none", "question": 7, "continuation": [1], "memories": {}, "subtask": "x", "operators": 1}
    with serving(asking(**odd)) as service:
        found = bridge(service.url).ask()
    assert (found.plan, found.question, found.subtask, found.memories) == ((), "", None, ())
    with serving(asking(plan=PLAN), description={"uses": ["question", "later"]}) as service:
        assert bridge(service.url).ask().plan == ()


def test_the_output_is_held_against_its_schema_beside_a_plan_and_a_question(bridge: type[Bridge]) -> None:
    for asked in ({"plan": PLAN}, {"question": "May I?"}):
        with pytest.raises(BadAnswer, match="output"):
            answered(bridge, output="no object", **asked)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"plan": [{"step_id": "a", "goal": "g", "depend_on": []}]}, "plan.0.depend_on: Extra inputs"),
        ({"plan": [{"step_id": "a"}]}, "plan.0.goal: Field required"),
        ({"plan": [{"step_id": f"s{n}", "goal": "g"} for n in range(11)]}, "plan: List should have at most 10"),
        ({"question": "?" * 2_001}, "question: String should have at most 2000"),
        ({"memories": [{"entity_type": "fact", "content": "x"}] * 17}, "memories: List should have at most 16"),
        ({"memories": [{"entity_type": "rumour", "content": "x"}]}, "memories.0.entity_type"),
        ({"subtask": {"goal": "g", "timeout_seconds": -1}}, "subtask.timeout_seconds"),
        ({"continuation": {"n": 1}}, "continuation without a subtask"),
        ({"plan": PLAN, "question": "May I?"}, "plan and question; one of them at a time"),
        ({"status": "partial", "error": "cut", "plan": PLAN}, "is a partial with a plan; only a success"),
        ({"subtask": {"goal": "g"}, "continuation": {"x": "y" * MAX_ASKED_BYTES}}, "at most 524288"),
    ],
    ids=lambda value: None if isinstance(value, dict) else value[:20],
)  # fmt: skip
def test_what_is_out_of_bounds_or_contradicts_itself_is_a_bad_answer(
    fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadAnswer, match=said):
        read(**fields)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"subtask": {"goal": " "}}, "subtask.goal: is empty"),
        ({"operators": PROGRAM[1:]}, "operators"),
        ({"memories": [{"entity_type": "fact", "content": " "}]}, r"memories\[0\].content: 1 characters"),
        ({"subtask": {"goal": "g", "budget": {"max_cost_usd": 1, "max_cost_dollars": 1}}}, "subtask.budget"),
    ],
    ids=["empty goal", "no root", "blank memory", "two costs"],
)
def test_what_breaks_the_domains_rules_is_a_bad_answer(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(BadAnswer, match=said):
        asked_of(read(**fields))


def test_a_plan_that_is_none_fails_the_attempt_with_the_code_that_python_arms_get(
    bridge: type[Bridge],
) -> None:
    plan = [{"step_id": "b", "goal": "g", "depends_on": ["a"], "assigned_arm": "noop"}]
    answer, given = answered(bridge, plan=plan), assignment()
    settings = BridgeSettings("http://127.0.0.1:1")
    outcomes = Outcomes(bridged(Description.of({**example.DESCRIPTION, **ALL}, settings), settings))
    made = Handler(given, RecordingMeter(), deadline_s=None, clock=lambda: 0.0)
    result = outcomes.of(given, answer, made, took_ms=1, ended_ms=1)
    assert (result.status, result.error_code) == ("FAILURE", "INVALID_PLAN")


def test_an_attempt_after_a_subtask_or_an_approval_is_told_so() -> None:
    told = Continuation(TaskId("t/subtask-1"), 1, "count", "6", '{"dataUsage":"none"}', '{"n":1}')
    again = Feedback(FeedbackKind.APPROVED, 1, "go on")
    request = request_of(assignment(continuation=told, feedback=again), 1.0)
    assert request["continuation"] == {
        "subtask_task_id": "t/subtask-1",
        "number": 1,
        "goal": "count",
        "content": "6",
        "notes": {"dataUsage": "none"},
        "kept": {"n": 1},
    }
    assert (request["feedback"]["kind"], request["feedback"]["message"]) == ("APPROVED", "go on")
    against("ExecuteRequest").validate(orjson.loads(orjson.dumps(request)))


def test_the_published_schemas_are_those_that_answers_are_read_with() -> None:
    published = {name: DOCUMENT["components"]["schemas"].get(name) for name in asked_schemas()}
    assert published == asked_schemas(), (
        "run: python -m arms.bridge.published docs/reference/http-arm.openapi.json"
    )


@pytest.mark.parametrize(
    "fields", [{"plan": PLAN}, {"operators": PROGRAM}, {"subtask": {"goal": "g"}, "continuation": {}}]
)
def test_what_is_read_the_document_allows(fields: dict[str, Any]) -> None:
    answer = {**success({"attempt_id": "a"}), **fields}
    against("ExecuteResponse").validate(answer)
    assert read(**fields).asks


@pytest.mark.parametrize(
    "fields", [{"plan": [{"goal": "g"}]}, {"memories": [{"content": "x"}]}, {"question": "?" * 2_001}]
)
def test_what_the_document_forbids_is_refused(fields: dict[str, Any]) -> None:
    assert not against("ExecuteResponse").is_valid({**success({"attempt_id": "a"}), **fields})
    with pytest.raises(BadAnswer):
        read(**fields)


def test_uses_that_are_no_names_are_refused_and_unknown_ones_are_told() -> None:
    settings = BridgeSettings("http://127.0.0.1:1")
    with pytest.raises(InvalidContract, match="uses: must be an array"):
        Description.of({**example.DESCRIPTION, "uses": "plan"}, settings)
    found = Description.of({**example.DESCRIPTION, "uses": ["memories", "dance", "plan"]}, settings)
    assert (found.uses, found.unknown_uses) == (("plan", "memories"), ("dance",))


@pytest.fixture
def busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A health that takes 3 s says how busy this machine is, and nothing of the service."""
    monkeypatch.setattr(health, "SLOW_S", 60.0)


def checked(url: str) -> dict[str, Checked]:
    settings = BridgeSettings(url, health_timeout_s=60.0)
    return {one.check: one for one in check_service(settings, timeout_s=60.0)}


@pytest.mark.usefixtures("busy_machine")
def test_the_example_passes_every_check_of_what_it_announces() -> None:
    against("Arm").validate(notices.DESCRIPTION)
    with noticing() as url:
        found = checked(url)
    assert [name for name in found if name not in CHECKS] == [
        ASKING[use][0] for use in USES if use in notices.DESCRIPTION["uses"]
    ]
    assert {one.verdict for one in found.values()} == {Verdict.PASS}, found
    assert found["goes on after a subtask"].seen == "asked for 1 and went on with what it kept"


WRONG: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "plan": ({"plan": [{"step_id": "a", "goal": "g"}]}, "names neither required_capabilities nor"),
    "operators": ({"operators": PROGRAM[1:]}, "operators"),
    "subtask": ({"subtask": {"goal": "g", "assigned_arm": "noop"}}, "asks for more than 10 subtasks"),
    "question": ({"question": "May I?"}, "asks the same again after it was approved: 'May I?'"),
    "memories": ({}, "the answer to the sample that shows memories asks for nothing"),
}


@pytest.mark.usefixtures("busy_machine")
@pytest.mark.parametrize("use", USES)
def test_each_way_to_ask_wrongly_fails_its_check(use: str) -> None:
    fields, said = WRONG[use]

    def execute(_: Any, request: dict[str, Any]) -> Any:
        shows = request["contract"]["goal"] == "shows it"
        return (200, success(request, **fields)) if shows else (200, success(request))

    samples = [*example.DESCRIPTION["samples"], {"goal": "shows it", "context": {"text": ""}, "shows": use}]
    with serving(execute, description={"uses": [use], "samples": samples}) as service:
        found = asyncio.run(_one(service.url, use))
    assert said in found
    with serving(description={"uses": [use]}) as service:
        assert f'"shows": "{use}"' in asyncio.run(_one(service.url, use))


async def _one(url: str, use: str) -> str:
    """What one check says, alone."""
    settings = BridgeSettings(url)
    transport = Transport(settings)
    stand = Stand(settings, transport, timeout_s=60.0)
    try:
        stand.description = await describe(transport, settings)
        return await ASKING[use][1].look(stand)
    except (Broken, Skipped) as why:
        return str(why)
    finally:
        await transport.close()


def test_a_failure_that_keeps_a_partial_output_asks_for_nothing(bridge: type[Bridge]) -> None:
    with pytest.raises(Fail) as failed:
        answered(bridge, status="partial", error="cut short", output={"words": 1, "top": []})
    assert (failed.value.code, failed.value.output) == ("PARTIAL", {"words": 1, "top": []})
