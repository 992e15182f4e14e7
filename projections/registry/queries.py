"""The arms as routing knows them, with what their attempts say of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from octolog.domain.arm import ArmCapability, ArmEvent, BreakerState, Health
from octolog.domain.breaker import WHOLE
from octolog.domain.errors import NotFound
from octolog.domain.health import Record
from octolog.domain.ids import ArmId
from projections.duck import Store
from projections.registry.fold import (
    breaker_changed,
    call_counted,
    health_changed,
    rated,
    registered,
    registry,
    retired,
)


@dataclass(frozen=True, slots=True)
class ArmRow:
    """One arm.

    Attributes:
        capability: What it can do.
        health: How it answers.
        retired: True once it left for good.
        reason: Why the health is what it is.
        attempts: Attempts that ended.
        succeeded: Those with SUCCESS.
        success_rate: Succeeded of those not cancelled, 0.0 to 1.0; None before the first. A lost attempt
            is one that did not succeed.
        p50_ms: Median working time of its results, milliseconds, by its own clock; None without one.
        p95_ms: 95th percentile of the same.
        tokens: Model tokens charged.
        cost_dollars: Money charged, US dollars.
        last_heartbeat_at: When a process of it last reported, UTC.
        instances: Processes of it that ever reported.
        breaker: Whether its circuit breaker lets attempts through.
        breaker_reason: Why the breaker is not closed; empty when it is.
        failures_in_a_row: What the breaker counts.
    """

    capability: ArmCapability
    health: Health
    retired: bool
    reason: str
    attempts: int = 0
    succeeded: int = 0
    success_rate: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    tokens: int = 0
    cost_dollars: float = 0.0
    last_heartbeat_at: datetime | None = None
    instances: int = 0
    breaker: BreakerState = BreakerState.CLOSED
    breaker_reason: str = ""
    failures_in_a_row: int = 0


def arms(store: Store) -> tuple[ArmRow, ...]:
    """Every arm, retired ones too, by id."""
    stats = {
        row.pop("arm_id"): row
        for row in store.rows("SELECT * EXCLUDE (last_ended_at, judged) FROM arm_stats")
    }
    state = registry(_events(store))
    rows = []
    for arm_id, arm in sorted(state.arms.items()):
        breaker = state.breakers.get(arm_id, WHOLE)
        row = ArmRow(arm.capability, arm.health, arm.retired, arm.reason, **stats.get(arm_id, {}))
        rows.append(
            replace(
                row,
                breaker=breaker.state,
                breaker_reason=breaker.reason,
                failures_in_a_row=breaker.failures,
            )
        )
    return tuple(rows)


def arm(store: Store, arm_id: ArmId) -> ArmRow:
    """One arm.

    Raises:
        NotFound: When no such arm was registered.
    """
    for row in arms(store):
        if row.capability.arm_id == arm_id:
            return row
    raise NotFound(f"no arm {arm_id} was registered in the log as far as it was read")


def records(store: Store) -> dict[ArmId, Record]:
    """How the attempts of every arm went, those cancelled left out."""
    found = store.rows(
        "SELECT arm_id, judged, succeeded, p95_ms, cost_dollars FROM arm_stats WHERE judged > 0"
    )
    return {
        ArmId(row["arm_id"]): Record(
            row["judged"], row["succeeded"], int(row["p95_ms"] or 0), round(row["cost_dollars"] * 1_000_000)
        )
        for row in found
    }


_FACTS: Final[tuple[tuple[str, str, Callable[[dict[str, Any]], ArmEvent]], ...]] = (
    ("arm_registered", "*", registered),
    ("arm_health_changed", "*", health_changed),
    ("arm_retired", "*", retired),
    (
        "arm_call_counted",
        "* REPLACE (epoch_ms(assigned) AS assigned, epoch_ms(happened_at) AS happened_at)",
        call_counted,
    ),
    ("arm_breaker_changed", "*", breaker_changed),
    ("arm_rated", "*", rated),
)


def _events(store: Store) -> Iterator[tuple[int, int, ArmEvent]]:
    """Registry facts but heartbeats, which change nothing that routing reads."""
    for table, columns, fact in _FACTS:
        for row in store.rows(f"SELECT {columns}, epoch_ms(log_timestamp) AS log_ms FROM {table}"):  # noqa: S608
            yield row["log_offset"], row["log_ms"], fact(row)
