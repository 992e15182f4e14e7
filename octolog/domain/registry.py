"""The arm registry: a fold of `octolog.arms`, read by routing as of a known offset."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import assert_never

from octolog.domain.arm import (
    ArmBreakerChanged,
    ArmCallCounted,
    ArmCapability,
    ArmEvent,
    ArmHealthChanged,
    ArmHeartbeat,
    ArmRated,
    ArmRegistered,
    ArmRetired,
    BreakerState,
    Health,
)
from octolog.domain.breaker import WHOLE, Breaker, after_call, half_open
from octolog.domain.errors import InvalidContract
from octolog.domain.ids import ArmId
from octolog.domain.rules import check_capability
from octolog.domain.security import (
    NO_SECURITY,
    CapabilityRevoked,
    Security,
    SecurityEvent,
    SecurityPolicyPut,
    SecurityPolicyWithdrawn,
    TokenKeyAnnounced,
    evolve_security,
)


@dataclass(frozen=True, slots=True)
class ArmState:
    """One arm as routing knows it.

    Attributes:
        capability: What it can do.
        health: How it answers; a newly registered arm is taken to be healthy.
        retired: True once it left for good.
        reason: Why the health is what it is.
        breaker: Whether its circuit breaker lets attempts through.
        rated: Success rate by its results, 0.0 to 1.0; None: they have not spoken yet.
    """

    capability: ArmCapability
    health: Health = Health.HEALTHY
    retired: bool = False
    reason: str = ""
    breaker: BreakerState = BreakerState.CLOSED
    rated: float | None = None

    @property
    def success_rate(self) -> float:
        """What its results say, or else its own prior, 0.0 to 1.0."""
        return self.capability.success_rate if self.rated is None else self.rated


@dataclass(frozen=True, slots=True)
class Registry:
    """Every arm, as of an offset.

    Attributes:
        arms: By arm id; the same object as long as nothing changed that routing reads.
        offset: Registry facts before this offset of `octolog.arms` are folded in.
        breakers: Circuit breakers that something speaks against, by arm id.
        security: Policies, keys and revocations; the same object as long as none changed.
    """

    arms: dict[ArmId, ArmState] = field(default_factory=dict[ArmId, ArmState])
    offset: int = 0
    breakers: dict[ArmId, Breaker] = field(default_factory=dict[ArmId, Breaker])
    security: Security = NO_SECURITY


def evolve_registry(
    registry: Registry, event: ArmEvent | SecurityEvent, offset: int, at_ms: int = 0
) -> Registry:
    """Fold one registry fact; a description out of bounds changes nothing but the offset.

    Args:
        registry: As it was.
        event: What happened.
        offset: The fact's offset in `octolog.arms`.
        at_ms: The fact's timestamp, milliseconds since the epoch.
    """
    arms = registry.arms
    match event:
        case ArmRegistered(capability=capability):
            try:
                check_capability(capability)
            except InvalidContract:
                return replace(registry, offset=offset + 1)
            return _registered(registry, capability, offset, at_ms)
        case ArmHealthChanged(arm_id=arm_id, health=health, reason=reason):
            if arm_id in arms:
                arms = {**arms, arm_id: replace(arms[arm_id], health=health, reason=reason)}
        case ArmRetired(arm_id=arm_id, reason=reason):
            if arm_id in arms:
                arms = {**arms, arm_id: replace(arms[arm_id], retired=True, reason=reason)}
        case ArmCallCounted(arm_id=arm_id):
            if arm_id in arms:
                before = registry.breakers.get(arm_id, WHOLE)
                after = after_call(before, event, arms[arm_id].capability, offset)
                return _with_breaker(registry, arm_id, after, offset)
        case ArmBreakerChanged(
            arm_id=arm_id, state=BreakerState.HALF_OPEN, cause_offset=cause, reason=reason
        ):
            breaker = registry.breakers.get(arm_id, WHOLE)
            if breaker.cause_offset == cause:  # it may have opened again since
                return _with_breaker(registry, arm_id, half_open(breaker, at_ms, offset, reason), offset)
        case ArmRated(arm_id=arm_id, success_rate=rate):
            if arm_id in arms and 0.0 <= rate <= 1.0:
                arms = {**arms, arm_id: replace(arms[arm_id], rated=rate)}
        case ArmHeartbeat() | ArmBreakerChanged():
            pass
        case SecurityPolicyPut() | SecurityPolicyWithdrawn() | TokenKeyAnnounced() | CapabilityRevoked():
            return replace(registry, offset=offset + 1, security=evolve_security(registry.security, event))
        case _:
            assert_never(event)
    return replace(registry, arms=arms, offset=offset + 1)


def _registered(registry: Registry, capability: ArmCapability, offset: int, at_ms: int) -> Registry:
    """An arm that comes back as it was is worth a probe; one that changed begins anew."""
    arm_id = capability.arm_id
    known, breakers = registry.arms.get(arm_id), registry.breakers
    breaker = breakers.get(arm_id, WHOLE)
    if known is not None and known.capability == capability and not known.retired:
        breaker = half_open(breaker, at_ms, offset, "its host registered it again")
        state = ArmState(capability, breaker=breaker.state, rated=known.rated)
    else:
        breaker, state = WHOLE, ArmState(capability)
    return Registry(
        {**registry.arms, arm_id: state},
        offset + 1,
        _breakers(breakers, arm_id, breaker),
        registry.security,
    )


def _with_breaker(registry: Registry, arm_id: ArmId, after: Breaker, offset: int) -> Registry:
    arm, arms = registry.arms[arm_id], registry.arms
    if after.state is not arm.breaker:
        arms = {**arms, arm_id: replace(arm, breaker=after.state)}
    return Registry(arms, offset + 1, _breakers(registry.breakers, arm_id, after), registry.security)


def _breakers(breakers: dict[ArmId, Breaker], arm_id: ArmId, after: Breaker) -> dict[ArmId, Breaker]:
    """The same object when nothing changed; an arm that nothing speaks against is not in it."""
    before = breakers.get(arm_id, WHOLE)
    if after is before:
        return breakers
    others = {arm: breaker for arm, breaker in breakers.items() if arm != arm_id}
    return others if after.failures == 0 else {**others, arm_id: after}
