"""From rows of registry facts to the registry: the very fold that routing uses. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from octolog.domain.arm import (
    ArmBreakerChanged,
    ArmCallCounted,
    ArmCapability,
    ArmEvent,
    ArmHealthChanged,
    ArmRated,
    ArmRegistered,
    ArmRetired,
    BreakerState,
    Health,
)
from octolog.domain.ids import ArmId, AttemptId, TaskId
from octolog.domain.registry import Registry, evolve_registry
from octolog.domain.values import RetryPolicy


def registry(events: Iterable[tuple[int, int, ArmEvent]]) -> Registry:
    """The registry after `events`, each with its offset in `octolog.arms` and its time, ms since the epoch."""
    state = Registry()
    for offset, at_ms, event in sorted(events, key=lambda event: event[0]):
        state = evolve_registry(state, event, offset, at_ms)
    return state


def registered(row: Mapping[str, Any]) -> ArmRegistered:
    """A row of `arm_registered` as the fact it was."""
    mine = {
        name.removeprefix("capability_"): value
        for name, value in row.items()
        if name.startswith("capability_")
    }
    retry = RetryPolicy(
        **{field.name: mine.pop(f"retry_policy_{field.name}") for field in fields(RetryPolicy)}
    )
    mine["capabilities"] = tuple(mine["capabilities"])
    return ArmRegistered(ArmCapability(retry_policy=retry, **mine), row["registered_by"])


def health_changed(row: Mapping[str, Any]) -> ArmHealthChanged:
    """A row of `arm_health_changed` as the fact it was."""
    return ArmHealthChanged(ArmId(row["arm_id"]), Health(row["health"]), Health(row["before"]), row["reason"])


def call_counted(row: Mapping[str, Any]) -> ArmCallCounted:
    """A row of `arm_call_counted`, its times in milliseconds since the epoch, as the fact it was."""
    return ArmCallCounted(
        ArmId(row["arm_id"]),
        TaskId(row["root_task_id"]),
        AttemptId(row["attempt_id"]),
        row["partition"],
        row["position"],
        row["failed"],
        row["error_code"],
        row["assigned"],
        row["happened_at"],
    )


def breaker_changed(row: Mapping[str, Any]) -> ArmBreakerChanged:
    """A row of `arm_breaker_changed` as the fact it was."""
    state, before = BreakerState(row["state"]), BreakerState(row["before"])
    return ArmBreakerChanged(ArmId(row["arm_id"]), state, before, row["cause_offset"], row["reason"])


def rated(row: Mapping[str, Any]) -> ArmRated:
    """A row of `arm_rated` as the fact it was."""
    figures = row["attempts"], row["success_rate"], row["p95_ms"], row["cost_micros"]
    return ArmRated(ArmId(row["arm_id"]), *figures)


def retired(row: Mapping[str, Any]) -> ArmRetired:
    """A row of `arm_retired` as the fact it was."""
    return ArmRetired(ArmId(row["arm_id"]), row["reason"], row["retired_by"])
