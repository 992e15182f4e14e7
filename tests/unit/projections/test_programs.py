"""What the views and the named questions say of programs, held against the core after every fact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from octolog.domain import facts as f
from octolog.domain.ids import TaskId
from octolog.domain.operators import FailurePolicy, Operator, OperatorInput, Role
from octolog.domain.tasksystem import TaskType
from octolog.ports import LogRecord
from octolog.testing import failure, step, submit, success
from streams.topics import TASKS
from tests.replay.log import World
from tests.replay.program_scenarios import (
    PROGRAMS,
    _operator,
    _world,
)
from tests.unit.projections.followed import hold_every_prefix

MAP = _operator(type=TaskType.MAP)


def arguments_of_arguments() -> World:
    """Two arguments of an atomic operator, one with an argument of its own; goals of some operators alone."""
    given = (OperatorInput("x"), OperatorInput("y"))
    world = _world(
        _operator(type=TaskType.SEQUENTIAL),
        _operator("first", 0, Role.STEP, inputs=given, goal="answer the first"),
        _operator("x", 1, Role.ARGUMENT),
        _operator("y", 1, Role.ARGUMENT, inputs=(OperatorInput("z"),)),
        _operator("z", 3, Role.ARGUMENT, goal="find z"),
        _operator("second", 0, Role.STEP),
    )
    while world.held:
        world.send(success(world.next_attempt(), '"it"'))
    return world


def argument_that_fails() -> World:
    """What stands beside and below the argument is stopped."""
    given = (OperatorInput("x"), OperatorInput("y"))
    world = _world(
        _operator(inputs=given),
        _operator("x", 0, Role.ARGUMENT, inputs=(OperatorInput("z"),)),
        _operator("z", 1, Role.ARGUMENT),
        _operator("y", 0, Role.ARGUMENT),
    )
    world.send(failure(world.held.pop(1), "no"))
    return world


def collected_failures() -> World:
    """A map over inputs of sequences: one fails inside, with a plan open below another; all others go on."""
    world = _world(
        replace_policy(MAP, FailurePolicy.COLLECT),
        _operator("inner", 0, Role.INNER, type=TaskType.SEQUENTIAL),
        _operator("a", 1, Role.STEP),
        _operator("b", 1, Role.STEP),
    )
    world.send(success(world.next_attempt(), "", plan=(step("p"), step("q", "p"))))
    world.send(failure(world.held.pop(0), "no"))
    while world.held:
        world.send(success(world.next_attempt(), '"it"'))
    return world


def submitted_below_a_program() -> World:
    """Somebody submits a task, with steps, below one of a map's that then fails; the map collects."""
    parts = (_operator("one", 0, Role.STEP), _operator("two", 0, Role.STEP))
    world = _world(replace_policy(MAP, FailurePolicy.COLLECT), *parts)
    world.send(submit("other", parent_task_id="task-1/one", steps=(step("s"), step("t", "s"))))
    world.send(submit("third", parent_task_id="other/s"))
    world.send(failure(world.next_attempt(), "no"))
    while world.held:
        world.send(success(world.next_attempt(), '"it"'))
    return world


def submitted_program() -> World:
    """A program below a plain task."""
    world = _world()
    world.send(
        submit("below", parent_task_id="task-1", goal="go", operators=(MAP, _operator("s", 0, Role.STEP)))
    )
    while world.held:
        world.send(success(world.next_attempt(), '"it"'))
    return world


def replace_policy(operator: Operator, policy: FailurePolicy) -> Operator:
    return replace(operator, inputs=(OperatorInput("m"), OperatorInput("n")), on_failure=policy)


STORIES = (
    *PROGRAMS,
    arguments_of_arguments,
    argument_that_fails,
    collected_failures,
    submitted_below_a_program,
    submitted_program,
)


def facts_of(world: World) -> list[tuple[LogRecord, f.Fact]]:
    return [(record, world.codec.decode(record.value).fact) for record in world.records[TASKS, 0]]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_every_prefix_of_a_program_has_the_states_the_core_gives_it(story: Callable[[], World]) -> None:
    world = story()
    facts = facts_of(world)
    hold_every_prefix(TaskId("task-1"), facts, world.codec.ids)
    assert len(facts) > 8
