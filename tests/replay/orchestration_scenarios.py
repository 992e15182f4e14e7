"""What happened in the recorded histories of orchestrated tasks."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from octolog.domain.arm import ArmRegistered
from octolog.domain.contract import (
    ApprovalRule,
    ApproveTask,
    DenyTask,
    ExtendBudget,
    OnTimeout,
    Orchestration,
)
from octolog.domain.ids import TaskId
from octolog.domain.values import Amounts, Limits
from octolog.testing import cancel, capability, failure, step, submit, success
from octolog.testing.requests import ROOT
from tests.replay.log import Decided, World

NOT_YET: Final = json.dumps({"valid": False, "passed": ["short", "true"], "failed": ["cited"]})
VALID: Final = json.dumps({"valid": True, "passed": ["short", "true", "cited"]})
CRITERIA: Final = ("short", "true", "cited")


def _world() -> World:
    world = World(Decided(64, 10_000))
    world.arm(ArmRegistered(capability("arm-a", "work", "task_planning"), "tester"))
    world.arm(ArmRegistered(capability("judge", "criteria_validation", cost_tier=2), "tester"))
    return world


def _approve(number: int = 0, comment: str = "") -> ApproveTask:
    return ApproveTask(TaskId(ROOT), TaskId(ROOT), "ada", comment, number)


def judged_and_repaired() -> World:
    """A judge misses a criterion; the repair meets it, after a restart in between."""
    world = _world()
    world.send(
        submit(orchestration=Orchestration(), acceptance_criteria=CRITERIA, required_capabilities=("work",))
    )
    world.send(success(world.next_attempt(), '"draft"'))
    world.send(success(world.next_attempt(), NOT_YET))
    world.restart()
    world.send(success(world.next_attempt(), '"final"'))
    world.send(success(world.next_attempt(), VALID))
    return world


def planned_again() -> World:
    """A plan is refused, a step of the next fails, the plan after that goes through its judge."""
    world = _world()
    tags = ("task_planning",)
    world.send(
        submit(orchestration=Orchestration(), acceptance_criteria=CRITERIA, required_capabilities=tags)
    )
    nobody = step("one", required_capabilities=("no_such_tag",))
    world.send(success(world.next_attempt(), "[]", plan=(nobody,)))
    world.send(success(world.next_attempt(), "[]", plan=(step("one"), step("two", "one"), step("three"))))
    world.send(failure(world.next_attempt(), "cannot be done"))
    world.restart()
    world.send(success(world.next_attempt(), '"third"'))
    world.send(success(world.next_attempt(), "[]", plan=(step("other", "three"),)))
    world.send(success(world.next_attempt(), '"done otherwise"'))
    world.send(success(world.next_attempt(), VALID))
    return world


def asked_of_people() -> World:
    """A gate that is opened, a question that is answered, a verdict that is overruled, silence, and a denial."""
    world = _world()
    gate = ApprovalRule("may it begin?", 60_000, OnTimeout.FAIL)
    rule = Orchestration(max_repairs=0, escalate=True, approval_timeout_ms=60_000)
    world.send(
        submit(
            approval=gate, orchestration=rule, acceptance_criteria=CRITERIA, required_capabilities=("work",)
        )
    )
    world.restart()
    world.send(_approve(7))
    world.send(_approve(1, "go on"))
    world.send(success(world.next_attempt(), '"ready"', question="may I send it?"))
    world.send(_approve())
    world.send(success(world.next_attempt(), '"sent"'))
    world.send(success(world.next_attempt(), NOT_YET))
    world.send(_approve(3, "good enough"))
    world.send(submit("task-2", approval=ApprovalRule(timeout_ms=5_000, on_timeout=OnTimeout.APPROVE)))
    world.send(submit("task-3", approval=ApprovalRule(timeout_ms=5_000)))
    world.send(submit("task-4", steps=(step("one", approval=ApprovalRule()),)))
    world.send(submit("task-5", approval=ApprovalRule()))
    world.pass_time(6_000)
    world.send(success(world.next_attempt()))
    world.send(DenyTask(TaskId("task-4"), TaskId("task-4/one"), "ada", "not now"))
    world.send(cancel("task-5"))
    return world


def budgets_inside_budgets() -> World:
    """A step's budget bounds its retries and its own steps together; the tree's is added to, once."""
    world = _world()
    steps = (step("one", budget=Limits(max_tokens=400)), step("two", "one"))
    world.send(submit(budget=Limits(max_tokens=1_000), nested_budgets=True, steps=steps))
    more = ExtendBudget(TaskId(ROOT), "request-1", Amounts(tokens=500), "ada", "more is needed")
    world.send(more)
    world.send(more)
    world.send(success(world.next_attempt(), "[]", plan=(step("a"), step("b")), tokens_used=100))
    while world.held:
        world.send(success(world.next_attempt(), tokens_used=100))
    return world


ORCHESTRATED: Final[tuple[Callable[[], World], ...]] = (
    judged_and_repaired,
    planned_again,
    asked_of_people,
    budgets_inside_budgets,
)
