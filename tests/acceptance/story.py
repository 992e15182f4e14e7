"""One partition with a worker, a planner and a judge, and what the orchestration tests say to it."""

from __future__ import annotations

import json
from typing import Any, Final

from octolog.domain.assignment import AttemptAssignment
from octolog.domain.contract import ApprovalRule, Orchestration
from octolog.domain.task.ledger import ZERO
from octolog.domain.values import Limits
from octolog.testing import ArmsTopic, ShardLog, capability, failure, step, submit, success

ROOT: Final = "task-1"
CRITERIA: Final = ("short", "true", "cited")
MISSES_ONE: Final = json.dumps({"valid": False, "passed": ["short", "true"], "failed": ["cited"]})
MEETS_ALL: Final = json.dumps({"valid": True, "passed": list(CRITERIA)})
JUDGED: Final[dict[str, Any]] = {"acceptance_criteria": CRITERIA, "required_capabilities": ("work",)}


class Story:
    """One partition with a worker, a planner and a judge."""

    def __init__(self, **settings: Any) -> None:
        arms = ArmsTopic(
            capability("worker", "work"),
            capability("planner", "task_planning"),
            capability("judge", "criteria_validation"),
        )
        self.log = ShardLog(arms, **settings)

    def send(self, *commands: Any) -> list[str]:
        """Send commands; the names of the facts that followed."""
        return [type(fact).__name__ for command in commands for fact in self.log.send(command)]

    def told(self) -> list[AttemptAssignment]:
        """What arms were asked since the last call."""
        return list(self.log.take_assignments())

    def only(self) -> AttemptAssignment:
        """The one thing that an arm was asked since the last call."""
        (one,) = self.told()
        return one

    def of(self, kind: type[Any]) -> list[Any]:
        """Facts of a kind."""
        return [fact for fact in self.log.facts if isinstance(fact, kind)]

    def nothing_is_reserved(self) -> bool:
        """Whether no open tree holds an allowance."""
        return all(entry.tree.ledger.reserved == ZERO for entry in self.log.shard.trees.values())


def until(state: str) -> Story:
    """A story that stands in one of the states of an orchestrated task."""
    story = Story()
    rule = Orchestration(max_repairs=0, max_replans=1, escalate=True)
    if state == "approval":
        story.send(submit(approval=ApprovalRule(), budget=Limits(max_tokens=900)))
    elif state in {"planning", "steps", "replanning"}:
        planned: dict[str, Any] = {
            "required_capabilities": ("task_planning",),
            "budget": Limits(max_tokens=900),
        }
        story.send(submit(orchestration=rule, **planned))
        if state != "planning":
            story.send(success(story.only(), plan=(step("one"), step("two", "one"))))
        if state == "replanning":
            story.send(failure(story.only()))
    else:
        story.send(submit(orchestration=rule, budget=Limits(max_tokens=900), **JUDGED))
        story.send(success(story.only(), tokens_used=10))
        if state == "escalated":
            story.send(success(story.only(), MISSES_ONE))
    return story
