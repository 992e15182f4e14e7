"""Circuit breakers in a replay: counts are held against the facts, changes of breakers against the counts."""

from __future__ import annotations

from dataclasses import replace

from octolog.domain.arm import (
    ArmBreakerChanged,
    ArmCallCounted,
    ArmRegistered,
    BreakerState,
)
from octolog.domain.ids import ArmId
from octolog.domain.values import RetryPolicy
from octolog.testing import capability, failure, submit, success
from streams.replay import Difference, Report, verify
from streams.topics import ARMS
from tests.replay.log import World

ARM = ArmId("flaky")


def opened_and_closed() -> World:
    """Five failures, a task that waits, two probes."""
    world = World()
    world.arm(ArmRegistered(capability("flaky", breaker_probes=2), "tester"))
    once = RetryPolicy(max_attempts=1)
    for number in range(5):
        world.send(submit(f"root-{number}", retry=once))
        world.send(failure(world.next_attempt(), retryable=True))
        world.deliver_counted()
    cause = world.records[ARMS, 0][-1].offset
    world.send(submit("waits", retry=once))
    assert world.held == []
    world.arm(ArmBreakerChanged(ARM, BreakerState.OPEN, BreakerState.CLOSED, cause, "said aloud"))
    world.now_ms += 60_000
    world.arm(ArmBreakerChanged(ARM, BreakerState.HALF_OPEN, BreakerState.OPEN, cause, "its time is over"))
    for name in ("next", "last"):
        world.send(submit(name, retry=once))
        world.send(success(world.next_attempt()))
        world.deliver_counted()
    closed = world.records[ARMS, 0][-1].offset
    world.arm(ArmBreakerChanged(ARM, BreakerState.CLOSED, BreakerState.HALF_OPEN, closed, "said aloud"))
    return world


def found(world: World) -> tuple[Report, list[Difference]]:
    report = verify(world.source, committed=world.committed)
    return report, [difference for each in report.partitions for difference in each.differences]


def test_a_breaker_that_opened_and_closed_is_found_right() -> None:
    report, differences = found(opened_and_closed())
    assert report.ok, differences


def test_a_count_that_says_otherwise_than_its_attempt_ended_is_found() -> None:
    world = opened_and_closed()
    records = world.records[ARMS, 0]
    for index, record in enumerate(records):
        event = world.codec.decode(record.value)
        if isinstance(event, ArmCallCounted) and not event.failed:
            lie = replace(event, failed=True)
            records[index] = record._replace(value=world.codec.encode(lie))
            break
    report, differences = found(world)
    assert not report.ok
    assert any("counts" in each.message and "otherwise than it ended" in each.message for each in differences)


def test_a_count_of_an_attempt_that_never_ended_is_found() -> None:
    world = opened_and_closed()
    [first, *_] = [
        event
        for record in world.records[ARMS, 0]
        if isinstance(event := world.codec.decode(record.value), ArmCallCounted)
    ]
    world.arm(replace(first, position=0))
    report, differences = found(world)
    assert not report.ok
    assert [(each.topic, each.kind) for each in differences] == [(ARMS, "no-cause")]


def test_a_failure_that_was_not_counted_is_found() -> None:
    world = opened_and_closed()
    world.send(submit("uncounted", retry=RetryPolicy(max_attempts=1)))
    world.send(failure(world.next_attempt(), retryable=True))
    report, differences = found(world)
    assert not report.ok
    assert [each.kind for each in differences] == ["missing"]
    assert "was not counted" in differences[0].message


def test_a_change_of_a_breaker_that_follows_from_nothing_is_found() -> None:
    world = opened_and_closed()
    offset = world.records[ARMS, 0][-1].offset
    world.arm(ArmBreakerChanged(ARM, BreakerState.OPEN, BreakerState.CLOSED, offset, "made up"))
    report, differences = found(world)
    assert not report.ok
    assert "is said to be OPEN" in differences[0].message
