"""Capability tokens: what each part of one protects, and that nothing else is accepted."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest

from octolog.domain.assignment import AttemptAssignment
from octolog.domain.ids import ArmId, AttemptId, TaskId
from octolog.domain.security import (
    NO_SECURITY,
    CapabilityRevoked,
    RevocationScope,
    Security,
    SecurityPolicy,
    TokenKeyAnnounced,
    evolve_security,
)
from octolog.safety.tokens import TokenRefused, check_token, claims_of, sign_token
from streams.notary.keys import KeyRing
from streams.token_issuer import TokenIssuer
from tests.unit.arms.doubles import assignment

NOW_MS = 1_790_000_000_000
POLICY = SecurityPolicy("strict", token_lifetime_ms=300_000, version=3)


class World:
    """A home with keys, and the log's view of them."""

    def __init__(self, home: Path) -> None:
        self.security: Security = NO_SECURITY
        self.announced: list[TokenKeyAnnounced] = []
        self.issuer = TokenIssuer(KeyRing(home), self.announce, "processor-0")
        self.given = replace(
            assignment(), policy=POLICY, security_policy="strict", assigned_ms=NOW_MS, capability_token=""
        )

    def announce(self, key: TokenKeyAnnounced) -> None:
        self.announced.append(key)
        self.security = evolve_security(self.security, key)

    def stamped(self, **changes: Any) -> AttemptAssignment:
        return self.issuer.stamped(replace(self.given, **changes), self.security)

    def revoke(self, scope: RevocationScope, subject: str) -> None:
        self.security = evolve_security(self.security, CapabilityRevoked(scope, subject, "", "me"))

    def refusal(self, given: AttemptAssignment, at_ms: int = NOW_MS, **how: Any) -> tuple[str, str]:
        with pytest.raises(TokenRefused) as refused:
            check_token(given, self.security, at_ms, **how)
        return refused.value.code, refused.value.message


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "keys")


def test_a_token_allows_the_attempt_it_was_made_for(world: World) -> None:
    check_token(world.stamped(), world.security, NOW_MS + 299_000)


def test_the_same_assignment_always_gets_the_same_token_and_its_key_is_announced_once(world: World) -> None:
    assert world.stamped().capability_token == world.stamped().capability_token
    assert len(world.announced) == 1


def test_a_policy_that_asks_for_none_makes_no_key(world: World, tmp_path: Path) -> None:
    quiet = replace(POLICY, token_lifetime_ms=0)
    assert world.stamped(policy=quiet).capability_token == ""
    assert world.stamped(policy=None).capability_token == ""
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"attempt_id": AttemptId("another")}, "another attempt"),
        ({"task_id": TaskId("another")}, "another task"),
        ({"root_task_id": TaskId("another")}, "another tree"),
        ({"arm_id": ArmId("another")}, "another arm"),
        ({"security_policy": "default"}, "another policy"),
        ({"policy": replace(POLICY, version=4)}, "another version of the policy"),
        ({"goal": "delete everything"}, "another goal, context or input"),
        ({"context_json": '{"path":"/etc"}'}, "another goal, context or input"),
        ({"instructions": "ignore the goal"}, "another goal, context or input"),
    ],
)
def test_a_token_is_good_for_nothing_else(world: World, changes: dict[str, Any], said: str) -> None:
    code, message = world.refusal(replace(world.stamped(), **changes))
    assert (code, said in message) == ("INVALID_CAPABILITY_TOKEN", True), message


def test_no_token_is_none(world: World) -> None:
    assert world.refusal(world.given)[0] == "INVALID_CAPABILITY_TOKEN"
    assert world.refusal(replace(world.given, capability_token="a.b.c"))[0] == "INVALID_CAPABILITY_TOKEN"


def test_a_token_expires_and_is_not_good_before_its_time(world: World) -> None:
    given = world.stamped()
    assert world.refusal(given, NOW_MS + 301_001)[0] == "CAPABILITY_EXPIRED"
    assert "future" in world.refusal(given, NOW_MS - 120_000)[1]


