from __future__ import annotations

from typing import Any

import pytest

from octolog.domain import facts as f
from octolog.domain.arm import Health
from octolog.domain.errors import InvalidContract
from octolog.domain.ids import MAX_TASK_ID_LENGTH
from octolog.testing import (
    ArmsTopic,
    ShardLog,
    attempt,
    cancel,
    capability,
    defer,
    given,
    heartbeat,
    history,
    step,
    submit,
    success,
)


def partition(*arms: Any, window: int = 64) -> ShardLog:
    return ShardLog(ArmsTopic(*arms), window=window)


def taken(log: ShardLog) -> list[str]:
    return [of.task_id for of in log.take_assignments()]


def one_by_one(log: ShardLog) -> list[str]:
    """Finish each task as it comes; the order in which they came."""
    order: list[str] = []
    while assignments := log.take_assignments():
        for of in assignments:
            order.append(of.task_id)
            log.send(success(of))
    return order


# Priority, age, window


def test_a_backlog_goes_by_priority() -> None:
    log = partition(window=1)
    for priority in (9, 1, 5):
        log.send(submit(f"task-{priority}", priority=priority))
    log.arms.register(capability("arm-a"))
    log.registry_changed()
    assert one_by_one(log) == ["task-1", "task-5", "task-9"]


def test_equals_go_first_in_first_out() -> None:
    log = partition(capability("arm-a"), window=1)
    names = [f"task-{n}" for n in range(20)]
    for name in names:
        log.send(submit(name))
    assert one_by_one(log) == names


def test_steps_that_become_ready_together_go_in_the_plan_s_order() -> None:
    log = partition(capability("arm-a"), window=1)
    log.send(submit(steps=(step("z"), step("m"), step("a"), step("first", priority=1))))
    assert one_by_one(log) == ["task-1/first", "task-1/z", "task-1/m", "task-1/a"]


def test_an_arm_holds_no_more_than_its_window() -> None:
    log = partition(capability("arm-a"), window=2)
    for n in range(4):
        log.send(submit(f"task-{n}"))
    assert taken(log) == ["task-0", "task-1"]
    assert log.shard.waiting == 2
    log.send(success(attempt("task-0")))
    assert taken(log) == ["task-2"]


def test_a_full_arm_leaves_room_for_the_next_best() -> None:
    log = partition(capability("cheap", cost_tier=1), capability("dear", cost_tier=5), window=1)
    for n in range(3):
        log.send(submit(f"task-{n}"))
    assert [(of.task_id, of.arm_id) for of in log.take_assignments()] == [
        ("task-0", "cheap"),
        ("task-1", "dear"),
    ]


def test_a_task_that_nobody_can_take_does_not_hold_up_the_others() -> None:
    log = partition(capability("arm-a"), window=1)
    log.send(submit("task-1", priority=1, required_capabilities=("rare",)))
    log.send(submit("task-2", priority=10))
    assert taken(log) == ["task-2"]


def test_a_tree_cancelled_while_its_task_was_queued_is_passed_over() -> None:
    log = partition(capability("arm-a"), window=1)
    for n in range(3):
        log.send(submit(f"task-{n}"))
    log.send(cancel("task-1"))
    assert one_by_one(log) == ["task-0", "task-2"]


# Deferral


def test_a_task_no_arm_can_take_says_once_which_tag_is_missing() -> None:
    log = partition(capability("arm-a", "write"))
    log.send(submit(required_capabilities=("write", "paint")))
    log.registry_changed()
    log.send(submit("task-2"))
    log.take_assignments()
    (deferred,) = [fact for fact in log.facts if isinstance(fact, f.RoutingDeferred)]
    assert deferred.reason == "no capable healthy arm for write, paint; nearest: arm-a lacks paint"


def test_a_deferred_task_goes_when_the_registry_has_an_arm_for_it() -> None:
    log = partition()
    log.send(submit(required_capabilities=("paint",)))
    assert taken(log) == []
    log.arms.register(capability("painter", "paint"))
    (assigned,) = log.registry_changed()
    assert isinstance(assigned, f.AttemptAssigned)
    assert assigned.arm_id == "painter"
    assert log.log[-1].link.registry_offset == 1


def test_an_unhealthy_arm_gets_nothing_until_it_is_well() -> None:
    log = partition(capability("arm-a"))
    log.arms.set_health("arm-a", Health.UNAVAILABLE)
    _, deferred = log.send(submit())
    assert isinstance(deferred, f.RoutingDeferred)
    assert deferred.reason == "no capable healthy arm for any task; nearest: arm-a is unavailable"
    log.arms.set_health("arm-a", Health.HEALTHY)
    log.registry_changed()
    assert taken(log) == ["task-1"]


def test_a_task_may_be_deferred_again_after_an_attempt() -> None:
    waiting = history(submit(), defer())
    given(*waiting).when(defer()).then_nothing()
    again = ShardLog(ArmsTopic(capability("arm-a")))
    again.send(submit())
    again.arms.retire("arm-a")
    again.run_timers()
    assert any(isinstance(fact, f.RoutingDeferred) for fact in again.facts)


def test_deferrals_come_by_priority_in_whichever_order_their_queues_arose() -> None:
    """A restored partition saw other queues arise first; its log must go on alike."""
    log = partition(capability("arm-a", "x", "y"), window=1)
    log.send(submit("task-0", required_capabilities=("x",)))
    log.send(submit("task-1", required_capabilities=("x",), priority=9))
    log.send(submit("task-2", required_capabilities=("y",), priority=1))
    before = len(log.log)
    log.arms.retire("arm-a")
    deferred = [fact.task_id for fact in log.registry_changed() if isinstance(fact, f.RoutingDeferred)]
    assert deferred == ["task-2", "task-1"]
    again = log.restored(before)
    again.continue_with(log, len(log.received) - 1)
    assert again.log == log.log


# What does not belong


@pytest.mark.parametrize("report", [success(attempt()), heartbeat(attempt())])
def test_a_report_about_no_task_of_this_log_is_no_fact(report: Any) -> None:
    log = partition(capability("arm-a"))
    with pytest.raises(InvalidContract, match="TASK_NOT_FOUND"):
        log.send(report)
    log.send(submit(priority=11))  # refused: there is a log of the tree, but no tree
    with pytest.raises(InvalidContract, match="TASK_NOT_FOUND"):
        log.send(report)


def test_a_name_too_long_for_a_link_is_no_fact() -> None:
    with pytest.raises(InvalidContract, match="INVALID_TASK_ID"):
        partition().send(submit("x" * (MAX_TASK_ID_LENGTH + 1)))


def test_a_restart_keeps_waiting_tasks_in_their_order() -> None:
    log = partition(capability("arm-a"), window=1)
    for n in range(6):
        log.send(submit(f"task-{n}", priority=1 + n % 2))
    again = log.restored(len(log.log))
    again.send(success(attempt("task-0")))
    assert one_by_one(again) == ["task-2", "task-4", "task-1", "task-3", "task-5"]
