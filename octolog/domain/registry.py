"""The arm registry: a fold of `octolog.arms`, read by routing as of a known offset."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import assert_never

from octolog.domain.arm import (
    ArmCapability,
    ArmEvent,
    ArmHealthChanged,
    ArmHeartbeat,
    ArmRegistered,
    ArmRetired,
    Health,
)
from octolog.domain.errors import InvalidContract
from octolog.domain.ids import ArmId
from octolog.domain.rules import check_capability


@dataclass(frozen=True, slots=True)
class ArmState:
    """One arm as the registry knows it.

    Attributes:
        capability: What it can do.
        health: How it answers; a newly registered arm is taken to be healthy.
        retired: True once it left for good.
        reason: Why the health is what it is.
    """

    capability: ArmCapability
    health: Health = Health.HEALTHY
    retired: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Registry:
    """Every arm, as of an offset.

    Attributes:
        arms: By arm id.
        offset: Registry facts before this offset of `octolog.arms` are folded in.
    """

    arms: dict[ArmId, ArmState] = field(default_factory=dict[ArmId, ArmState])
    offset: int = 0


def evolve_registry(registry: Registry, event: ArmEvent, offset: int) -> Registry:
    """Fold one registry fact; a description out of bounds changes nothing but the offset."""
    arms = registry.arms
    match event:
        case ArmRegistered(capability=capability):
            try:
                check_capability(capability)
            except InvalidContract:
                return replace(registry, offset=offset + 1)
            arms = {**arms, capability.arm_id: ArmState(capability)}
        case ArmHealthChanged(arm_id=arm_id, health=health, reason=reason):
            if arm_id in arms:
                arms = {**arms, arm_id: replace(arms[arm_id], health=health, reason=reason)}
        case ArmRetired(arm_id=arm_id, reason=reason):
            if arm_id in arms:
                arms = {**arms, arm_id: replace(arms[arm_id], retired=True, reason=reason)}
        case ArmHeartbeat():
            pass
        case _:
            assert_never(event)
    return Registry(arms, offset + 1)
