"""Named security policies, keys that sign capability tokens, and revocations (`octolog.arms`).

They are part of the registry: a fact names the registry offset it was decided with, and so the policy too.
Source: seed A; its published pages leave the policy undefined, see docs/decisions/0011.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import ClassVar, Final, TypeAlias, assert_never

from octolog.domain.bounds import check_between, check_words
from octolog.domain.errors import InvalidContract
from octolog.domain.ids import is_arm_id

ANY: Final = "*"
"""In a list: whatever the arm itself may do."""

DEFAULT_POLICY: Final = "default"
DEFAULT_TOKEN_LIFETIME_MS: Final = 300_000
"""Of a policy that says nothing of it: long enough for a queue, short enough for a leak. Seed A: 5 minutes."""

MAX_TOKEN_LIFETIME_MS: Final = 86_400_000
MAX_LISTED: Final = 200
MAX_NAME_CHARS: Final = 255
PII_MODES: Final = ("", "redact", "reject", "off")
_CODE: Final = "INVALID_POLICY"


class RevocationScope(StrEnum):
    """Which tokens are void."""

    UNKNOWN = "UNKNOWN"
    ATTEMPT = "ATTEMPT"
    TREE = "TREE"
    KEY = "KEY"


@dataclass(frozen=True, slots=True)
class SecurityPolicy:
    """What the attempts of a tree may do. A list that is `*` allows what the arm itself may; an empty one nothing.

    Attributes:
        name: Lowercase words with hyphens.
        description: For people.
        allowed_arms: Arm ids.
        allowed_tags: Tags. An arm that has another one is not used: nothing would keep it from doing that, too.
        max_cost_tier: Highest tier; None: no limit.
        pii_mode: `redact`, `reject` or `off`; empty: the host's. The stricter of the two holds.
        network: Hosts, `host` or `host:port`, that the executor may ask, of those it may ask at all.
        commands: Commands that the executor may run, of those it may run at all.
        token_lifetime_ms: How long a capability token is good, milliseconds; 0: attempts carry none.
        version: Its number among the policies of this name, from 1; given by the log, 0 before it is there.
    """

    schema_name: ClassVar[str] = "octolog.security.SecurityPolicy"
    name: str
    description: str = ""
    allowed_arms: tuple[str, ...] = (ANY,)
    allowed_tags: tuple[str, ...] = (ANY,)
    max_cost_tier: int | None = None
    pii_mode: str = ""
    network: tuple[str, ...] = (ANY,)
    commands: tuple[str, ...] = (ANY,)
    token_lifetime_ms: int = DEFAULT_TOKEN_LIFETIME_MS
    version: int = 0


@dataclass(frozen=True, slots=True)
class SecurityPolicyPut:
    """A policy is in force from here on; one of the same name no longer.

    Attributes:
        policy: The whole of it.
        put_by: Who says so.
    """

    schema_name: ClassVar[str] = "octolog.security.SecurityPolicyPut"
    policy: SecurityPolicy
    put_by: str


@dataclass(frozen=True, slots=True)
class SecurityPolicyWithdrawn:
    """A policy is no longer in force: contracts that name it are refused, open ones of it wait.

    Attributes:
        name: The policy; `default` goes back to what it is without a record.
        reason: Why.
        withdrawn_by: Who says so.
    """

    schema_name: ClassVar[str] = "octolog.security.SecurityPolicyWithdrawn"
    name: str
    reason: str
    withdrawn_by: str


@dataclass(frozen=True, slots=True)
class TokenKeyAnnounced:
    """Capability tokens are signed with this key.

    Attributes:
        key_id: SHA-256 of the public key, lowercase hex.
        public_key: Ed25519, 32 bytes.
        announced_by: The processor that holds its secret.
    """

    schema_name: ClassVar[str] = "octolog.security.TokenKeyAnnounced"
    key_id: str
    public_key: bytes
    announced_by: str


@dataclass(frozen=True, slots=True)
class CapabilityRevoked:
    """Tokens are void from here on; arms stop what they do on them.

    Attributes:
        scope: Of one attempt, of a tree, or all that a key signed.
        subject: The attempt's id, the root task's, or the key's.
        reason: Why.
        revoked_by: Who says so.
    """

    schema_name: ClassVar[str] = "octolog.security.CapabilityRevoked"
    scope: RevocationScope
    subject: str
    reason: str
    revoked_by: str


SecurityEvent: TypeAlias = SecurityPolicyPut | SecurityPolicyWithdrawn | TokenKeyAnnounced | CapabilityRevoked

UNRESTRICTED: Final = SecurityPolicy(DEFAULT_POLICY, token_lifetime_ms=0)
"""What `default` means while no record says otherwise: whatever the arms and their hosts allow, and no tokens."""


@dataclass(frozen=True, slots=True)
class Security:
    """Policies, keys and revocations, as of an offset of the registry.

    Attributes:
        policies: Those in force, by name.
        versions: Policies there were, by name.
        keys: Public keys, by id.
        revoked: What tokens are void.
    """

    policies: dict[str, SecurityPolicy] = field(default_factory=lambda: {DEFAULT_POLICY: UNRESTRICTED})
    versions: dict[str, int] = field(default_factory=dict[str, int])
    keys: dict[str, bytes] = field(default_factory=dict[str, bytes])
    revoked: frozenset[tuple[RevocationScope, str]] = frozenset()

    def is_revoked(self, *, attempt_id: str, root_task_id: str, key_id: str) -> bool:
        """Whether a token of these is void."""
        return bool(self.revoked) and not self.revoked.isdisjoint({
            (RevocationScope.ATTEMPT, attempt_id),
            (RevocationScope.TREE, root_task_id),
            (RevocationScope.KEY, key_id),
        })  # fmt: skip


NO_SECURITY: Final = Security()


def evolve_security(security: Security, event: SecurityEvent) -> Security:
    """Fold one fact; a policy out of bounds changes nothing."""
    match event:
        case SecurityPolicyPut(policy=policy):
            try:
                check_policy(policy)
            except InvalidContract:
                return security
            number = security.versions.get(policy.name, 0) + 1
            policies = {**security.policies, policy.name: replace(policy, version=number)}
            return replace(security, policies=policies, versions={**security.versions, policy.name: number})
        case SecurityPolicyWithdrawn(name=name):
            left = {known: policy for known, policy in security.policies.items() if known != name}
            return replace(security, policies={DEFAULT_POLICY: UNRESTRICTED} | left)
        case TokenKeyAnnounced(key_id=key_id, public_key=public_key):
            return replace(security, keys={**security.keys, key_id: public_key})
        case CapabilityRevoked(scope=scope, subject=subject):
            return replace(security, revoked=security.revoked | {(scope, subject)})
        case _:
            assert_never(event)


def check_policy(policy: SecurityPolicy) -> None:
    """Raise InvalidContract (INVALID_POLICY) for the first bound a policy breaks."""
    if not is_arm_id(policy.name):
        raise InvalidContract(_CODE, "name", f"{policy.name[:64]!r}: use lowercase words joined by hyphens")
    check_words("description", policy.description, 500)
    for name in ("allowed_arms", "allowed_tags", "network", "commands"):
        _check_list(name, getattr(policy, name))
    if policy.max_cost_tier is not None:
        check_between("max_cost_tier", policy.max_cost_tier, 1, 5, _CODE)
    if policy.pii_mode not in PII_MODES:
        raise InvalidContract(_CODE, "pii_mode", f"must be one of {', '.join(filter(None, PII_MODES))}")
    check_between("token_lifetime_ms", policy.token_lifetime_ms, 0, MAX_TOKEN_LIFETIME_MS, _CODE)


def objection(policy: SecurityPolicy | None, arm_id: str, tags: Iterable[str], tier: int) -> str | None:
    """Why a policy keeps an arm out, to be read after the arm's name; None when it does not.

    Args:
        policy: The policy; None: it is not in force.
        arm_id: The arm.
        tags: All that the arm can do.
        tier: The arm's cost tier.
    """
    if policy is UNRESTRICTED:
        return None
    if policy is None:
        return "is kept out: the task's security policy is not in force"
    said = f"is kept out by security policy {policy.name}"
    if ANY not in policy.allowed_arms and arm_id not in policy.allowed_arms:
        return f"{said}, which does not name it"
    if ANY not in policy.allowed_tags:
        other = [tag for tag in tags if tag not in policy.allowed_tags]
        if other:
            return f"{said}, which does not allow {', '.join(other)}"
    if policy.max_cost_tier is not None and tier > policy.max_cost_tier:
        return f"{said}: cost tier {tier} is above {policy.max_cost_tier}"
    return None


def _check_list(field_name: str, names: tuple[str, ...]) -> None:
    if len(names) > MAX_LISTED:
        raise InvalidContract(_CODE, field_name, f"{len(names)} entries; at most {MAX_LISTED}")
    for name in names:
        if not name or len(name) > MAX_NAME_CHARS or not name.isprintable() or any(map(str.isspace, name)):
            raise InvalidContract(_CODE, field_name, f"{name[:40]!r} is no name")
