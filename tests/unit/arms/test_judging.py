"""What the judge can say by rules, and what it asks a model."""

from __future__ import annotations

import json
from typing import Any

import pytest

from arms.arm import Fail, Retry
from arms.builtin import BUILTIN
from arms.builtin.judge import judge
from arms.builtin.plan import fresh, plan_goal
from arms.judging.criteria import check
from octolog.domain.rules import check_plan
from schemas.json_schema import fault_in
from tests.unit.arms.doubles import ScriptedModel, run

DOCUMENT = {"title": "T", "items": [1, 2, 3], "sum": {"n": 6}, "citations": ["a:1", "b:2"]}


@pytest.mark.parametrize(
    ("criterion", "met"),
    [
        ('contains "title"', True),
        ('The result mentions "nothing of it".', False),
        ('does not contain "secret"', True),
        ("has field `title`", True),
        ("has fields `title` and `missing`", False),
        ("`sum.n` >= 6", True),
        ("`sum.n` is 7", False),
        ("`title` is T", True),
        ("at least 3 items in `items`", True),
        ("at most 2 items in `items`", False),
        ("exactly 3 items in `items`", True),
        ("at most 500 characters", True),
        ("at least 100 words", False),
        ("cites at least 2 sources", True),
        ("cites more than 2 sources", False),
        ("is an object", True),
        ("is a list", False),
        ("is not empty", True),
        ("reads well", None),
    ],
)
def test_a_rule_says_what_it_can(criterion: str, met: bool | None) -> None:
    assert check(criterion, DOCUMENT) is met


def _held(model: ScriptedModel | None = None, **fields: Any) -> dict[str, Any]:
    given = {"context": {"output": DOCUMENT, **fields.pop("context", {})}, **fields}
    output: dict[str, Any] = run(judge, model, **given).output
    return output


def test_19_the_confidence_of_the_criteria_layer_is_the_share_that_is_met() -> None:
    said = _held(acceptance_criteria=("is an object", "has field `title`", 'contains "gone"'))
    assert said["confidence"] == pytest.approx(2 / 3, abs=1e-3)
    assert (said["valid"], said["failed"]) == (False, ['contains "gone"'])


def test_no_layer_gives_half_a_confidence() -> None:
    assert _held() == {
        "confidence": 0.5, "failed": [], "feedback": "", "issues": [], "layers": {}, "passed": [], "valid": True,
    }  # fmt: skip


def test_a_result_is_held_against_its_schema() -> None:
    expected = {"type": "object", "required": ["author"]}
    said = _held(context={"expected_schema": expected})
    assert (said["valid"], said["confidence"]) == (False, 0.0)
    assert "author" in said["feedback"]


def test_a_claim_must_stand_in_a_source() -> None:
    claims = {"claims": ["The broker listens on port 9092", "The broker listens on port 9093"]}
    said = _held(context={"output": claims, "sources": ["By default the broker listens on port 9092."]})
    assert (said["valid"], said["confidence"]) == (False, 0.5)
    assert "9093" in said["feedback"]


def test_what_no_rule_can_check_needs_a_model() -> None:
    with pytest.raises(Fail, match="reads well") as told:
        _held(acceptance_criteria=("is an object", "reads well"))
    assert told.value.code == "MODEL_REQUIRED"


def test_a_model_is_asked_for_what_no_rule_can_check_alone() -> None:
    model = ScriptedModel(json.dumps({"met": [False], "feedback": "shorter sentences", "quality": 0.6}))
    said = _held(model, acceptance_criteria=("is an object", "reads well"))
    assert (said["passed"], said["failed"]) == (["is an object"], ["reads well"])
    assert "shorter sentences" in said["feedback"]
    assert [issue["severity"] for issue in said["issues"]] == ["warning"]
    assert "is an object" not in model.prompts[0].partition("Result:")[0]


def test_a_model_that_answers_no_verdict_is_asked_again() -> None:
    with pytest.raises(Retry):
        _held(ScriptedModel('{"met": [true, true]}'), acceptance_criteria=("reads well",))


def test_a_goal_in_clauses_is_a_plan_without_a_model() -> None:
    steps = plan_goal(
        "Search the notes for dates; look up the rules, then verify the result", {"path": "/srv/x"}
    )
    assert [(step.required_capabilities[0], step.depends_on) for step in steps] == [
        ("keyword_search", ()),
        ("keyword_search", ()),
        ("criteria_validation", ("1-keyword-search", "2-keyword-search")),
    ]
    check_plan("plan", steps, 10)


def contexts(goal: str, context: dict[str, Any]) -> list[dict[str, Any]]:
    """What the steps of a goal's plan are given; each fits the schema of the arm that comes with octolog for it."""
    steps = plan_goal(goal, context)
    for step in steps:
        (tag,) = step.required_capabilities
        arms = [each.capability for each in BUILTIN.values() if tag in each.capability.capabilities]
        assert [fault_in(each.input_schema_json, step.context_json) for each in arms] == [None]
    return [json.loads(step.context_json) for step in steps]


def test_a_field_that_two_arms_know_goes_to_the_one_that_takes_it() -> None:
    shared = {"path": "/srv/x", "limit": 3}
    goal = "Search the notes, then run the script"
    assert contexts(goal, {**shared, "method": "keyword"}) == [{**shared, "method": "keyword"}, shared]
    assert contexts(goal, {**shared, "method": "POST"}) == [shared, {**shared, "method": "POST"}]


def test_a_context_can_say_for_which_capability_a_field_is() -> None:
    own = {"keyword_search": {"method": "keyword"}, "python_execution": {"method": "GET", "path": "/srv/y"}}
    assert contexts("Search the notes, then run the script", {"path": "/srv/x", "for_capability": own}) == [
        {"method": "keyword", "path": "/srv/x"},
        {"method": "GET", "path": "/srv/y"},
    ]
    with pytest.raises(Fail, match="for_capability"):
        plan_goal("Search the notes, then run the script", {"for_capability": {"keyword_search": "x"}})


def test_a_field_that_no_step_takes_is_kept_so_that_its_arm_says_why() -> None:
    goal = "Search the notes, then run the script"
    assert [json.loads(step.context_json) for step in plan_goal(goal, {"method": "dig"})] == [
        {"method": "dig"}
    ] * 2


@pytest.mark.parametrize("goal", ["Write a poem", "Search the notes, then sing", "Search the notes"])
def test_a_goal_that_names_nothing_an_arm_does_is_no_plan(goal: str) -> None:
    assert plan_goal(goal, {}) == ()


def test_a_new_plan_takes_no_name_again() -> None:
    steps = plan_goal("Search the notes, then verify them", {})
    again = fresh(steps, [step.step_id for step in steps])
    assert [(step.step_id, step.depends_on) for step in again] == [
        ("1-keyword-search.2", ()),
        ("2-criteria-validation.2", ("1-keyword-search.2",)),
    ]
