"""Recorded histories of operator programs: every operator, a recovery of each kind, a subtask, a restart within."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from octolog.domain.arm import ArmRegistered
from octolog.domain.operators import ATOMIC, FailurePolicy, Operator, OperatorInput, Role, SubtaskRequest
from octolog.domain.tasksystem import AtomicTaskSubtype, TaskType
from octolog.domain.values import Limits, TaskError, TaskErrorType
from octolog.testing import capability, failure, submit, success
from tests.replay.log import Decided, World

_EXHAUSTED = TaskError(TaskErrorType.RESOURCE_EXHAUSTION, "turns: 3 of 3", resource="turns", used=3, limit=3)


def _operator(name: str = "", parent: int = -1, role: Role = Role.ROOT, **fields: Any) -> Operator:
    compound = fields.get("type", TaskType.ATOMIC) is not TaskType.ATOMIC
    subtype = AtomicTaskSubtype.NONE if compound else AtomicTaskSubtype.STANDARD
    return replace(ATOMIC, name=name, parent=parent, role=role, **({"subtype": subtype} | fields))


def _world(*program: Operator, **contract: Any) -> World:
    world = World(Decided(128, 10_000))
    world.arm(ArmRegistered(capability("arm-a", "work"), "tester"))
    world.send(submit(operators=program, **contract))
    return world


def program_of_every_operator() -> World:
    """A sequence of an argument's task, a map and a reduce; the processor restarts in the map."""
    given = (OperatorInput("x", "1"), OperatorInput("y", "2 {{who}}"))
    world = _world(
        _operator(type=TaskType.SEQUENTIAL, accumulate_data=True),
        _operator("first", 0, Role.STEP, instructions="do {{a}}", inputs=(OperatorInput("a"),)),
        _operator("a", 1, Role.ARGUMENT, instructions="for {{who}}"),
        _operator("each", 0, Role.STEP, type=TaskType.MAP, inputs=given),
        _operator("one", 3, Role.INNER, instructions="{{current_input}} after {{first}}", max_turns=3),
        _operator("all", 0, Role.STEP, type=TaskType.REDUCE, inputs=given, initial_value="0"),
        _operator("in", 5, Role.INNER, output_type="number"),
        _operator("add", 5, Role.REDUCTION, instructions="{{accumulator}}+{{current_result}}"),
        context_json='{"who":"Ada"}',
        budget=Limits(max_tokens=10_000),
    )
    world.send(success(world.next_attempt(), '"an argument"', tokens_used=10))
    world.send(success(world.next_attempt(), '{"content":"one","notes":{"dataUsage":"a"}}'))
    world.send(success(world.held.pop(1), '{"b": 1.0}'))
    world.restart()
    while world.held:
        world.send(success(world.next_attempt(), "7"))
    return world


def program_recovered() -> World:
    """A task is too large and is decomposed at the second try; another's output is of the wrong type."""
    world = _world(
        _operator(type=TaskType.SEQUENTIAL),
        _operator("big", 0, Role.STEP, instructions="all of it"),
        _operator("typed", 0, Role.STEP, output_type="string[]"),
    )
    exhausted: dict[str, Any] = {"error_code": "RESOURCE_EXHAUSTION", "task_error": _EXHAUSTED}
    world.send(failure(world.next_attempt(), "too large", **exhausted))
    world.send(success(world.next_attempt(), "<task"))
    parts = (_operator("left", 0, Role.STEP), _operator("right", 0, Role.STEP))
    world.send(success(world.next_attempt(), operators=(_operator(type=TaskType.MAP), *parts)))
    for output in ('"left"', '"right"', '{"no":"list"}', '["a list"]'):
        world.send(success(world.next_attempt(), output))
    return world


def program_with_subtasks() -> World:
    """An arm asks for a subtask, goes on, asks for the same again, and its second chain is a cycle."""
    world = _world(_operator(type=TaskType.SEQUENTIAL), _operator("s", 0, Role.STEP))
    look = SubtaskRequest("look it up", instructions="find")
    world.send(success(world.next_attempt(), "", subtask=look, continuation_json='{"page":2}'))
    world.send(success(world.next_attempt(), '"found"'))
    world.send(success(world.next_attempt(), "", subtask=look))
    world.send(success(world.next_attempt(), "", subtask=look))
    return world


def program_that_fails_fast() -> World:
    """One of three fails: the others are stopped, and what one of them says later changes nothing."""
    steps = [_operator(name, 0, Role.STEP) for name in ("one", "two", "three")]
    world = _world(_operator(type=TaskType.MAP, on_failure=FailurePolicy.FAIL_FAST), *steps)
    one, two, three = world.held
    world.send(success(two, '"2"'))
    world.send(failure(three, "no"))
    world.send(success(one, '"late"'))
    return world


PROGRAMS = (program_of_every_operator, program_recovered, program_with_subtasks, program_that_fails_fast)
