"""Which arm takes a task: a pure function of the registry as of a known offset.

Hard filters first: not retired, the one arm asked for, all tags, healthy, tier cap. Then the policy's order:
`cost_first` (cheapest tier, then success rate, then id) or `weighted` (the published weights). A dead arm is
never chosen over a live one, whatever its score. Source: seed A has both orders.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from octolog.domain.arm import ArmCapability, Health
from octolog.domain.facts import Candidate
from octolog.domain.ids import ArmId
from octolog.domain.registry import ArmState, Registry

_MATCH, _AVAILABLE, _SUCCESS, _CHEAP = 0.4, 0.2, 0.3, 0.1
_USABLE: Final = (Health.HEALTHY, Health.DEGRADED)


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a task asks of an arm.

    Attributes:
        assigned_arm: This arm only.
        tags: All of them.
        max_cost_tier: At most this tier.
        policy: `cost_first` or `weighted`.
    """

    assigned_arm: ArmId | None
    tags: tuple[str, ...]
    max_cost_tier: int | None
    policy: str


def route(need: Requirement, registry: Registry) -> tuple[Candidate, ...]:
    """Every arm that can take the task, best first; empty when none can."""
    usable = [arm for arm in registry.arms.values() if _reason_against(need, arm) is None]
    scored = [(arm, score(need, arm)) for arm in usable]
    if need.policy == "weighted":
        scored.sort(key=lambda pair: (-pair[1], pair[0].capability.cost_tier, pair[0].capability.arm_id))
    else:
        scored.sort(key=lambda pair: _cost_order(pair[0]))
    return tuple(Candidate(arm.capability.arm_id, points, arm.capability.cost_tier) for arm, points in scored)


def score(need: Requirement, arm: ArmState) -> float:
    """The published weighted score, 0.0 to 1.0, to six places."""
    have = set(arm.capability.capabilities)
    match = sum(tag in have for tag in need.tags) / len(need.tags) if need.tags else 1.0
    available = 1.0 if arm.health is Health.HEALTHY else 0.0
    cheap = 1 - arm.capability.cost_tier / 5
    return round(
        _MATCH * match + _AVAILABLE * available + _SUCCESS * arm.capability.success_rate + _CHEAP * cheap, 6
    )


def explain(need: Requirement, registry: Registry) -> str:
    """Why no arm can take the task: the nearest arm's missing tag or state, one line."""
    wanted = ", ".join(need.tags) or "any task"
    if need.assigned_arm is not None:
        arm = registry.arms.get(need.assigned_arm)
        reason = "is not registered" if arm is None else _reason_against(need, arm)
        return f"arm {need.assigned_arm} {reason}"
    if not registry.arms:
        return f"no arm is registered (wanted: {wanted})"
    nearest = min(
        registry.arms.values(), key=lambda arm: (_missing(need, arm.capability), arm.capability.arm_id)
    )
    return f"no capable healthy arm for {wanted}; nearest: {nearest.capability.arm_id} {_reason_against(need, nearest)}"


def _cost_order(arm: ArmState) -> tuple[int, bool, float, str]:
    capability = arm.capability
    return capability.cost_tier, arm.health is not Health.HEALTHY, -capability.success_rate, capability.arm_id


def _missing(need: Requirement, capability: ArmCapability) -> int:
    return len(set(need.tags) - set(capability.capabilities))


def _reason_against(need: Requirement, arm: ArmState) -> str | None:
    capability = arm.capability
    if need.assigned_arm is not None and capability.arm_id != need.assigned_arm:
        return "is not the arm asked for"
    if arm.retired:
        return "is retired"
    missing = [tag for tag in need.tags if tag not in capability.capabilities]
    if missing:
        return f"lacks {', '.join(missing)}"
    if need.max_cost_tier is not None and capability.cost_tier > need.max_cost_tier:
        return f"is of cost tier {capability.cost_tier}, above {need.max_cost_tier}"
    if arm.health not in _USABLE:
        return f"is {arm.health.lower()}"
    return None
