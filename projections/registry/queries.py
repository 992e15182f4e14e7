"""The arms as routing knows them, with what their attempts say of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from octolog.domain.arm import ArmCapability, ArmEvent, Health
from octolog.domain.errors import NotFound
from octolog.domain.ids import ArmId
from projections.duck import Store
from projections.registry.fold import health_changed, registered, registry, retired


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


def arms(store: Store) -> tuple[ArmRow, ...]:
    """Every arm, retired ones too, by id."""
    stats = {row.pop("arm_id"): row for row in store.rows("SELECT * EXCLUDE (last_ended_at) FROM arm_stats")}
    state = registry(_events(store))
    return tuple(
        ArmRow(arm.capability, arm.health, arm.retired, arm.reason, **stats.get(arm_id, {}))
        for arm_id, arm in sorted(state.arms.items())
    )


def arm(store: Store, arm_id: ArmId) -> ArmRow:
    """One arm.

    Raises:
        NotFound: When no such arm was registered.
    """
    for row in arms(store):
        if row.capability.arm_id == arm_id:
            return row
    raise NotFound(f"no arm {arm_id} was registered in the log as far as it was read")


def _events(store: Store) -> Iterator[tuple[int, ArmEvent]]:
    """Registry facts but heartbeats, which change nothing that routing reads."""
    for row in store.rows("SELECT * FROM arm_registered"):
        yield row["log_offset"], registered(row)
    for row in store.rows("SELECT * FROM arm_health_changed"):
        yield row["log_offset"], health_changed(row)
    for row in store.rows("SELECT * FROM arm_retired"):
        yield row["log_offset"], retired(row)
