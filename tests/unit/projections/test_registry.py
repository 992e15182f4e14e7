"""The registry that is shown is the one that routing folds, circuit breakers included."""

from __future__ import annotations

from itertools import pairwise

from octolog.domain.arm import (
    ArmBreakerChanged,
    ArmCallCounted,
    ArmEvent,
    ArmHealthChanged,
    ArmRated,
    ArmRegistered,
    BreakerState,
    Health,
)
from octolog.domain.ids import ArmId, AttemptId, TaskId
from octolog.domain.registry import Registry, evolve_registry
from octolog.ports import LogRecord
from octolog.testing import capability
from projections.analytics.sink import AnalyticsProjection
from projections.duck import Store
from projections.registry.queries import arms
from schemas.codec import Codec
from schemas.registry import MemorySchemaTopic, TopicSchemaIds

START_MS = 1_700_000_000_000
ARM = ArmId("arm")


def call(number: int, *, failed: bool = True) -> ArmCallCounted:
    at_ms = START_MS + number
    attempt = AttemptId(f"attempt-{number}")
    return ArmCallCounted(ARM, TaskId("root"), attempt, 0, number, failed, "EXTERNAL", at_ms, at_ms)


STORY: list[ArmEvent] = [
    ArmRegistered(capability("arm", breaker_probes=2), "test"),
    ArmHealthChanged(ARM, Health.DEGRADED, Health.HEALTHY, "answered after 3500 ms"),
    *(call(number) for number in range(2, 7)),
    ArmBreakerChanged(ARM, BreakerState.OPEN, BreakerState.CLOSED, 6, "said aloud"),
    ArmBreakerChanged(ARM, BreakerState.HALF_OPEN, BreakerState.OPEN, 6, "its time is over"),
    ArmRated(ARM, 20, 0.5, 40, 0),
    call(10, failed=False),
    call(11, failed=False),
]


def test_the_registry_shown_is_the_one_folded_after_every_fact() -> None:
    ids = TopicSchemaIds(MemorySchemaTopic())
    codec, store = Codec(ids), Store.open(None)
    projection = AnalyticsProjection(store, ids)
    registry, states = Registry(), []
    for offset, event in enumerate(STORY):
        at_ms = START_MS + offset
        registry = evolve_registry(registry, event, offset, at_ms)
        record = LogRecord("octolog.arms", 0, offset, at_ms, b"arm", codec.encode(event))
        projection.apply([record], {})
        [row] = arms(store)
        state, breaker = registry.arms[ARM], registry.breakers.get(ARM)
        assert (row.capability, row.health, row.breaker) == (state.capability, state.health, state.breaker)
        assert row.failures_in_a_row == (0 if breaker is None else breaker.failures)
        assert row.breaker_reason == ("" if breaker is None else breaker.reason)
        states.append(row.breaker)
    projection.close()
    changes = [now for before, now in pairwise(states) if now is not before]
    assert changes == [BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED]
