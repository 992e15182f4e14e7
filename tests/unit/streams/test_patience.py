"""When an attempt may be given up, on a clock of the test's own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streams.patience import Patience
from tests.clock import Clock

LEASE_S = 9.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def patience(clock: Clock) -> Patience:
    """Of a partition whose results were read up to offset 10, and its resources up to 5, a lease ago."""
    found = Patience(10, 5, LEASE_S, clock_s=clock)
    clock.now_s += LEASE_S
    return found


def ends_at(results: int, resources: int = 5) -> Callable[[], tuple[int, int]]:
    return lambda: (results, resources)


def test_once_everything_was_read_an_attempt_may_be_given_up(patience: Patience) -> None:
    assert patience.is_over(ends_at(10))


def test_a_partition_that_was_just_restored_gives_every_arm_a_third_of_its_lease(clock: Clock) -> None:
    patience = Patience(10, 5, LEASE_S, clock_s=clock)
    clock.now_s += LEASE_S / 3 - 0.1
    assert not patience.is_over(ends_at(10))
    clock.now_s += 0.2
    assert patience.is_over(ends_at(10))


def test_what_lies_unread_is_read_first(patience: Patience) -> None:
    assert not patience.is_over(ends_at(12))
    patience.results_to = 11
    assert not patience.is_over(ends_at(12))
    patience.results_to = 12
    assert patience.is_over(ends_at(12))


def test_calls_that_were_announced_are_charged_before_their_attempt_is_given_up(patience: Patience) -> None:
    assert not patience.is_over(ends_at(10, 6))
    patience.resources_to = 6
    assert patience.is_over(ends_at(10, 6))


def test_results_that_come_after_the_question_are_not_waited_for(patience: Patience) -> None:
    assert not patience.is_over(ends_at(12))
    patience.results_to = 12
    assert patience.is_over(ends_at(1_000))


def test_a_backlog_that_cannot_be_read_holds_nothing_up_for_ever(patience: Patience, clock: Clock) -> None:
    assert not patience.is_over(ends_at(12))
    clock.now_s += 31
    assert patience.is_over(ends_at(12))


def test_an_answer_that_was_long_in_coming_means_that_arms_could_not_write_either(
    patience: Patience, clock: Clock
) -> None:
    def slowly() -> tuple[int, int]:
        clock.now_s += 2
        return 10, 5

    assert not patience.is_over(slowly)
    clock.now_s += LEASE_S / 3
    assert patience.is_over(ends_at(10))


def test_a_standstill_that_somebody_else_noticed_counts_as_well(patience: Patience, clock: Clock) -> None:
    patience.renew()
    assert not patience.is_over(ends_at(10))
    clock.now_s += LEASE_S / 3
    assert patience.is_over(ends_at(10))