@pytest.mark.parametrize("scope", [RevocationScope.ATTEMPT, RevocationScope.TREE, RevocationScope.KEY])
def test_a_revoked_token_is_refused(world: World, scope: RevocationScope) -> None:
    given = world.stamped()
    subject = {
        RevocationScope.ATTEMPT: given.attempt_id,
        RevocationScope.TREE: given.root_task_id,
        RevocationScope.KEY: world.announced[0].key_id,
    }[scope]
    world.revoke(scope, "somebody-else")
    check_token(given, world.security, NOW_MS)
    world.revoke(scope, subject)
    assert world.refusal(given)[0] == "CAPABILITY_REVOKED"


def test_after_a_key_was_revoked_another_one_signs(world: World) -> None:
    world.stamped()
    world.revoke(RevocationScope.KEY, world.announced[0].key_id)
    check_token(world.stamped(), world.security, NOW_MS)
    assert len({key.key_id for key in world.announced}) == 2


def test_a_key_that_was_not_announced_or_is_not_trusted_here_counts_for_nothing(
    world: World, tmp_path: Path
) -> None:
    stranger = World(tmp_path / "other")
    assert "never announced" in world.refusal(stranger.stamped())[1]
    given = world.stamped()
    check_token(given, world.security, NOW_MS, frozenset({world.announced[0].key_id}))
    assert "not trusted" in world.refusal(given, trusted=frozenset({"f" * 64}))[1]


def test_another_algorithm_is_refused_whatever_the_token_says(world: World) -> None:
    given = world.stamped()
    key = world.announced[0]
    claims = claims_of(given, 300_000)
    by_public = jwt.encode(claims, key.public_key, algorithm="HS256", headers={"kid": key.key_id})
    assert world.refusal(replace(given, capability_token=by_public))[0] == "INVALID_CAPABILITY_TOKEN"
    head = base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": key.key_id}).encode()).rstrip(b"=")
    unsigned = head.decode() + "." + given.capability_token.split(".")[1] + "."
    assert world.refusal(replace(given, capability_token=unsigned))[0] == "INVALID_CAPABILITY_TOKEN"


def test_a_changed_token_is_refused_at_every_character(world: World) -> None:
    given = world.stamped()
    token = given.capability_token
    for place in range(0, len(token), 7):
        other = "A" if token[place] != "A" else "B"
        changed = token[:place] + other + token[place + 1 :]
        if place == len(token) - 1:
            continue  # the last character's low bits are no part of the signature
        assert world.refusal(replace(given, capability_token=changed))[0] == "INVALID_CAPABILITY_TOKEN"


def test_a_claim_of_a_wrong_type_is_refused(world: World) -> None:
    given = world.stamped()
    secret = KeyRing(world.issuer._keys.folder).secret(world.announced[0].key_id)
    for name in ("exp", "iat", "tid", "wrk"):
        claims = claims_of(given, 300_000) | {name: "soon"}
        bad = sign_token(claims, secret, world.announced[0].key_id)
        assert world.refusal(replace(given, capability_token=bad))[0] == "INVALID_CAPABILITY_TOKEN"


def test_a_token_in_a_text_is_found_as_a_secret(world: World) -> None:
    from octolog.safety import redact

    assert redact(f"token {world.stamped().capability_token}").text == "token [REDACTED_JWT]"


def test_what_a_token_costs(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Told, not judged: only attempts whose policy asks for tokens pay it."""
    given, plain = world.stamped(), replace(world.given, policy=None)
    rounds = 200

    def mean_us(action: Any) -> float:
        began = time.perf_counter()
        for _ in range(rounds):
            action()
        return (time.perf_counter() - began) / rounds * 1e6

    signed = mean_us(world.stamped)
    checked = mean_us(lambda: check_token(given, world.security, NOW_MS))
    without = mean_us(lambda: world.issuer.stamped(plain, world.security))
    with capsys.disabled():
        print(f"\ntoken: signed in {signed:.0f} us, checked in {checked:.0f} us; without: {without:.2f} us")  # noqa: T201
