from __future__ import annotations

from typing import Any

import pytest

from octolog.domain.arm import ArmCapability, ArmHealthChanged, ArmHeartbeat, ArmRetired, Health
from octolog.domain.ids import ArmId
from octolog.domain.registry import Registry, evolve_registry
from octolog.domain.routing import Requirement, explain, route, score
from octolog.testing import ArmsTopic, capability


def need(*tags: str, **fields: Any) -> Requirement:
    return Requirement(
        **{"assigned_arm": None, "tags": tags, "max_cost_tier": None, "policy": "cost_first", **fields}
    )


def registry(
    *arms: ArmCapability, unavailable: tuple[str, ...] = (), degraded: tuple[str, ...] = ()
) -> Registry:
    topic = ArmsTopic(*arms)
    for arm in unavailable:
        topic.set_health(arm, Health.UNAVAILABLE)
    for arm in degraded:
        topic.set_health(arm, Health.DEGRADED)
    return topic.now


def order(requirement: Requirement, known: Registry) -> list[str]:
    return [candidate.arm_id for candidate in route(requirement, known)]


DEAR = capability("dear", "write", "test", cost_tier=4, success_rate=0.94)
CHEAP = capability("cheap", "write", "test", cost_tier=2, success_rate=0.80)
DEAD = capability("dead", "write", "test", cost_tier=1, success_rate=1.0)
HALF = capability("half", "write", cost_tier=4, success_rate=0.9)
ALL = registry(DEAR, CHEAP, DEAD, HALF, unavailable=("dead",))


@pytest.mark.parametrize(
    ("arm", "points"), [("dear", 0.902), ("cheap", 0.900), ("dead", 0.780), ("half", 0.690)]
)
def test_the_published_score_has_its_published_values(arm: str, points: float) -> None:
    assert score(need("write", "test"), ALL.arms[ArmId(arm)]) == pytest.approx(points, abs=1e-9)


def test_cheap_first_takes_the_cheaper_of_two_full_matches_and_weighted_the_better() -> None:
    assert order(need("write", "test"), ALL) == ["cheap", "dear"]
    assert order(need("write", "test", policy="weighted"), ALL) == ["dear", "cheap"]


def test_neither_a_dead_arm_nor_a_half_match_is_ever_chosen() -> None:
    known = registry(DEAD, HALF, unavailable=("dead",))
    for policy in ("cost_first", "weighted"):
        assert order(need("write", "test", policy=policy), known) == []


@pytest.mark.parametrize(
    ("requirement", "known", "reason"),
    [
        (
            need("write", "test"),
            registry(HALF),
            "no capable healthy arm for write, test; nearest: half lacks test",
        ),
        (
            need("write", "test"),
            registry(DEAD, HALF, unavailable=("dead",)),
            "no capable healthy arm for write, test; nearest: dead is unavailable",
        ),
        (need("write"), Registry(), "no arm is registered (wanted: write)"),
        (
            need(max_cost_tier=1),
            registry(HALF),
            "no capable healthy arm for any task; nearest: half is of cost tier 4, above 1",
        ),
        (need(assigned_arm=ArmId("gone")), registry(HALF), "arm gone is not registered"),
        (need("test", assigned_arm=ArmId("half")), registry(HALF, DEAR), "arm half lacks test"),
    ],
)
def test_why_nobody_can_take_it_is_said_in_one_line(
    requirement: Requirement, known: Registry, reason: str
) -> None:
    assert route(requirement, known) == ()
    assert explain(requirement, known) == reason


def test_a_healthy_arm_goes_before_a_degraded_one_of_its_tier() -> None:
    ill, well = capability("a", success_rate=1.0), capability("b", success_rate=0.1)
    assert order(need("work"), registry(ill, well, degraded=("a",))) == ["b", "a"]


def test_of_equals_the_better_and_then_the_first_by_name_is_chosen() -> None:
    known = registry(capability("c", success_rate=0.5), capability("b"), capability("a"))
    assert order(need("work"), known) == ["a", "b", "c"]


def test_the_arm_asked_for_is_the_only_candidate() -> None:
    assert order(need("write", assigned_arm=ArmId("dear")), ALL) == ["dear"]


# The registry


def test_a_description_out_of_bounds_changes_nothing_but_the_offset() -> None:
    for wrong in (
        capability("x", cost_tier=6),
        ArmCapability(ArmId("x"), "x", "", (), 1),
        capability("Not An Id"),
    ):
        topic = ArmsTopic(wrong)
        assert (topic.now.arms, topic.now.offset) == ({}, 1)


@pytest.mark.parametrize(
    "event",
    [
        ArmHealthChanged(ArmId("nobody"), Health.HEALTHY, Health.UNKNOWN, "seen"),
        ArmRetired(ArmId("nobody"), "gone", "tester"),
        ArmHeartbeat(ArmId("nobody"), "i", 0, 0),
    ],
)
def test_news_of_an_unknown_arm_changes_nothing_but_the_offset(event: Any) -> None:
    assert evolve_registry(ALL, event, ALL.offset) == Registry(ALL.arms, ALL.offset + 1)


def test_an_arm_that_registers_again_is_back_and_healthy() -> None:
    topic = ArmsTopic(CHEAP)
    topic.retire("cheap")
    assert order(need("write"), topic.now) == []
    topic.register(CHEAP)
    assert order(need("write"), topic.now) == ["cheap"]


def test_an_older_registry_is_never_changed() -> None:
    topic = ArmsTopic(CHEAP)
    before = topic.now
    topic.retire("cheap")
    assert order(need("write"), before) == ["cheap"]
