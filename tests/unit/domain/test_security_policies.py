"""Named security policies in a whole partition: which arms they let through, and that replays see the same."""

from __future__ import annotations

from typing import Any

import pytest

from octolog.domain import facts as f
from octolog.domain.assignment import AttemptAssignment
from octolog.domain.errors import InvalidContract
from octolog.domain.security import (
    NO_SECURITY,
    SecurityPolicy,
    SecurityPolicyPut,
    SecurityPolicyWithdrawn,
    check_policy,
    evolve_security,
)
from octolog.testing import ArmsTopic, ShardLog, capability, submit


def arms() -> ArmsTopic:
    return ArmsTopic(
        capability("cheap", "work", "shell_execution"),
        capability("mid", "work", cost_tier=2),
        capability("dear", "work", cost_tier=4),
    )


def put(topic: ArmsTopic, name: str = "strict", **fields: Any) -> None:
    topic.append(SecurityPolicyPut(SecurityPolicy(name, **fields), "tester"))


def of(log: ShardLog, kind: type[Any]) -> list[Any]:
    return [fact for fact in log.facts if isinstance(fact, kind)]


def chosen(log: ShardLog) -> list[str]:
    return [fact.arm_id for fact in of(log, f.AttemptAssigned)]


def asked(topic: ArmsTopic, **contract: Any) -> ShardLog:
    log = ShardLog(topic)
    log.send(submit(**contract))
    return log


def test_without_a_policy_the_cheapest_arm_is_taken_and_told_of_none() -> None:
    log = asked(arms())
    assert chosen(log) == ["cheap"]
    (told,) = [each for each in log.told if isinstance(each, AttemptAssignment)]
    assert (told.policy, told.capability_token) == (None, "")


@pytest.mark.parametrize(
    ("fields", "arm"),
    [
        ({"allowed_arms": ("mid", "dear")}, "mid"),
        ({"allowed_arms": ("dear",)}, "dear"),
        ({"allowed_tags": ("work",)}, "mid"),
        ({"max_cost_tier": 1}, "cheap"),
        ({}, "cheap"),
    ],
)
def test_a_policy_lets_through_only_what_it_names(fields: dict[str, Any], arm: str) -> None:
    topic = arms()
    put(topic, **fields)
    log = asked(topic, security_policy="strict")
    assert chosen(log) == [arm]
    (told,) = [each for each in log.told if isinstance(each, AttemptAssignment)]
    assert told.policy == SecurityPolicy("strict", version=1, **fields)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"allowed_arms": ()}, "kept out by security policy strict, which does not name it"),
        ({"allowed_arms": ("nobody",)}, "kept out by security policy strict, which does not name it"),
        ({"allowed_tags": ("shell_execution",)}, "which does not allow work"),
        ({"allowed_arms": ("dear",), "max_cost_tier": 3}, "which does not name it"),
    ],
)
def test_where_a_policy_lets_nobody_through_the_task_waits_and_says_why(
    fields: dict[str, Any], reason: str
) -> None:
    topic = arms()
    put(topic, **fields)
    log = asked(topic, security_policy="strict")
    assert chosen(log) == []
    (deferred,) = of(log, f.RoutingDeferred)
    assert reason in deferred.reason


def test_an_arm_asked_for_by_name_is_kept_out_too() -> None:
    topic = arms()
    put(topic, allowed_arms=("mid",))
    log = asked(topic, security_policy="strict", assigned_arm="cheap")
    assert chosen(log) == []
    (deferred,) = of(log, f.RoutingDeferred)
    assert deferred.reason == "arm cheap is kept out by security policy strict, which does not name it"


@pytest.mark.parametrize("name", ["strict", "no such"])
def test_a_name_that_no_policy_has_is_refused(name: str) -> None:
    log = asked(arms(), security_policy=name)
    (rejected,) = of(log, f.RequestRejected)
    assert (rejected.code, rejected.field) == ("UNKNOWN_POLICY", "security_policy")


def test_a_policy_put_later_lets_a_waiting_task_go() -> None:
    topic = arms()
    put(topic, allowed_arms=())
    log = asked(topic, security_policy="strict")
    put(topic, allowed_arms=("dear",))
    log.registry_changed()
    assert chosen(log) == ["dear"]
    (told,) = [each for each in log.told if isinstance(each, AttemptAssignment)]
    assert told.policy is not None
    assert told.policy.version == 2


def test_a_withdrawn_policy_is_refused_and_default_falls_back() -> None:
    topic = arms()
    put(topic)
    put(topic, "default", allowed_arms=("dear",))
    assert chosen(asked(topic)) == ["dear"]
    topic.append(SecurityPolicyWithdrawn("strict", "", "tester"))
    topic.append(SecurityPolicyWithdrawn("default", "", "tester"))
    assert chosen(asked(topic)) == ["cheap"]
    assert of(asked(topic, security_policy="strict"), f.RequestRejected)


def test_a_replay_decides_the_same_under_the_policy_that_was_in_force() -> None:
    topic = arms()
    put(topic, allowed_arms=("mid",))
    log = asked(topic, security_policy="strict")
    put(topic, allowed_arms=("dear",))
    log.send(submit("second", security_policy="strict"))
    assert chosen(log) == ["mid", "dear"]
    assert [each.hash for each in log.replayed().log] == [each.hash for each in log.log]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "No Name"}, "name"),
        ({"max_cost_tier": 6}, "max_cost_tier"),
        ({"pii_mode": "blur"}, "pii_mode"),
        ({"token_lifetime_ms": -1}, "token_lifetime_ms"),
        ({"token_lifetime_ms": 86_400_001}, "token_lifetime_ms"),
        ({"network": ("a host",)}, "network"),
        ({"commands": ("",)}, "commands"),
        ({"allowed_arms": ("a",) * 201}, "allowed_arms"),
        ({"description": "x" * 501}, "description"),
    ],
)
def test_a_policy_out_of_bounds_is_refused_and_changes_nothing(fields: dict[str, Any], field: str) -> None:
    policy = SecurityPolicy(**{"name": "strict", **fields})
    with pytest.raises(InvalidContract) as refused:
        check_policy(policy)
    assert refused.value.field == field
    assert evolve_security(NO_SECURITY, SecurityPolicyPut(policy, "tester")) is NO_SECURITY
