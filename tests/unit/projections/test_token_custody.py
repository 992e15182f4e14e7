"""The chain of custody says what became of every capability token, and no store holds one."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest

from octolog.domain.arm import ArmRegistered
from octolog.domain.assignment import AttemptAssignment
from octolog.domain.errors import InvalidContract
from octolog.domain.ids import TaskId
from octolog.domain.reports import ExecutionResult
from octolog.domain.rules import check_report
from octolog.domain.security import CapabilityRevoked, RevocationScope, SecurityPolicy
from octolog.domain.values import CapabilityShown, RetryPolicy
from octolog.safety.tokens import claims_of, shown, sign_token
from octolog.testing import capability, failure, submit, success
from projections.analytics.sink import AnalyticsProjection
from projections.duck import Store
from projections.provenance.queries import provenance
from projections.tables import FOLLOWED
from streams.notary.keys import KeyRing
from tests.replay.log import World

POLICY = SecurityPolicy("strict", token_lifetime_ms=300_000, version=3)
SEEN_MS = 1_700_000_001_000


@pytest.fixture
def ring(tmp_path: object) -> KeyRing:
    return KeyRing(tmp_path / "keys")  # type: ignore[operator]  # pytest's own path


def stamped(attempt: AttemptAssignment, ring: KeyRing) -> AttemptAssignment:
    attempt = replace(attempt, security_policy="strict", policy=POLICY)
    key_id = ring.current(attempt.assigned_ms)
    token = sign_token(claims_of(attempt, POLICY.token_lifetime_ms), ring.secret(key_id), key_id)
    return replace(attempt, capability_token=token)


def told(result: ExecutionResult, attempt: AttemptAssignment, *, accepted: bool) -> ExecutionResult:
    proof = shown(attempt, SEEN_MS, accepted=accepted)
    return replace(result, provenance=replace(result.provenance, capability=proof))


def test_custody_tells_who_permitted_admitted_refused_and_revoked(ring: KeyRing) -> None:
    world = World()
    world.arm(ArmRegistered(capability("a", "work"), "test"))
    world.send(submit("root", required_capabilities=("work",), retry=RetryPolicy(3, 10)))
    late = stamped(world.next_attempt(), ring)
    world.send(
        told(failure(late, "too late", retryable=True, error_code="CAPABILITY_EXPIRED"), late, accepted=False)
    )
    world.pass_time(60)
    good = stamped(world.next_attempt(), ring)
    broken = failure(good, "broke off", retryable=True, error_code="CAPABILITY_REVOKED")
    withdrawn = CapabilityRevoked(RevocationScope.ATTEMPT, good.attempt_id, "no longer trusted", "ada")
    world.arm_bytes(b"security", world.codec.encode(withdrawn))
    world.send(told(broken, good, accepted=True))
    world.pass_time(60)
    silent = world.next_attempt()
    world.send(success(silent))

    ids, store = world.codec.ids, Store.open(None)
    records = [record for record in world.story if record.topic in FOLLOWED]
    AnalyticsProjection(store, ids).apply(records, {})
    custody = provenance(store, TaskId("root"))
    steps = [
        (e.attempt_id, str(e.action), e.actor, e.token_hash)
        for e in custody.entries
        if e.action in ("PERMITTED", "ADMITTED", "REFUSED", "REVOKED")
    ]
    digests = {each.attempt_id: sha256(each.capability_token.encode()).hexdigest() for each in (late, good)}
    assert steps == [
        (late.attempt_id, "REFUSED", "a", digests[late.attempt_id]),
        (good.attempt_id, "PERMITTED", "task-processor", digests[good.attempt_id]),
        (good.attempt_id, "ADMITTED", "a", digests[good.attempt_id]),
        (good.attempt_id, "REVOKED", "ada", digests[good.attempt_id]),
    ]
    details = {str(e.action): e.detail for e in custody.entries if e.token_hash is not None}
    key = ring.current(0)[:12]
    assert details["PERMITTED"].startswith(
        f"a for this attempt: policy strict version 3, key {key}, expires 2023-"
    )
    assert details["REFUSED"] == "checked 2023-11-14T22:13:21Z: CAPABILITY_EXPIRED: too late"
    assert details["REVOKED"].startswith("attempt: no longer trusted (octolog.arms/0/")
    written = b"".join(record.value or b"" for record in records)
    assert good.capability_token.encode() not in written
    store.close()


def test_a_result_that_holds_a_token_instead_of_its_digest_is_refused(ring: KeyRing) -> None:
    world = World()
    world.arm(ArmRegistered(capability("a", "work"), "test"))
    world.send(submit("root", required_capabilities=("work",)))
    given = stamped(world.next_attempt(), ring)
    proof = shown(given, SEEN_MS, accepted=True)
    assert isinstance(proof, CapabilityShown)
    bad = told(success(given), given, accepted=True)
    bad = replace(
        bad,
        provenance=replace(bad.provenance, capability=replace(proof, token_sha256=given.capability_token)),
    )
    with pytest.raises(InvalidContract, match="token_sha256: is not 64 lowercase hex"):
        check_report(bad)
