"""From rows of registry facts to the registry: the very fold that routing uses. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from octolog.domain.arm import ArmCapability, ArmEvent, ArmHealthChanged, ArmRegistered, ArmRetired, Health
from octolog.domain.ids import ArmId
from octolog.domain.registry import Registry, evolve_registry
from octolog.domain.values import RetryPolicy


def registry(events: Iterable[tuple[int, ArmEvent]]) -> Registry:
    """The registry after `events`, each with its offset in `octolog.arms`."""
    state = Registry()
    for offset, event in sorted(events, key=lambda pair: pair[0]):
        state = evolve_registry(state, event, offset)
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


def retired(row: Mapping[str, Any]) -> ArmRetired:
    """A row of `arm_retired` as the fact it was."""
    return ArmRetired(ArmId(row["arm_id"]), row["reason"], row["retired_by"])
