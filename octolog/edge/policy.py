"""A security policy, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from octolog.domain.security import (
    ANY,
    DEFAULT_TOKEN_LIFETIME_MS,
    SecurityPolicy,
    check_policy,
)
from octolog.edge.document import parse_object
from octolog.edge.model import Edge, build


def parse_policy(document: bytes | str | Mapping[str, object]) -> SecurityPolicy:
    """A policy from JSON text or a mapping; what is not named is not restricted.

    Raises:
        InvalidContract: For the first thing that is wrong.
    """
    policy = build(_Policy, parse_object(document, "policy"), lambda _: "INVALID_POLICY").policy()
    check_policy(policy)
    return policy


def policy_document(policy: SecurityPolicy) -> dict[str, object]:
    """A policy in the words that `parse_policy` reads, with its version."""
    return {
        "name": policy.name,
        "version": policy.version,
        "description": policy.description,
        "allowed_arms": list(policy.allowed_arms),
        "allowed_tags": list(policy.allowed_tags),
        "max_cost_tier": policy.max_cost_tier,
        "pii_mode": policy.pii_mode or None,
        "network": list(policy.network),
        "commands": list(policy.commands),
        "token_lifetime_seconds": policy.token_lifetime_ms // 1_000,
    }


class _Policy(Edge):
    noun: ClassVar[str] = "policy"

    name: str
    description: str = ""
    allowed_arms: list[str] | None = None
    allowed_tags: list[str] | None = None
    max_cost_tier: int | None = None
    pii_mode: str = ""
    network: list[str] | None = None
    commands: list[str] | None = None
    token_lifetime_seconds: int = DEFAULT_TOKEN_LIFETIME_MS // 1_000
    version: int = 0
    """As `octolog policy show` tells it; the log numbers versions, whatever stands here."""

    def policy(self) -> SecurityPolicy:
        return SecurityPolicy(
            name=self.name,
            description=self.description,
            allowed_arms=_listed(self.allowed_arms),
            allowed_tags=_listed(self.allowed_tags),
            max_cost_tier=self.max_cost_tier,
            pii_mode=self.pii_mode,
            network=tuple(each.lower() for each in _listed(self.network)),
            commands=_listed(self.commands),
            token_lifetime_ms=self.token_lifetime_seconds * 1_000,
        )


def _listed(names: list[str] | None) -> tuple[str, ...]:
    return (ANY,) if names is None else tuple(names)
