"""The built-in arms, from the goal to the report, as the task processor would chain them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from arms.arm import Answer, Arm, Fail, Retry
from arms.builtin import BUILTIN, GROUPS
from arms.builtin.bounded import MAX_STEP_BYTES, bounded
from arms.builtin.plan import MAX_PATHS_BYTES, plan_review
from arms.review import Batch, Finding, Survey
from octolog.domain.contract import Step
from octolog.domain.ids import ArmId
from octolog.domain.rules import check_plan
from octolog.domain.values import Limits
from tests.unit.arms.doubles import ScriptedModel, run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "README.md").write_text("# Title\n\n[gone](missing.md) [here](docs/guide.md)\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/guide.md").write_text('# Guide\n\n```json\n{"a": }\n```\n\n[top](#nowhere)\n')
    (tmp_path / "main.py").write_text("def f(a=[]):\n    try:\n        return a\n    except:\n        pass\n")
    return tmp_path


def arm_for(step: Step) -> Arm:
    (found,) = [
        arm for arm in GROUPS["review"] if set(step.required_capabilities) <= set(arm.capability.capabilities)
    ]
    return found


def review(folder: Path, model: ScriptedModel | None = None) -> tuple[Answer, dict[str, Any]]:
    """Plan, and work the plan off in order; the plan's answer and every step's output."""
    plan = run(BUILTIN["planner"], model, goal=f"Review the folder {folder}")
    outputs: dict[str, Any] = {}
    for step in plan.plan:
        inputs = {need: outputs[need] for need in step.depends_on}
        answer = run(
            arm_for(step), model, goal=step.goal, context=json.loads(step.context_json), inputs=inputs
        )
        outputs[step.step_id] = json.loads(json.dumps(answer.output))
    return plan, outputs


def test_a_folder_is_planned_reviewed_judged_and_reported(folder: Path) -> None:
    plan, outputs = review(folder)
    assert [step.step_id for step in plan.plan] == ["documents-1", "examples-2", "code-3", "judge", "report"]
    assert plan.plan[-2].depends_on == ("documents-1", "examples-2", "code-3")
    kinds = outputs["report"]["totals"]["by_kind"]
    assert {"broken-link", "broken-anchor", "snippet-json", "bare-except", "mutable-default"} <= set(kinds)
    assert outputs["report"]["totals"]["files_reviewed"] == 3
    assert "`README.md:3`" in outputs["report"]["report"]


def test_a_finding_that_is_not_true_is_refuted(folder: Path) -> None:
    lie = Finding("README.md", 3, "broken-link", "`docs/guide.md` is not there", "made up", "error").to_json()
    answer = run(
        BUILTIN["judge"],
        context={"path": str(folder)},
        inputs={"documents-1": {"findings": [lie], "left_out": 0}},
    )
    assert (answer.output["confirmed_total"], answer.output["refuted_total"], answer.confidence) == (
        0,
        1,
        0.0,
    )


def test_the_same_folder_gives_the_same_bytes(folder: Path) -> None:
    assert review(folder)[1] == review(folder)[1]


def test_with_a_model_the_planner_gives_a_focus_and_the_report_a_summary(folder: Path) -> None:
    model = ScriptedModel("Mend the link.")
    plan, outputs = review(folder, model)
    assert plan.output["focus"] == "Mend the link."
    assert outputs["report"]["summary"] == "Mend the link."
    assert "Mend the link." in outputs["report"]["report"]
    assert len(model.prompts) == 2


def test_without_an_answer_of_the_model_the_review_goes_on_and_says_so(folder: Path) -> None:
    plan, outputs = review(folder, ScriptedModel(None))
    assert plan.output["note"] == "planned without the model: away"
    assert outputs["report"]["note"] == "reported without the model: away"


def test_a_refused_model_call_is_not_made_and_the_plan_is_made_without(folder: Path) -> None:
    model = ScriptedModel("unasked")
    answer = run(
        BUILTIN["planner"], model, Limits(max_llm_calls=0), goal="plan", context={"path": str(folder)}
    )
    assert "calls: 0 of 0 used" in answer.output["note"]
    assert model.prompts == []


def test_a_goal_without_a_folder_needs_a_model() -> None:
    with pytest.raises(Fail) as caught:
        run(BUILTIN["planner"], goal="Write a poem")
    assert caught.value.code == "MODEL_REQUIRED"


def test_a_goal_without_a_folder_is_decomposed_by_the_model() -> None:
    text = 'Sure: [{"step_id": "a", "goal": "find"}, {"step_id": "b", "goal": "judge", "depends_on": ["a"]}]'
    plan = run(BUILTIN["planner"], ScriptedModel(text), goal="Write a poem").plan
    assert [(step.step_id, step.depends_on) for step in plan] == [("a", ()), ("b", ("a",))]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("I cannot", "INVALID_OUTPUT"),
        ("[]", "INVALID_OUTPUT"),
        ('[{"goal": "no id"}]', "INVALID_OUTPUT"),
        ('[{"step_id":"a","goal":"g","depends_on":["b"]}]', "INVALID_PLAN"),
    ],
)
def test_a_models_answer_that_is_no_plan_may_be_asked_for_again(text: str, code: str) -> None:
    with pytest.raises(Retry) as caught:
        run(BUILTIN["planner"], ScriptedModel(text), goal="Write a poem")
    assert caught.value.code == code


@pytest.mark.parametrize("goal", ["Review the folder /nowhere/at/all", "Review the folder ."])
def test_a_folder_that_cannot_be_reviewed_is_named(
    goal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Fail) as caught:
        run(BUILTIN["planner"], goal=goal)
    assert caught.value.code == "NOT_FOUND"


def surveyed(documents: int, code: int, name_chars: int = 10) -> Survey:
    batches = tuple(
        Batch(kind, tuple(f"{kind[0]}{batch:03d}-{n:02d}".ljust(name_chars, "x") for n in range(25)), 1_000)  # type: ignore[arg-type]
        for kind, count in (("documents", documents), ("code", code))
        for batch in range(count)
    )
    return Survey(25 * (documents + code), 0, (), (), batches, ())


@pytest.mark.parametrize(
    ("documents", "code"), [(1, 0), (0, 1), (1, 1), (9, 1), (1, 9), (50, 50), (4, 4), (0, 99), (99, 0)]
)
def test_every_file_has_its_step_and_no_plan_is_longer_than_ten(documents: int, code: int) -> None:
    survey = surveyed(documents, code)
    steps, dropped = plan_review("/f", survey, {})
    check_plan("plan", steps, 10)
    assert dropped == 0
    by_tag: dict[str, list[str]] = {}
    for step in steps[:-2]:
        by_tag.setdefault(step.required_capabilities[0], []).extend(json.loads(step.context_json)["paths"])
    expected = {
        kind: [p for b in survey.batches if b.kind == kind for p in b.paths] for kind in ("documents", "code")
    }
    assert by_tag.get("keyword_search", []) == by_tag.get("python_execution", []) == expected["documents"]
    assert by_tag.get("code_analysis", []) == expected["code"]


def test_files_beyond_what_steps_can_name_are_counted_in_the_report() -> None:
    steps, dropped = plan_review("/f", surveyed(0, 400, name_chars=200), {})
    assert dropped > 0
    assert all(len(step.context_json) < MAX_PATHS_BYTES + 1_000 for step in steps)
    assert json.loads(steps[-1].context_json)["survey"]["skipped"] == {"beyond the plan": dropped}


def test_findings_are_cut_to_size_errors_last() -> None:
    notes = [Finding("a.py", n, "todo-marker", "`TODO`", "x" * 390, "note") for n in range(1, 400)]
    errors = [Finding("b.py", n, "syntax-error", "`x`", "x" * 390, "error") for n in range(1, 20)]
    kept, left_out = bounded([*notes, *errors], MAX_STEP_BYTES)
    assert len(kept) + left_out == len(notes) + len(errors)
    assert left_out > 0
    assert sum(value["severity"] == "error" for value in kept) == len(errors)
    assert len(json.dumps(kept, separators=(",", ":"))) <= MAX_STEP_BYTES


def test_each_review_step_is_routed_to_one_arm() -> None:
    for step in plan_review("/f", surveyed(2, 2), {})[0]:
        assert arm_for(step).arm_id in {ArmId(name) for name in ("retriever", "executor", "coder", "judge")}
