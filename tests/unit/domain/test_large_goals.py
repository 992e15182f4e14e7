"""Large backgrounds of programs, plans and orchestrated goals: they work, or one line says at submission why not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from arms.large import resolved
from blobs import Blobs
from blobs.folder import FolderShelf
from octolog.client.large import claimed
from octolog.domain import facts as f
from octolog.domain.assignment import FeedbackKind
from octolog.domain.bounds import MAX_JSON_BYTES
from octolog.domain.contract import Orchestration
from octolog.domain.errors import InvalidContract
from octolog.domain.operators import ATOMIC, Role
from octolog.domain.rules import check_command
from octolog.edge.large import check_submission
from octolog.testing import capability, failure, step, submit, success
from schemas.codec import Codec
from schemas.registry import MemorySchemaTopic, TopicSchemaIds
from tests.acceptance.story import JUDGED, MEETS_ALL, MISSES_ONE, Story

LARGE = json.dumps({"text": "x" * MAX_JSON_BYTES}, separators=(",", ":"))


@pytest.fixture
def store(tmp_path: Path) -> Blobs:
    return Blobs(FolderShelf(tmp_path), 4_000_000)


def test_a_program_with_a_large_context_is_refused_at_submission_and_told_what_to_do(store: Blobs) -> None:
    command = submit(operators=(ATOMIC,), context_json=LARGE)
    assert ATOMIC.role is Role.ROOT
    checks: tuple[Callable[[], None], ...] = (
        lambda: check_submission(command.contract, 4_000_000),
        lambda: check_command(claimed(command, lambda: store)),
    )
    for checked in checks:
        with pytest.raises(InvalidContract) as told:
            checked()
        assert (told.value.code, told.value.field) == ("VALIDATION", "context")
        assert f"at most {MAX_JSON_BYTES}: a program decides by its context" in told.value.message
        assert "\n" not in str(told.value)
    assert Story().send(command) == ["RequestRejected"], "also where somebody else wrote it"


def test_a_planner_is_given_a_large_context_at_every_plan_of_an_orchestrated_goal(store: Blobs) -> None:
    story = Story()
    goal = submit(
        orchestration=Orchestration(max_replans=1),
        required_capabilities=("task_planning",),
        context_json=LARGE,
    )
    command = claimed(goal, lambda: store)
    check_command(command)
    story.send(command)
    planner = story.only()
    assert (planner.context_json, planner.context_blob is not None) == ("{}", True)
    assert resolved(planner, store, capability("planner", "task_planning")).context_json == LARGE
    story.send(success(planner, plan=(step("one"),)))
    one = story.only()
    assert (one.context_json, one.context_blob) == ("{}", None), "a step has its own"
    story.send(failure(one))
    again = story.only()
    assert again.feedback is not None
    assert again.feedback.kind is FeedbackKind.REPLAN
    assert resolved(again, store, capability("planner", "task_planning")).context_json == LARGE


def test_a_repair_of_a_goal_with_a_large_context_is_given_it_again(store: Blobs) -> None:
    story = Story()
    goal = submit(orchestration=Orchestration(max_repairs=1), context_json=LARGE, **JUDGED)
    story.send(claimed(goal, lambda: store))
    story.send(success(story.only()))
    story.send(success(story.only(), MISSES_ONE))
    repair = story.only()
    assert repair.feedback is not None
    assert resolved(repair, store, capability("worker", "work")).context_json == LARGE
    story.send(success(repair))
    assert "TaskCompleted" in story.send(success(story.only(), MEETS_ALL))
    assert len(story.of(f.RepairStarted)) == 1


def test_contexts_that_are_too_large_together_go_to_the_store_largest_first(store: Blobs) -> None:
    half = json.dumps({"text": "y" * 100_000})
    steps = tuple(step(f"s{n:02}", context_json=half) for n in range(12))
    many = submit(steps=(*steps, step("small", context_json='{"a":1}')))
    command = claimed(many, lambda: store)
    check_command(command)
    put = [each for each in command.contract.steps if each.context_blob is not None]
    assert [each.step_id for each in put] == ["s00", "s01", "s02", "s03", "s04"]
    assert all(store.read(each.context_blob) == half.encode() for each in put if each.context_blob)
    codec = Codec(TopicSchemaIds(MemorySchemaTopic()))
    assert len(codec.encode(command)) < 900_000 < len(codec.encode(many))
    assert claimed(command, lambda: store) == command, "twice is once"
