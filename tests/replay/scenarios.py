"""What happened in the recorded histories: each is one story, told to the real core."""

from __future__ import annotations

from collections.abc import Callable

from octolog.domain.arm import ArmHeartbeat, ArmRegistered, ArmRetired
from octolog.domain.contract import ApproveTask
from octolog.domain.ids import ArmId, TaskId
from octolog.domain.values import Limits, RetryPolicy
from octolog.testing import (
    amend,
    attempt,
    call_intended,
    call_used,
    cancel,
    capability,
    failure,
    heartbeat,
    partial,
    started,
    step,
    submit,
    success,
)
from streams.topics import CONTRACTS, RESULTS
from tests.replay.log import Decided, World
from tests.replay.orchestration_scenarios import ORCHESTRATED
from tests.replay.program_scenarios import PROGRAMS

RETRY = RetryPolicy(max_attempts=3, base_ms=1_000, factor=2.0, cap_ms=10_000)


def _world(*arms: str, window: int = 64, lease_ms: int = 10_000) -> World:
    world = World(Decided(window, lease_ms))
    for tier, arm in enumerate(arms, 1):
        world.arm(ArmRegistered(capability(arm, "work", "judge", cost_tier=tier), "tester"))
    return world


def success_at_once() -> World:
    world = _world("arm-a")
    world.send(submit())
    world.send(started(world.held[0]))
    world.send(success(world.next_attempt(), '{"answer":42}', tokens_used=120))
    return world


def plan_in_the_contract() -> World:
    """Steps run as their prerequisites complete; the last two run at once and their outputs are joined."""
    world = _world("arm-a", "arm-b")
    steps = (step("plan"), step("left", "plan"), step("right", "plan", priority=1))
    world.send(submit(steps=steps))
    for output in ('"a plan"', '"the right"', '"the left"'):
        world.send(success(world.next_attempt(), output))
    return world


def plan_by_an_arm() -> World:
    world = _world("arm-a")
    world.send(submit())
    world.send(success(world.next_attempt(), "[]", plan=(step("one"), step("two", "one"))))
    world.send(success(world.next_attempt(), '"first"'))
    world.send(success(world.next_attempt(), '"second"'))
    return world


def retry_until_it_works() -> World:
    world = _world("arm-a")
    world.send(submit(retry=RETRY))
    world.send(failure(world.next_attempt(), "overloaded", retryable=True))
    world.pass_time(5_000)
    world.send(partial(world.next_attempt(), retryable=True))
    world.pass_time(5_000)
    world.send(success(world.next_attempt()))
    return world


def retries_run_out() -> World:
    world = _world("arm-a")
    world.send(submit(retry=RETRY, steps=(step("one"), step("two", "one"))))
    for _ in range(3):
        world.send(failure(world.next_attempt(), "overloaded", retryable=True))
        world.pass_time(5_000)
    return world


def timeout_and_lost_lease() -> World:
    """One attempt runs too long though it is alive, one falls silent; the third makes it."""
    world = _world("arm-a")
    world.send(submit(timeout_ms=12_000, retry=RETRY))
    first = world.next_attempt()
    world.send(started(first))
    for _ in range(3):
        world.pass_time(4_000)
        world.send(heartbeat(first, "still at it"))
    world.pass_time(3_000)
    world.next_attempt()
    world.pass_time(14_000)
    world.send(success(first))  # late: it was given up
    world.send(success(world.next_attempt()))
    return world


def cancelled_while_it_runs() -> World:
    world = _world("arm-a")
    world.send(submit(steps=(step("one"), step("two"), step("three", "one", "two"))))
    first, second = world.next_attempt(), world.next_attempt()
    world.send(success(first, '"kept"'))
    world.send(cancel())
    world.send(cancel())
    world.send(success(second, '"too late"'))
    world.send(success(second, '"too late"'))
    return world


def budget_exhausted() -> World:
    """Warned at 80 percent, then ended; what an intent announced and nobody confirmed is charged."""
    world = _world("arm-a")
    world.send(
        submit(budget=Limits(max_tokens=1_000, max_llm_calls=9), steps=(step("one"), step("two", "one")))
    )
    one = world.next_attempt()
    world.send(call_intended(one, 1, tokens=900, calls=1))
    world.send(call_used(one, 1, tokens=850, calls=1, cost_micros=1_200))
    world.send(success(one, '"dear"', tokens_used=850))
    two = world.next_attempt()
    world.send(call_intended(two, 1, tokens=100, calls=1))
    world.send(call_used(two, 2, tokens=160, calls=1))
    return world


def budget_amended() -> World:
    world = _world("arm-a", "arm-b")
    world.send(submit(budget=Limits(max_tokens=1_000), steps=(step("one"), step("two"), step("three"))))
    world.send(amend(Limits(max_tokens=5_000), reason="more"))
    world.send(amend(Limits(max_tokens=5_000), reason="more"))
    world.send(amend(Limits(max_tokens=1), reason="less"))
    for _ in range(3):
        world.send(success(world.next_attempt(), tokens_used=300))
    return world


