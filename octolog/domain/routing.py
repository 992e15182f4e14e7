"""Which arm takes a task: a pure function of the registry as of a known offset.

Hard filters first: not retired, the one arm asked for, all tags, tier cap, healthy, breaker not open, and what the
security policy allows. Then the routing policy's order: `cost_first` (cheapest tier, then success rate, then id) or
`weighted` (the published weights). A dead arm is never chosen over a live one, whatever its score. Source: seed A
has both orders.

What does not depend on the task (who can be chosen at all, each arm's score among full matches, the orders) is
computed once per registry (`RoutingIndex`), so that a decision looks at the arms of one tag alone: benches/routing.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from octolog.domain.arm import ArmCapability, BreakerState, Health
from octolog.domain.facts import Candidate
from octolog.domain.ids import ArmId
from octolog.domain.registry import ArmState, Registry
from octolog.domain.security import DEFAULT_POLICY, UNRESTRICTED, SecurityPolicy, objection

OR_FAIL: Final = "_or_fail"
"""How the name of a policy ends by which a task that no arm can take fails at once; by the others it waits."""

_MATCH, _AVAILABLE, _SUCCESS, _CHEAP = 0.4, 0.2, 0.3, 0.1
_USABLE: Final = (Health.HEALTHY, Health.DEGRADED)

_Entry: TypeAlias = tuple[frozenset[str], int, Candidate]
"""Tags, cost tier, and the arm as routing records it."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a task asks of an arm.

    Attributes:
        assigned_arm: This arm only.
        tags: All of them.
        max_cost_tier: At most this tier.
        policy: One of `octolog.domain.rules.ROUTING_POLICIES`.
        security: Name of the security policy.
    """

    assigned_arm: ArmId | None
    tags: tuple[str, ...]
    max_cost_tier: int | None
    policy: str
    security: str = DEFAULT_POLICY


class _Ranked:
    """The arms that can be chosen, in one policy's order."""

    def __init__(self, arms: Sequence[ArmState]) -> None:
        self.all: list[_Entry] = []
        self.by_tag: dict[str, list[_Entry]] = {}
        for arm in arms:
            capability = arm.capability
            seen = Candidate(capability.arm_id, _points(arm, 1.0), capability.cost_tier)
            entry = (frozenset(capability.capabilities), capability.cost_tier, seen)
            self.all.append(entry)
            for tag in entry[0]:
                self.by_tag.setdefault(tag, []).append(entry)


class RoutingIndex:
    """Answers many requirements against one registry.

    Args:
        registry: As of an offset; read, never changed.
    """

    def __init__(self, registry: Registry) -> None:
        self._arms, self._policies = registry.arms, registry.security.policies
        self._usable = [arm for arm in registry.arms.values() if _state_against(arm) is None]
        self._ranked: dict[bool, _Ranked] = {}

    def route(self, need: Requirement) -> tuple[Candidate, ...]:
        """Every arm that can take the task, best first; empty when none can."""
        weighted = need.policy.startswith("weighted")
        ranked = self._ranked.get(weighted) or self._rank(weighted=weighted)
        tags, cap, arm_id = need.tags, need.max_cost_tier, need.assigned_arm
        pool = min((ranked.by_tag.get(tag, []) for tag in tags), key=len) if tags else ranked.all
        wanted = frozenset(tags)
        found = tuple(
            candidate
            for have, tier, candidate in pool
            if wanted <= have
            and (cap is None or tier <= cap)
            and (arm_id is None or arm_id == candidate.arm_id)
        )
        policy = self._policies.get(need.security)
        if policy is UNRESTRICTED:
            return found
        return tuple(each for each in found if _objection(policy, self._arms[each.arm_id]) is None)

    def _rank(self, *, weighted: bool) -> _Ranked:
        order = sorted(self._usable, key=_weighted_order if weighted else _cost_order)
        ranked = self._ranked[weighted] = _Ranked(order)
        return ranked


def route(need: Requirement, registry: Registry) -> tuple[Candidate, ...]:
    """Every arm that can take the task, best first; empty when none can."""
    return RoutingIndex(registry).route(need)


def score(need: Requirement, arm: ArmState) -> float:
    """The published weighted score, 0.0 to 1.0, to six places."""
    have = set(arm.capability.capabilities)
    return _points(arm, sum(tag in have for tag in need.tags) / len(need.tags) if need.tags else 1.0)


def explain(need: Requirement, registry: Registry) -> str:
    """Why no arm can take the task: the nearest arm's missing tag or state, one line."""
    wanted = ", ".join(need.tags) or "any task"
    policy = registry.security.policies.get(need.security)
    if policy is None:
        return f"security policy {need.security} is not in force"
    if need.assigned_arm is not None:
        arm = registry.arms.get(need.assigned_arm)
        reason = "is not registered" if arm is None else _reason_against(need, arm, policy)
        return f"arm {need.assigned_arm} {reason}"
    if not registry.arms:
        return f"no arm is registered (wanted: {wanted})"
    nearest = min(
        registry.arms.values(), key=lambda arm: (_missing(need, arm.capability), arm.capability.arm_id)
    )
    reason = _reason_against(need, nearest, policy)
    return f"no capable healthy arm for {wanted}; nearest: {nearest.capability.arm_id} {reason}"


def _points(arm: ArmState, match: float) -> float:
    available = 1.0 if arm.health is Health.HEALTHY else 0.0
    cheap = 1 - arm.capability.cost_tier / 5
    return round(_MATCH * match + _AVAILABLE * available + _SUCCESS * arm.success_rate + _CHEAP * cheap, 6)


def _cost_order(arm: ArmState) -> tuple[int, bool, float, str]:
    capability = arm.capability
    return capability.cost_tier, arm.health is not Health.HEALTHY, -arm.success_rate, capability.arm_id


def _weighted_order(arm: ArmState) -> tuple[float, int, str]:
    return -_points(arm, 1.0), arm.capability.cost_tier, arm.capability.arm_id


def _missing(need: Requirement, capability: ArmCapability) -> int:
    return len(set(need.tags) - set(capability.capabilities))


def _objection(policy: SecurityPolicy | None, arm: ArmState) -> str | None:
    capability = arm.capability
    return objection(policy, capability.arm_id, capability.capabilities, capability.cost_tier)


def _reason_against(need: Requirement, arm: ArmState, policy: SecurityPolicy) -> str | None:
    capability = arm.capability
    if arm.retired:
        return "is retired"
    missing = [tag for tag in need.tags if tag not in capability.capabilities]
    if missing:
        return f"lacks {', '.join(missing)}"
    if need.max_cost_tier is not None and capability.cost_tier > need.max_cost_tier:
        return f"is of cost tier {capability.cost_tier}, above {need.max_cost_tier}"
    return _state_against(arm) or _objection(policy, arm)


def _state_against(arm: ArmState) -> str | None:
    """Why an arm cannot be chosen for any task; None when it can."""
    if arm.retired:
        return "is retired"
    if arm.health not in _USABLE:
        return f"is {arm.health.lower()}"
    if arm.breaker is BreakerState.OPEN:
        return "has an open circuit breaker"
    return None
