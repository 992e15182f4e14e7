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
from projections.analytics.queries import canonical_digest
from projections.analytics.sink import AnalyticsProjection
from projections.duck import Store
from projections.provenance.fold import Custody
from projections.provenance.queries import provenance
from projections.tables import FOLLOWED
from streams.topics import TASKS
from tests.replay.log import World
from tests.replay.program_scenarios import (
    PROGRAMS,
    _operator,
    _world,
    program_of_every_operator,
    program_recovered,
    program_with_subtasks,
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


def custody_of(world: World, task_id: str) -> Custody:
    """What is said of a task once the whole story is stored, in one batch."""
    store = Store.open(None)
    projection = AnalyticsProjection(store, world.codec.ids)
    projection.apply([record for record in world.story if record.topic in FOLLOWED], {})
    try:
        return provenance(store, TaskId(task_id))
    finally:
        projection.close()


def lineage(custody: Custody) -> tuple[set[str], set[str]]:
    inputs = {source.name for source in custody.inputs if source.kind == "task"}
    return inputs, {source.name for source in custody.used_by if source.kind == "task"}


@pytest.mark.parametrize(
    ("story", "task_id", "inputs", "used_by"),
    [
        (program_of_every_operator, "first", {"first/a.argument"}, {"each", "all"}),
        (program_of_every_operator, "first/a.argument", set(), {"first"}),
        (program_of_every_operator, "all/x.reduction", {"all/x"}, {"all/y.reduction"}),
        (program_of_every_operator, "all/y.reduction", {"all/x.reduction", "all/y"}, set()),
        (program_recovered, "big/decomposed-2", {"big/recovery-2"}, set()),
        (program_with_subtasks, "s", {"s/subtask-1", "s/subtask-2"}, set()),
        (program_with_subtasks, "s/subtask-1", set(), {"s"}),
    ],
)
def test_lineage_of_a_programs_task_is_what_the_facts_tell(
    story: Callable[[], World], task_id: str, inputs: set[str], used_by: set[str]
) -> None:
    expected = tuple({f"task-1/{name}" for name in names} for names in (inputs, used_by))
    assert lineage(custody_of(story(), f"task-1/{task_id}")) == expected


@pytest.mark.parametrize(
    ("story", "task_id", "actions"),
    [
        (program_of_every_operator, "each/x", ("SUBMITTED", "RECEIVED", "PLANNED", "BEGAN", "ASSIGNED")),
        (program_recovered, "big/recovery-1", ("SUBMITTED", "RECEIVED", "PLANNED", "RECOVERED", "ASSIGNED")),
        (
            program_recovered,
            "big/decomposed-2/left",
            ("SUBMITTED", "RECEIVED", "PLANNED", "ADOPTED", "BEGAN"),
        ),
        (program_with_subtasks, "s/subtask-2", ("SUBMITTED", "RECEIVED", "PLANNED", "ASKED", "BEGAN")),
    ],
)
def test_custody_of_a_programs_task_begins_with_the_submission_and_what_made_it(
    story: Callable[[], World], task_id: str, actions: tuple[str, ...]
) -> None:
    custody = custody_of(story(), f"task-1/{task_id}")
    assert tuple(str(entry.action) for entry in custody.entries)[: len(actions)] == actions
    assert [entry.number for entry in custody.entries] == list(range(1, len(custody.entries) + 1))
    assert custody.faults == ()


def test_custody_of_a_recovered_task_names_its_recoveries_and_the_program() -> None:
    actions = [str(entry.action) for entry in custody_of(program_recovered(), "task-1/big").entries]
    assert (actions.count("RECOVERED"), actions.count("ADOPTED")) == (2, 1)


def test_stored_at_once_or_fact_by_fact_is_the_same() -> None:
    world = program_recovered()
    records = [record for record in world.story if record.topic in FOLLOWED]
    digests = set()
    for size in (1, len(records)):
        store = Store.open(None)
        projection = AnalyticsProjection(store, world.codec.ids)
        for start in range(0, len(records), size):
            projection.apply(records[start : start + size], {})
        digests.add(canonical_digest(store))
        projection.close()
    assert len(digests) == 1
