"""Circuit breakers: which ends of attempts count, and what follows from the counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from octolog.domain import facts as f
from octolog.domain.arm import ArmBreakerChanged, ArmCallCounted, ArmRated, BreakerState, Health
from octolog.domain.breaker import WHOLE, counts
from octolog.domain.health import (
    SILENT_DEGRADED_MS,
    SILENT_UNAVAILABLE_MS,
    HealthWatch,
    HeartbeatWatch,
    Record,
    Seen,
    answered,
    rating,
    unanswered,
)
from octolog.domain.ids import ArmId, AttemptId, TaskId
from octolog.domain.routing import Requirement, route, score
from octolog.testing import ArmsTopic, capability, failure, submit, success
from octolog.testing.shard_log import ShardLog

ARM = ArmId("arm")
RESET_MS = 60_000


def call(
    at_ms: int, *, failed: bool = True, code: str = "EXTERNAL", assigned_ms: int | None = None
) -> ArmCallCounted:
    began = at_ms if assigned_ms is None else assigned_ms
    return ArmCallCounted(ARM, TaskId("t"), AttemptId(f"a{at_ms}"), 0, at_ms, failed, code, began, at_ms)


def after(*calls: ArmCallCounted, topic: ArmsTopic | None = None, **fields: Any) -> ArmsTopic:
    topic = topic or ArmsTopic(capability("arm", **fields))
    for each in calls:
        topic.append(each)
    return topic


def state(topic: ArmsTopic) -> BreakerState:
    return topic.now.arms[ARM].breaker


def opened() -> ArmsTopic:
    return after(*(call(at) for at in range(1, 6)))


def half_opened() -> ArmsTopic:
    topic = opened()
    topic.append(_time_over(topic), at_ms=RESET_MS)
    return topic


def _time_over(topic: ArmsTopic) -> ArmBreakerChanged:
    cause = topic.now.breakers[ARM].cause_offset
    return ArmBreakerChanged(ARM, BreakerState.HALF_OPEN, BreakerState.OPEN, cause, "its time is over")


def test_five_failures_in_a_row_open_it_and_four_do_not() -> None:
    assert state(after(*(call(at) for at in range(1, 5)))) is BreakerState.CLOSED
    assert state(opened()) is BreakerState.OPEN


def test_a_success_in_between_begins_the_row_anew() -> None:
    topic = after(*(call(at) for at in range(1, 5)), call(5, failed=False), call(6))
    assert state(topic) is BreakerState.CLOSED
    assert topic.now.breakers[ARM].failures == 1


def test_an_arm_that_asks_for_none_has_no_breaker() -> None:
    assert state(after(*(call(at) for at in range(1, 50)), breaker_failures=0)) is BreakerState.CLOSED


def test_attempts_lost_at_once_are_one_mishap() -> None:
    lost = [call(10_000 + at, code="LEASE_EXPIRED", assigned_ms=at) for at in range(20)]
    assert after(*lost).now.breakers[ARM].failures == 1


def test_while_it_is_open_what_was_under_way_tells_nothing() -> None:
    topic = opened()
    before = topic.now.breakers[ARM]
    assert after(call(7, failed=False), call(8), topic=topic).now.breakers[ARM] is before


def test_probes_close_it_when_enough_succeed() -> None:
    probes = [call(RESET_MS + at, failed=False) for at in range(1, 4)]
    topic = after(*probes[:2], topic=half_opened())
    assert state(topic) is BreakerState.HALF_OPEN
    after(probes[2], topic=topic)
    assert (state(topic), topic.now.breakers) == (BreakerState.CLOSED, {})


def test_a_probe_that_fails_opens_it_again_for_the_whole_time() -> None:
    topic = after(call(RESET_MS + 1, failed=False), call(RESET_MS + 2), topic=half_opened())
    assert (state(topic), topic.now.breakers[ARM].since_ms) == (BreakerState.OPEN, RESET_MS + 2)


def test_an_attempt_assigned_before_is_no_probe() -> None:
    topic = after(call(RESET_MS + 1, assigned_ms=5), topic=half_opened())
    assert state(topic) is BreakerState.HALF_OPEN


def test_that_the_time_of_an_earlier_opening_is_over_means_nothing() -> None:
    topic = half_opened()
    stale = ArmBreakerChanged(ARM, BreakerState.HALF_OPEN, BreakerState.OPEN, 5, "late")
    after(call(RESET_MS + 1), topic=topic)
    topic.append(stale)
    assert state(topic) is BreakerState.OPEN


def test_an_arm_that_comes_back_as_it_was_gets_probes_and_a_changed_one_begins_anew() -> None:
    topic = opened()
    topic.register(capability("arm"))
    assert state(topic) is BreakerState.HALF_OPEN
    topic.register(capability("arm", version="2"))
    assert (state(topic), topic.now.breakers) == (BreakerState.CLOSED, {})


def test_counts_alone_leave_what_routing_reads_untouched() -> None:
    topic = ArmsTopic(capability("arm"))
    before = topic.now.arms
    assert after(call(1), call(2), topic=topic).now.arms is before


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"outcome": f.Outcome.SUCCESS}, False),
        ({"outcome": f.Outcome.CANCELLED}, None),
        ({"outcome": f.Outcome.TIMED_OUT, "error_code": "EXECUTION_TIMEOUT"}, True),
        ({"outcome": f.Outcome.FAILURE, "error_code": "NOT_ALLOWED"}, False),
        ({"outcome": f.Outcome.FAILURE, "error_code": "ANY", "retryable": True}, True),
        ({"outcome": f.Outcome.FAILURE, "error_code": "ARM_ERROR"}, True),
        ({"outcome": f.Outcome.FAILURE, "error_code": None}, True),
    ],
)
def test_a_refusal_for_good_speaks_against_the_task_and_all_else_against_the_arm(
    fields: dict[str, Any], expected: bool | None
) -> None:
    log = ShardLog(ArmsTopic(capability("arm")))
    log.send(submit("root"))
    log.send(success(log.take_assignments()[0]))
    ended = next(fact for fact in log.facts if isinstance(fact, f.AttemptEnded))
    assert counts(replace(ended, **fields)) is expected


def test_a_partition_counts_failures_always_and_successes_only_of_arms_in_trouble() -> None:
    log = ShardLog(ArmsTopic(capability("arm")))
    for number, works in enumerate([True, False, True, True]):
        log.send(submit(f"root-{number}"))
        [given] = log.take_assignments()
        log.send(success(given) if works else failure(given, retryable=True))
        log.deliver_counted()
        log.take_assignments()
    assert log.arms.now.breakers == {}
    assert log.arms.now.offset == 3  # the arm, its failure, one success after it


def test_of_an_arm_half_open_one_attempt_at_a_time_is_under_way() -> None:
    topic = half_opened()
    log = ShardLog(topic)
    for number in range(3):
        log.send(submit(f"root-{number}"))
    [probe] = log.take_assignments()
    log.send(success(probe))
    assert len(log.take_assignments()) == 1


# Health


def test_an_answer_is_healthy_a_slow_or_other_one_degraded_and_none_unavailable() -> None:
    assert answered(200, 2_999).health is Health.HEALTHY
    assert answered(200, 3_500).health is Health.DEGRADED
    assert answered(503, 5).health is Health.DEGRADED
    assert unanswered("refused").health is Health.UNAVAILABLE


def test_a_change_is_told_when_two_looks_agree_and_one_alone_is_not() -> None:
    watch, arm = HealthWatch(), capability("arm")
    slow, fine, gone = Seen(Health.DEGRADED, "slow"), Seen(Health.HEALTHY, "fine"), unanswered("gone")
    looks = [slow, fine, slow, gone, fine]
    assert [watch.probed(arm, Health.HEALTHY, seen) for seen in looks] == [None] * 5
    assert watch.probed(arm, Health.HEALTHY, slow) is None
    assert watch.doubted(ARM)
    change = watch.probed(arm, Health.HEALTHY, slow)
    assert change is not None
    assert (change.health, change.before, change.reason) == (Health.DEGRADED, Health.HEALTHY, "slow")


def test_silence_degrades_an_arm_and_then_takes_it_out_until_it_is_heard_again() -> None:
    watch = HeartbeatWatch()
    assert watch.look(ARM, Health.HEALTHY, 10**9) is None  # never heard: not judged
    watch.heard(ARM, 0)
    assert watch.look(ARM, Health.HEALTHY, SILENT_DEGRADED_MS - 1) is None
    degraded = watch.look(ARM, Health.HEALTHY, SILENT_DEGRADED_MS)
    assert degraded is not None
    watch.changed(ARM)
    gone = watch.look(ARM, degraded.health, SILENT_UNAVAILABLE_MS)
    assert gone is not None
    assert (degraded.health, gone.health) == (Health.DEGRADED, Health.UNAVAILABLE)
    watch.changed(ARM)
    watch.heard(ARM, 50_000)
    back = watch.look(ARM, gone.health, 50_000)
    assert back is not None
    assert back.health is Health.HEALTHY


def test_a_heartbeat_from_before_a_host_was_stopped_does_not_bring_its_arm_back() -> None:
    watch = HeartbeatWatch()
    watch.heard(ARM, 0)
    watch.changed(ARM)
    assert watch.look(ARM, Health.UNAVAILABLE, 1_000) is None


def test_while_nobody_listened_nobody_was_silent() -> None:
    watch = HeartbeatWatch()
    watch.heard(ARM, 0)
    watch.stood_still(100_000)
    assert watch.look(ARM, Health.HEALTHY, 100_001) is None


def test_what_nothing_speaks_against_is_kept_nowhere() -> None:
    assert after(call(1), call(2, failed=False)).now.breakers == {}
    assert WHOLE.state is BreakerState.CLOSED


# Results


def test_results_speak_when_there_are_enough_and_they_say_something_new() -> None:
    arm = capability("arm", success_rate=1.0)
    assert rating(arm, 1.0, Record(9, 0)) is None
    assert rating(arm, 1.0, Record(100, 99)) is None
    said = rating(arm, 1.0, Record(10, 5, p95_ms=40, cost_micros=1_000))
    assert said is not None
    assert (said.success_rate, said.p95_ms, said.cost_micros) == (0.75, 40, 100)
    assert rating(arm, said.success_rate, Record(10, 5)) is None


def test_routing_goes_by_results_in_place_of_the_prior_until_the_arm_changes() -> None:
    topic = ArmsTopic(capability("a"), capability("b"))
    need = Requirement(None, (), None, "cost_first")
    assert route(need, topic.now)[0].arm_id == "a"
    topic.append(ArmRated(ArmId("a"), 20, 0.5, 10, 0))
    assert route(need, topic.now)[0].arm_id == "b"
    assert route(replace(need, policy="weighted"), topic.now)[1].score == score(
        need, topic.now.arms[ArmId("a")]
    )
    topic.register(capability("a"))
    assert route(need, topic.now)[0].arm_id == "b"
    topic.register(capability("a", version="2"))
    assert route(need, topic.now)[0].arm_id == "a"
