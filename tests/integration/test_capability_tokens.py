"""Capability tokens on a real broker: a host lets an arm act on a good token alone, and stops it when it is revoked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from octolog.domain.assignment import AttemptAssignment
from octolog.domain.ids import AttemptId
from octolog.domain.reports import AttemptStarted, Redaction
from octolog.domain.security import (
    NO_SECURITY,
    CapabilityRevoked,
    RevocationScope,
    SecurityPolicy,
    TokenKeyAnnounced,
)
from octolog.safety.tokens import key_of
from streams.notary.keys import KeyRing
from streams.token_issuer import TokenIssuer
from tests.conftest import KafkaUnderTest
from tests.integration.arm_host import Driver, HostProcess

pytestmark = pytest.mark.integration

POLICY = SecurityPolicy("strict", token_lifetime_ms=300_000, version=1)


class Processor:
    """Stands where the task processor stands: signs what it assigns, and tells the registry of its key."""

    def __init__(self, driver: Driver, bootstrap: str, keys: Path) -> None:
        self.driver = driver
        self.producer = Producer({"bootstrap.servers": bootstrap})
        self.issuer = TokenIssuer(KeyRing(keys), self.say, "processor-test")

    def say(self, event: TokenKeyAnnounced | CapabilityRevoked) -> None:
        headers: list[tuple[str, str | bytes | None]] = [("ce_type", event.schema_name)]
        self.producer.produce("octolog.arms", self.driver.codec.encode(event), b"security", headers=headers)
        assert self.producer.flush(60) == 0

    def stamped(self, **fields: Any) -> AttemptAssignment:
        given = self.driver.assignment("sleeper", security_policy="strict", policy=POLICY, **fields)
        return self.issuer.stamped(given, NO_SECURITY)

    def run(self, *given: AttemptAssignment) -> dict[str, str | None]:
        """Error code by attempt."""
        self.driver.write(*given)
        wanted = {each.attempt_id for each in given}
        self.driver.until(lambda: wanted <= {result.attempt_id for result in self.driver.results()})
        return {r.attempt_id: r.error_code for r in self.driver.results() if r.attempt_id in wanted}


@pytest.fixture
def processor(kafka: KafkaUnderTest, tmp_path: Path) -> Iterator[Processor]:
    driver = Driver(kafka.bootstrap_servers, f"k{uuid4().hex[:8]}")
    host = HostProcess(kafka.bootstrap_servers, driver.suffix, tmp_path / "host.log")
    yield Processor(driver, kafka.bootstrap_servers, tmp_path / "keys")
    host.kill()
    driver.close()


def test_a_host_acts_on_good_tokens_alone_and_stops_what_was_revoked(
    processor: Processor, tmp_path: Path
) -> None:
    good = processor.stamped()
    none = replace(processor.stamped(), capability_token="")
    stolen = replace(processor.stamped(), attempt_id=AttemptId(f"another-{processor.driver.suffix}"))
    altered = replace(processor.stamped(), goal="something else")
    late = processor.stamped(assigned_ms=1_700_000_000_000)
    stranger = TokenIssuer(KeyRing(tmp_path / "other"), lambda _: None, "stranger")
    foreign = stranger.stamped(
        replace(none, attempt_id=AttemptId(f"f-{processor.driver.suffix}")), NO_SECURITY
    )
    codes = processor.run(good, none, stolen, altered, late, foreign)
    assert codes == {
        good.attempt_id: None,
        none.attempt_id: "INVALID_CAPABILITY_TOKEN",
        stolen.attempt_id: "INVALID_CAPABILITY_TOKEN",
        altered.attempt_id: "INVALID_CAPABILITY_TOKEN",
        late.attempt_id: "CAPABILITY_EXPIRED",
        foreign.attempt_id: "INVALID_CAPABILITY_TOKEN",
    }
    shown = {r.attempt_id: r.provenance.capability for r in processor.driver.results()}
    proof = shown[good.attempt_id]
    assert proof is not None
    digest = sha256(good.capability_token.encode()).hexdigest()
    assert (proof.token_sha256, proof.accepted) == (digest, True)
    assert (proof.policy, proof.policy_version, proof.key_id) == ("strict", 1, key_of(good.capability_token))
    assert proof.expires_ms - proof.issued_ms == POLICY.token_lifetime_ms
    assert {attempt for attempt, said in shown.items() if said and said.accepted} == {good.attempt_id}
    assert (bare := shown[none.attempt_id])
    assert bare.token_sha256 == "", "it had none to show"
    retryable = {r.attempt_id for r in processor.driver.results() if r.retryable}
    assert retryable == {late.attempt_id}, "a new attempt gets a new token; nothing else would change"

    running = processor.stamped(context={"ms": 4_500})
    processor.driver.write(running)
    started = processor.driver.of
    processor.driver.until(lambda: any(r.attempt_id == running.attempt_id for r in started(AttemptStarted)))
    processor.say(CapabilityRevoked(RevocationScope.TREE, running.root_task_id, "a test", "tester"))
    processor.driver.until(
        lambda: any(r.attempt_id == running.attempt_id for r in processor.driver.results())
    )
    (ended,) = [r for r in processor.driver.results() if r.attempt_id == running.attempt_id]
    assert (ended.error_code, ended.retryable) == ("CAPABILITY_REVOKED", False)
    after = processor.stamped(root_task_id=running.root_task_id)
    assert processor.run(after) == {after.attempt_id: "CAPABILITY_REVOKED"}

    strict = replace(POLICY, pii_mode="reject")
    raw = {"mail": "ilse@mailhouse.example", "ms": 0}
    told, refused = processor.stamped(context=raw), processor.stamped(context=raw)
    refused = processor.issuer.stamped(replace(refused, policy=strict), NO_SECURITY)
    assert processor.run(told, refused) == {told.attempt_id: None, refused.attempt_id: "PII_FOUND"}
    (result,) = [r for r in processor.driver.results() if r.attempt_id == told.attempt_id]
    assert result.redactions == (Redaction("email", 1),)
    assert "ilse@" not in result.output
