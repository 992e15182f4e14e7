"""Plans that are made again after a step failed for good, on the real decider."""

from __future__ import annotations

from octolog.domain import facts as f
from octolog.domain.contract import Orchestration
from octolog.testing import failure, step, submit, success
from tests.acceptance.story import ROOT, Story


def test_a_step_that_failed_for_good_leads_to_a_new_plan_with_what_is_done() -> None:
    story = Story()
    story.send(submit(orchestration=Orchestration(), required_capabilities=("task_planning",)))
    story.send(success(story.only(), plan=(step("bad"), step("after", "bad"), step("good"))))
    bad, good = story.told()
    assert story.send(failure(bad)) == ["AttemptEnded", "TaskFailed"]
    assert story.send(success(good, '"kept"'))[-2:] == ["ReplanStarted", "AttemptAssigned"]
    again = story.only()
    assert again.feedback is not None
    assert [(each.step_id, each.output) for each in again.feedback.done] == [("good", '"kept"')]
    assert again.feedback.taken == ("bad", "after", "good")
    story.send(success(again, plan=(step("other", "good"),)))
    other = story.only()
    assert [(each.step_id, each.output) for each in other.inputs] == [("good", '"kept"')]
    story.send(success(other, '"end"'))
    assert story.of(f.TaskCompleted)[-1].output == '"end"'


def test_new_plans_are_bounded() -> None:
    story = Story()
    story.send(submit(orchestration=Orchestration(max_replans=2), required_capabilities=("task_planning",)))
    for number in range(3):
        story.send(success(story.only(), plan=(step(f"s{number}"),)))
        story.send(failure(story.only(), "cannot be done"))
    assert len(story.of(f.ReplanStarted)) == 2
    failed = story.of(f.TaskFailed)[-1]
    assert (failed.task_id, failed.message) == (ROOT, "cannot be done")


def test_a_steps_step_that_failed_fails_its_step_and_the_plan_above_is_made_again() -> None:
    story = Story()
    story.send(submit(orchestration=Orchestration(), required_capabilities=("task_planning",)))
    story.send(success(story.only(), plan=(step("outer"),)))
    story.send(success(story.only(), plan=(step("x"), step("y"))))
    one, two = story.told()
    assert story.send(failure(one)) == [
        "AttemptEnded",
        "TaskFailed",
        "AttemptEnded",
        "TaskFailed",
        "ReplanStarted",
        "AttemptAssigned",
    ]
    assert story.send(success(two)) == ["ResultIgnored"]
    assert story.only().task_id == ROOT
