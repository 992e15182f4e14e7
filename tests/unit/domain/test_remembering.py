"""Memories that arms propose: recorded once the result they came with was accepted, and never otherwise."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from octolog.domain import facts as f
from octolog.domain.assignment import AttemptAssignment
from octolog.domain.contract import ApproveTask, Orchestration
from octolog.domain.errors import InvalidContract
from octolog.domain.ids import TaskId
from octolog.domain.memory import MAX_PROPOSALS, EntityType, MemoryProposal, check_memory
from octolog.testing import ArmsTopic, ShardLog, cancel, capability, failure, step, submit, success
from streams.snapshots import Parts, opened, snapshot, snapshot_key

ROOT: Final = TaskId("task-1")
CRITERIA: Final = ("short", "true")
REFUSED: Final = json.dumps({"valid": False, "passed": ["short"], "failed": ["true"]})
ACCEPTED: Final = json.dumps({"valid": True, "passed": list(CRITERIA)})
JUDGED: Final[dict[str, Any]] = {
    "acceptance_criteria": CRITERIA,
    "required_capabilities": ("work",),
    "orchestration": Orchestration(),
}
ASKED: Final = '{"remember":true}'


def memory(content: str) -> MemoryProposal:
    return MemoryProposal(EntityType.FACT, content, 0.9, ("kafka",))


class Story:
    """One partition with a worker and a judge."""

    def __init__(self) -> None:
        arms = ArmsTopic(capability("worker", "work"), capability("judge", "criteria_validation"))
        self.log = ShardLog(arms)

    def send(self, *commands: Any) -> list[f.Fact]:
        return [fact for command in commands for fact in self.log.send(command)]

    def only(self) -> AttemptAssignment:
        (one,) = self.log.take_assignments()
        return one

    def contents(self) -> list[str]:
        return [recorded.memory.content for recorded in self.log.remembered]


def test_what_a_result_proposes_is_recorded_once_the_judge_accepts_it() -> None:
    story = Story()
    story.send(submit(**JUDGED))
    work = story.only()
    story.send(success(work, '"text"', memories=(memory("one"), memory("two"))))
    assert story.contents() == []
    facts = story.send(success(story.only(), ACCEPTED))
    assert [type(fact) for fact in facts][-2:] == [f.TaskCompleted, f.MemoriesAccepted]
    assert story.contents() == ["one", "two"]
    first = story.log.remembered[0]
    check_memory(first)
    assert (first.root_task_id, first.task_id, first.memory.source) == (ROOT, ROOT, "worker")
    assert (first.memory.confidence, first.memory.tags) == (0.9, ("kafka",))
    told, last = json.loads(first.memory.metadata_json), story.log.log[-1]
    assert told == {
        "accepted_with": ROOT,
        "attempt_id": work.attempt_id,
        "fact": f"{ROOT}/{last.link.seq}",
        "number": 0,
        "position": last.link.position,
    }
    assert isinstance(last.fact, f.MemoriesAccepted)
    assert last.fact.memory_ids == tuple(each.memory.memory_id for each in story.log.remembered)


def test_what_a_rejected_result_proposed_is_never_recorded_and_its_repairs_is() -> None:
    story = Story()
    story.send(submit(**JUDGED))
    story.send(success(story.only(), '"draft"', memories=(memory("of the draft"),)))
    story.send(success(story.only(), REFUSED))
    story.send(success(story.only(), '"final"', memories=(memory("of the repair"),)))
    story.send(success(story.only(), ACCEPTED))
    assert story.contents() == ["of the repair"]


def test_a_repair_that_proposes_nothing_leaves_nothing_of_the_rejected_draft() -> None:
    story = Story()
    story.send(submit(**JUDGED))
    story.send(success(story.only(), '"draft"', memories=(memory("of the draft"),)))
    story.send(success(story.only(), REFUSED))
    story.send(success(story.only(), '"final"'))
    story.send(success(story.only(), ACCEPTED))
    assert story.contents() == []


def test_the_same_result_and_verdict_again_record_nothing_again() -> None:
    story = Story()
    story.send(submit(**JUDGED))
    result = success(story.only(), '"text"', memories=(memory("one"),))
    story.send(result, result)
    verdict = success(story.only(), ACCEPTED)
    story.send(verdict, verdict, result)
    assert story.contents() == ["one"]


def test_a_cancelled_task_records_nothing() -> None:
    story = Story()
    story.send(submit(**JUDGED))
    story.send(success(story.only(), '"text"', memories=(memory("one"),)))
    verdict = success(story.only(), ACCEPTED)
    story.send(cancel(), verdict)
    assert story.contents() == []


def test_a_person_who_lets_a_result_stand_accepts_what_it_proposed() -> None:
    story = Story()
    story.send(submit(**{**JUDGED, "orchestration": Orchestration(max_repairs=0, escalate=True)}))
    story.send(success(story.only(), '"text"', memories=(memory("one"),)))
    story.send(success(story.only(), REFUSED))
    assert story.contents() == []
    story.send(ApproveTask(ROOT, ROOT, "somebody", "fine"))
    assert story.contents() == ["one"]


def test_a_judges_own_proposals_are_not_kept() -> None:
    story = Story()
    story.send(submit(**JUDGED))
    story.send(success(story.only(), '"text"'))
    story.send(success(story.only(), ACCEPTED, memories=(memory("of the judge"),)))
    assert story.contents() == []


def test_of_a_plan_what_its_steps_proposed_is_recorded_with_the_result_they_are_part_of() -> None:
    story = Story()
    story.send(submit(**JUDGED, steps=(step("a", required_capabilities=("work",)),)))
    story.send(success(story.only(), '"text"', memories=(memory("of a step"),)))
    assert story.contents() == []
    story.send(success(story.only(), ACCEPTED))
    assert story.contents() == ["of a step"]
    assert story.log.remembered[0].task_id == f"{ROOT}/a"


@pytest.mark.parametrize(("constraints", "recorded"), [(ASKED, ["one"]), ("{}", [])])
def test_without_a_judge_it_is_recorded_when_the_tree_completes_if_its_contract_asks_for_it(
    constraints: str, recorded: list[str]
) -> None:
    story = Story()
    steps = (step("a", required_capabilities=("work",)), step("b", "a", required_capabilities=("work",)))
    story.send(submit(constraints_json=constraints, steps=steps))
    story.send(success(story.only(), memories=(memory("one"),)))
    assert story.contents() == []
    story.send(success(story.only()))
    assert story.contents() == recorded


def test_of_a_tree_that_fails_nothing_is_recorded() -> None:
    story = Story()
    steps = (step("a", required_capabilities=("work",)), step("b", "a", required_capabilities=("work",)))
    story.send(submit(constraints_json=ASKED, steps=steps))
    story.send(success(story.only(), memories=(memory("one"),)))
    story.send(failure(story.only(), "no"))
    assert story.contents() == []


def test_a_result_that_proposes_nothing_has_the_facts_it_always_had() -> None:
    story = Story()
    story.send(submit(required_capabilities=("work",), constraints_json=ASKED))
    assert [type(fact) for fact in story.send(success(story.only()))] == [f.AttemptEnded, f.TaskCompleted]


def test_proposals_beyond_the_bounds_are_refused_with_the_field() -> None:
    story = Story()
    story.send(submit(required_capabilities=("work",)))
    work = story.only()
    with pytest.raises(InvalidContract, match=f"at most {MAX_PROPOSALS}"):
        story.send(success(work, memories=(memory("x"),) * (MAX_PROPOSALS + 1)))
    with pytest.raises(InvalidContract, match=r"memories\[1\].content"):
        story.send(success(work, memories=(memory("x"), memory(" "))))


def test_proposals_that_wait_outlive_the_process() -> None:
    story = Story()
    story.send(submit(**JUDGED))
    story.send(success(story.only(), '"text"', memories=(memory("one"),)))
    entry = story.log.shard.trees[ROOT]
    again = opened(Parts({snapshot_key(record): record for record in snapshot(entry)}))
    assert again is not None
    assert again.tree.proposed == entry.tree.proposed != {}
