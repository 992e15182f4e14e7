"""Arms, and the topic through which the registry hears of them."""

from __future__ import annotations

from typing import Any

from octolog.domain.arm import ArmCapability, ArmEvent, ArmHealthChanged, ArmRegistered, ArmRetired, Health
from octolog.domain.ids import ArmId
from octolog.domain.registry import Registry, evolve_registry
from octolog.domain.security import SecurityEvent


def capability(arm_id: str, *tags: str, cost_tier: int = 1, **fields: Any) -> ArmCapability:
    """What an arm can do; it has the tag `work` unless tags are given. `fields` are those of `ArmCapability`."""
    return ArmCapability(ArmId(arm_id), arm_id, "", tags or ("work",), cost_tier, **fields)


class ArmsTopic:
    """`octolog.arms` in memory: the registry now, and as of every offset before.

    Attributes:
        now: The registry after the last event.
        by_offset: The registry as of each offset, from 0.
    """

    def __init__(self, *arms: ArmCapability) -> None:
        self.now = Registry()
        self.by_offset: list[Registry] = [self.now]
        for arm in arms:
            self.register(arm)

    def register(self, arm: ArmCapability) -> None:
        """An arm joins, or changes what it can do."""
        self.append(ArmRegistered(arm, "tester"))

    def set_health(self, arm_id: str, health: Health, reason: str = "seen by a test") -> None:
        """An arm's health changes."""
        known = self.now.arms.get(ArmId(arm_id))
        before = Health.UNKNOWN if known is None else known.health
        self.append(ArmHealthChanged(ArmId(arm_id), health, before, reason))

    def retire(self, arm_id: str) -> None:
        """An arm leaves for good."""
        self.append(ArmRetired(ArmId(arm_id), "retired by a test", "tester"))

    def append(self, event: ArmEvent | SecurityEvent, *, at_ms: int = 0) -> None:
        """Fold any registry event, written at a time in milliseconds since the epoch."""
        self.now = evolve_registry(self.now, event, self.now.offset, at_ms)
        self.by_offset.append(self.now)