def budget_waited_for() -> World:
    """Two steps want all of the budget; the second waits until the first gives some back."""
    world = _world("arm-a")
    wants = Limits(max_tokens=800)
    steps = (step("one", budget=wants), step("two", budget=Limits(max_tokens=500)))
    world.send(submit(budget=Limits(max_tokens=1_000), steps=steps))
    world.send(success(world.next_attempt(), tokens_used=200))
    world.send(success(world.next_attempt(), tokens_used=200))
    return world


def requests_refused() -> World:
    world = _world("arm-a")
    world.send(submit(goal=""))
    world.send(submit(goal=""))
    world.send(cancel("task-9"))
    world.send(submit())
    world.send(submit())
    world.send(submit(goal="something else"))
    world.send(ApproveTask(TaskId("task-1"), TaskId("task-1"), "tester"))
    world.send(submit("sub", parent_task_id=TaskId("nobody")))
    world.send(amend(Limits(max_tokens=-1)))
    world.send(success(world.next_attempt()))
    world.send(cancel())
    world.send(cancel())
    return world


def late_and_foreign_results() -> World:
    world = _world("arm-a", "arm-b")
    world.send(submit())
    held = world.next_attempt()
    world.send(success(attempt("task-1", 7)))
    world.send(success(attempt("task-1", arm="arm-b")))
    world.send(success(held))
    world.send(success(held))
    world.send(success(attempt("task-404")))
    world.send(call_used(held, 1, tokens=5))
    return world


def waiting_for_the_registry() -> World:
    """Nobody can take the work; an arm comes, is not enough, and another comes; the first retires."""
    world = _world()
    world.send(submit(required_capabilities=("work",)))
    world.send(submit("task-2", required_capabilities=("judge",)))
    world.arm(ArmRegistered(capability("arm-a", "work"), "tester"))
    world.arm(ArmHeartbeat(ArmId("arm-a"), "instance-1", 0, 1))
    world.send(success(world.next_attempt()))
    world.arm(ArmRegistered(capability("arm-b", "judge"), "tester"))
    world.send(success(world.next_attempt()))
    world.arm(ArmRetired(ArmId("arm-a"), "done", "tester"))
    world.send(submit("task-3", required_capabilities=("work",)))
    return world


def priority_within_a_window() -> World:
    """Two at a time; the urgent one goes first though it came last."""
    world = _world("arm-a", window=2)
    for number, priority in enumerate((5, 5, 7, 5, 1), 1):
        world.send(submit(f"task-{number}", priority=priority))
    while world.held:
        world.send(success(world.next_attempt()))
    return world


def subtasks() -> World:
    world = _world("arm-a")
    world.send(submit(steps=(step("one"),)))
    world.send(submit("sub-1", parent_task_id=TaskId("task-1")))
    world.send(submit("sub-1", parent_task_id=TaskId("task-1")))
    while world.held:
        world.send(success(world.next_attempt()))
    return world


def dead_letters_between() -> World:
    """What nobody can use stands between what counts, and stalls nothing."""
    world = _world("arm-a")
    world.send_bytes(CONTRACTS, b"task-1", b"no record at all")
    world.send(submit())
    held = world.next_attempt()
    world.send_bytes(CONTRACTS, b"other", world.codec.encode(submit("task-2")))
    world.send_bytes(RESULTS, None, None)
    world.send(success(held, confidence=7.0))
    world.send(success(held))
    return world


def restarted_in_between() -> World:
    """The processor is restored from its facts twice, with tasks ready, running, parked and delayed."""
    world = _world("arm-a", window=2)
    wants = Limits(max_tokens=900)
    steps = (step("one", budget=wants), step("two", budget=Limits(max_tokens=500)))
    world.send(submit(budget=Limits(max_tokens=1_000), steps=steps))
    world.send(submit("task-2", retry=RETRY))
    world.send(submit("task-3"))
    world.restart()
    first = world.next_attempt()
    world.send(failure(world.next_attempt(), "overloaded", retryable=True))
    world.restart()
    world.send(success(first, tokens_used=10))
    world.pass_time(4_000)
    while world.held:
        world.send(success(world.next_attempt()))
    return world


SCENARIOS: dict[str, Callable[[], World]] = {
    told.__name__: told
    for told in (
        success_at_once,
        plan_in_the_contract,
        plan_by_an_arm,
        retry_until_it_works,
        retries_run_out,
        timeout_and_lost_lease,
        cancelled_while_it_runs,
        budget_exhausted,
        budget_amended,
        budget_waited_for,
        requests_refused,
        late_and_foreign_results,
        waiting_for_the_registry,
        priority_within_a_window,
        subtasks,
        dead_letters_between,
        restarted_in_between,
        *PROGRAMS,
        *ORCHESTRATED,
    )
}
