"""The breaker: 5 failures in a row open it for 60 s; 3 probes that succeed close it, one that fails does not."""

from __future__ import annotations

import pytest

from arms.bridge.breaker import Breaker, BreakerOpen, BreakerState
from tests.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(5, 60.0, 3, clock)


def fail(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.failed(breaker.enter(), "no answer")


def state(breaker: Breaker) -> BreakerState:
    return breaker.state


def test_a_success_between_failures_keeps_it_closed(breaker: Breaker) -> None:
    fail(breaker, 4)
    breaker.succeeded(breaker.enter())
    fail(breaker, 4)
    assert breaker.state is BreakerState.CLOSED


def test_five_failures_in_a_row_open_it_and_it_says_why_and_how_long(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.now_s += 20
    with pytest.raises(
        BreakerOpen, match="5 failures in a row, the last: no answer; tried again in 40 s"
    ) as refused:
        breaker.enter()
    assert refused.value.retry_after_s == 40


def test_after_its_time_three_probes_go_through_and_close_it(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.now_s += 60
    assert breaker.state is BreakerState.HALF_OPEN
    probes = [breaker.enter() for _ in range(3)]
    with pytest.raises(BreakerOpen, match="probes are on their way"):
        breaker.enter()
    for probe in probes:
        breaker.succeeded(probe)
    fail(breaker, 4)
    assert state(breaker) is BreakerState.CLOSED


def test_one_probe_that_fails_opens_it_again_for_the_whole_time(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.now_s += 60
    first, second = breaker.enter(), breaker.enter()
    breaker.succeeded(first)
    breaker.failed(second, "still away")
    assert breaker.state is BreakerState.OPEN
    clock.now_s += 59
    with pytest.raises(BreakerOpen, match="a probe failed: still away"):
        breaker.enter()


def test_what_ends_after_a_change_says_nothing_about_now(breaker: Breaker, clock: Clock) -> None:
    late = [breaker.enter() for _ in range(2)]
    fail(breaker, 5)
    clock.now_s += 60
    breaker.succeeded(late[0])
    breaker.failed(late[1], "long ago")
    assert breaker.state is BreakerState.HALF_OPEN


def test_a_probe_given_up_makes_room_for_another(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.now_s += 60
    probes = [breaker.enter() for _ in range(3)]
    breaker.abandoned(probes[0])
    assert breaker.enter().probe
