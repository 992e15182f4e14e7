"""Leases, timeouts, heartbeats, retries."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from octolog.domain import facts as f
from octolog.domain.ids import ArmId, TaskId, attempt_id
from octolog.domain.retry import delay_ms
from octolog.domain.upkeep import TimerFired, TimerKind
from octolog.domain.values import Amounts, Category, RetryPolicy
from octolog.testing import (
    ArmsTopic,
    AttemptRef,
    ShardLog,
    assign,
    attempt,
    call_intended,
    cancel,
    capability,
    failure,
    given,
    heartbeat,
    history,
    started,
    submit,
    success,
)
from octolog.testing.specification import START_MS

ROOT: Final = TaskId("task-1")
ASSIGNED: Final = history(submit(), assign(lease_ms=10_000, timeout_ms=30_000))
STARTED: Final = (*ASSIGNED, *given(*ASSIGNED).when(started(attempt())).facts)


def timer(kind: TimerKind, subject: str = attempt().attempt_id) -> TimerFired:
    return TimerFired(kind, ROOT, subject, START_MS)


# Signs of life


def test_the_start_of_work_is_a_fact_once() -> None:
    (renewed,) = given(*ASSIGNED).when(started(attempt())).then_kinds(f.LeaseRenewed)
    assert isinstance(renewed, f.LeaseRenewed)
    assert renewed.started
    given(*STARTED).when(started(attempt()), at_ms=START_MS + 9_000).then_nothing()


def test_a_heartbeat_is_a_fact_only_after_a_quarter_of_the_lease() -> None:
    given(*ASSIGNED).when(heartbeat(attempt()), at_ms=START_MS + 2_499).then_nothing()
    (renewed,) = given(*ASSIGNED).when(heartbeat(attempt(), "x" * 900), at_ms=START_MS + 2_500).facts
    assert renewed == f.LeaseRenewed(
        START_MS + 2_500, ROOT, attempt().attempt_id, "instance-1", started=False, note="x" * 500
    )


@pytest.mark.parametrize("stranger", [attempt(number=2), attempt(arm="arm-b")], ids=["number", "arm"])
def test_signs_of_life_of_an_attempt_that_is_not_held_mean_nothing(stranger: AttemptRef) -> None:
    given(*ASSIGNED).when(started(stranger)).then_nothing()
    given(*ASSIGNED).when(heartbeat(stranger), at_ms=START_MS + 9_000).then_nothing()


# Silence and overtime


def test_silence_beyond_the_lease_loses_the_attempt_and_schedules_the_next() -> None:
    given(*ASSIGNED).when(timer(TimerKind.LEASE), at_ms=START_MS + 9_999).then_nothing()
    ended, _ = (
        given(*ASSIGNED)
        .when(timer(TimerKind.LEASE), at_ms=START_MS + 10_000)
        .then_kinds(f.AttemptEnded, f.RetryScheduled)
    )
    assert isinstance(ended, f.AttemptEnded)
    assert (ended.outcome, ended.error_code, ended.provenance) == (f.Outcome.LOST, "LEASE_EXPIRED", None)
    assert ended.settled == Amounts(time_ms=10_000)


def test_a_heartbeat_moves_the_end_of_the_lease() -> None:
    renewed = given(*ASSIGNED).when(heartbeat(attempt()), at_ms=START_MS + 5_000).facts
    alive = given(*ASSIGNED, *renewed)
    alive.when(timer(TimerKind.LEASE), at_ms=START_MS + 10_000).then_nothing()
    alive.when(timer(TimerKind.LEASE), at_ms=START_MS + 15_000).then_kinds(f.AttemptEnded, f.RetryScheduled)


def test_an_attempt_that_runs_too_long_ends_although_its_arm_is_alive() -> None:
    renewed = given(*STARTED).when(heartbeat(attempt()), at_ms=START_MS + 29_000).facts
    running = given(*STARTED, *renewed)
    running.when(timer(TimerKind.TIMEOUT), at_ms=START_MS + 29_999).then_nothing()
    ended, _ = running.when(timer(TimerKind.TIMEOUT), at_ms=START_MS + 30_000).facts
    assert isinstance(ended, f.AttemptEnded)
    assert (ended.outcome, ended.error_code, ended.execution_time_ms) == (
        f.Outcome.TIMED_OUT,
        "EXECUTION_TIMEOUT",
        30_000,
    )


def test_a_timer_of_an_attempt_that_ended_means_nothing() -> None:
    over = history(submit(), assign(), success(attempt()))
    for kind in (TimerKind.LEASE, TimerKind.TIMEOUT):
        given(*over).when(timer(kind), at_ms=START_MS + 99_000).then_nothing()


def test_an_attempt_whose_end_is_unknown_is_charged_what_its_intents_prove() -> None:
    calls = history(submit(), assign(), call_intended(attempt(), 1, tokens=300, cost_micros=20, calls=1))
    ended = given(*calls).when(timer(TimerKind.LEASE), at_ms=START_MS + 10_000).facts[0]
    assert isinstance(ended, f.AttemptEnded)
    assert ended.unknown == Amounts(300, 0, 20, 1)
    assert ended.settled == Amounts(300, 10_000, 20, 1)


def test_an_arm_that_keeps_timing_out_fails_the_task_after_the_last_attempt_allowed() -> None:
    arms = ArmsTopic(capability("arm-a", timeout_seconds=30))
    log = ShardLog(arms)
    log.send(submit(retry=RetryPolicy(max_attempts=3, base_ms=1_000, cap_ms=10_000)))
    log.run_timers()
    attempts = [fact for fact in log.facts if isinstance(fact, f.AttemptAssigned)]
    assert [fact.number for fact in attempts] == [1, 2, 3]
    last = log.facts[-1]
    assert isinstance(last, f.TaskFailed)
    assert (last.code, last.category) == ("LEASE_EXPIRED", Category.TIMEOUT)
    log.verify()


# Retries


POLICY: Final = RetryPolicy(base_ms=1_000, factor=2.0, cap_ms=10_000, jitter_low=0.5, jitter_high=1.5)


@pytest.mark.parametrize(
    ("number", "low", "high"), [(1, 500, 1_500), (2, 1_000, 3_000), (4, 4_000, 12_000), (9, 5_000, 15_000)]
)
def test_a_delay_grows_is_capped_and_stays_within_its_jitter(number: int, low: int, high: int) -> None:
    delays = {delay_ms(POLICY, attempt_id(ROOT, TaskId(f"task-{n}"), number), number) for n in range(500)}
    assert low <= min(delays) < low * 1.1
    assert high * 0.9 < max(delays) < high


def test_a_delay_is_the_same_at_every_replay() -> None:
    delays = {delay_ms(POLICY, attempt().attempt_id, 1) for _ in range(10)}
    assert len(delays) == 1


def test_a_delay_that_grows_beyond_all_numbers_is_capped() -> None:
    assert delay_ms(replace(POLICY, factor=100.0), attempt().attempt_id, 10_000) <= 15_000


def test_a_retry_waits_for_its_moment_and_comes_once() -> None:
    failed = (*ASSIGNED, *given(*ASSIGNED).when(failure(attempt(), retryable=True)).facts)
    retry = failed[-1]
    assert isinstance(retry, f.RetryScheduled)
    assert retry.due_ms == START_MS + retry.delay_ms
    due = timer(TimerKind.RETRY, ROOT)
    given(*failed).when(due, at_ms=retry.due_ms - 1).then_nothing()
    ready = given(*failed).when(due, at_ms=retry.due_ms).then(f.RetryDue(retry.due_ms, ROOT))
    given(*failed, *ready).when(due, at_ms=retry.due_ms).then_nothing()


def test_a_cancelled_tree_is_not_tried_again() -> None:
    over = history(submit(), assign(), failure(attempt(), retryable=True), cancel())
    given(*over).when(timer(TimerKind.RETRY, ROOT), at_ms=START_MS + 99_000).then_nothing()


def test_timers_fire_again_until_their_input_was_consumed() -> None:
    log = ShardLog(ArmsTopic(capability("arm-a")), lease_ms=2_000)
    log.send(submit())
    assert log.shard.next_due_ms() == START_MS + 2_000
    first = list(log.shard.due(START_MS + 2_000))
    assert list(log.shard.due(START_MS + 2_500)) == []
    assert list(log.shard.due(START_MS + 3_000)) == first
    assert [timer.subject for timer in first] == [attempt().attempt_id]


def test_an_arm_is_told_when_an_attempt_ended_without_its_word() -> None:
    log = ShardLog(ArmsTopic(capability("arm-a")), lease_ms=2_000)
    log.send(submit())
    log.take_assignments()
    log.pass_time(2_000)
    assert [(type(item).__name__, item.arm_id) for item in log.told] == [("AttemptRevoked", ArmId("arm-a"))]
