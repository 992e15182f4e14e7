"""Capability tokens: one arm may make one attempt at one task, until a moment. Signed JSON Web Tokens (EdDSA).

The claims derive from the assignment alone, and Ed25519 draws no random number: whoever holds the key makes the
same token again, and whoever has the log can check it. See docs/decisions/0011.

| claim | is |
|---|---|
| `iss` | `octolog` |
| `sub` | the arm; nobody else may use it |
| `jti` | the attempt |
| `tid`, `rid` | the task, and the root of its tree |
| `pol`, `ver` | the policy and its version |
| `wrk` | SHA-256 of what is asked (`work_digest`): another goal or context is another token |
| `iat`, `exp` | seconds since the epoch, by the broker's clock |

The header's `kid` names the key (`octolog.security.TokenKeyAnnounced`).
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

import jwt
from jwt.algorithms import OKPAlgorithm

from octolog.domain.assignment import AttemptAssignment
from octolog.domain.errors import Refused
from octolog.domain.security import Security
from octolog.domain.values import CapabilityShown

__all__ = [
    "TokenRefused",
    "check_token",
    "claims_of",
    "is_void",
    "key_of",
    "shown",
    "sign_token",
    "work_digest",
]

ISSUER: Final = "octolog"
_ALGORITHM: Final = "EdDSA"
_NEEDED: Final = ("iss", "sub", "jti", "tid", "rid", "pol", "ver", "wrk", "iat", "exp")
# The times are judged here, by the clock that is given; and `iat` may lie ahead of it.
_OPTIONS: Final[Any] = {
    "require": list(_NEEDED),
    "verify_exp": False,
    "verify_iat": False,
    "verify_sub": False,
}
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_LAST_S: Final = 2**40
CLOCK_SKEW_S: Final = 60
"""A host's clock may be so far ahead of the broker's."""


class TokenRefused(Refused):
    """An attempt's capability token does not allow it; nothing was done.

    Attributes:
        code: INVALID_CAPABILITY_TOKEN, CAPABILITY_EXPIRED or CAPABILITY_REVOKED.
    """

    def __init__(self, message: str, code: str = "INVALID_CAPABILITY_TOKEN") -> None:
        super().__init__(message, code)
        self.message, self.code = message, code

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def work_digest(assignment: AttemptAssignment) -> str:
    """SHA-256, lowercase hex, of all that an arm is asked: each text's length in bytes as 8 bytes, then its UTF-8."""
    texts = [
        assignment.goal, assignment.constraints_json, assignment.context_json, assignment.instructions,
        assignment.system, assignment.model, *assignment.acceptance_criteria,
    ]  # fmt: skip
    if assignment.context_blob is not None:
        texts.append(assignment.context_blob.sha256)
    for given in assignment.inputs:
        texts += [given.step_id, given.output if given.output_blob is None else given.output_blob.sha256]
    whole = sha256()
    for text in texts:
        data = text.encode()
        whole.update(len(data).to_bytes(8, "big"))
        whole.update(data)
    return whole.hexdigest()


def claims_of(assignment: AttemptAssignment, lifetime_ms: int) -> dict[str, Any]:
    """What a token for an assignment says."""
    issued_s = assignment.assigned_ms // 1_000
    policy = assignment.policy
    return {
        "exp": issued_s + max(1, lifetime_ms // 1_000),
        "iat": issued_s,
        "iss": ISSUER,
        "jti": assignment.attempt_id,
        "pol": assignment.security_policy,
        "rid": assignment.root_task_id,
        "sub": assignment.arm_id,
        "tid": assignment.task_id,
        "ver": 0 if policy is None else policy.version,
        "wrk": work_digest(assignment),
    }


def sign_token(claims: Mapping[str, Any], secret: Any, key_id: str) -> str:
    """The token of these claims.

    Args:
        claims: See `claims_of`.
        secret: The Ed25519 key, as the `cryptography` package has it.
        key_id: Its name.
    """
    return jwt.encode(dict(claims), secret, algorithm=_ALGORITHM, headers={"kid": key_id})


def key_of(token: str) -> str:
    """The id of the key that a token says it is signed with.

    Raises:
        TokenRefused: It is no token.
    """
    try:
        found = jwt.get_unverified_header(token).get("kid")
    except jwt.PyJWTError as error:
        raise TokenRefused(f"is no token: {error}") from None
    if not isinstance(found, str):
        raise TokenRefused("names no key")
    return found


def check_token(
    assignment: AttemptAssignment, security: Security, now_ms: int, trusted: frozenset[str] = frozenset()
) -> None:
    """Raise TokenRefused unless the assignment's token allows this very attempt now.

    Args:
        assignment: As it came from the log.
        security: Keys and revocations as far as they are known.
        now_ms: Milliseconds since the epoch.
        trusted: Ids of the keys that count here; empty: all that were announced.
    """
    if not assignment.capability_token:
        raise TokenRefused("the assignment carries no capability token")
    key_id = key_of(assignment.capability_token)
    public = security.keys.get(key_id)
    if public is None or (trusted and key_id not in trusted):
        raise TokenRefused(f"key {key_id[:12]} was never announced, or is not trusted here")
    try:
        said = jwt.decode(
            assignment.capability_token,
            _key(public),
            algorithms=[_ALGORITHM],
            issuer=ISSUER,
            options=_OPTIONS,
        )
    except jwt.PyJWTError as error:
        raise TokenRefused(f"{error}") from None
    _check_claims(said, assignment)
    if is_void(assignment, security):
        raise TokenRefused("the token was revoked", "CAPABILITY_REVOKED")
    if now_ms > said["exp"] * 1_000:
        late_s = now_ms // 1_000 - said["exp"]
        raise TokenRefused(f"the token expired {late_s} s ago", "CAPABILITY_EXPIRED")
    if now_ms + CLOCK_SKEW_S * 1_000 < said["iat"] * 1_000:
        raise TokenRefused("the token is of the future; is this machine's clock right?")


def shown(assignment: AttemptAssignment, now_ms: int, *, accepted: bool) -> CapabilityShown:
    """What a result tells of its assignment's token: digests and times, as far as the token says them.

    Args:
        assignment: As it came from the log.
        now_ms: When it was looked at, milliseconds since the epoch.
        accepted: Whether `check_token` took it.
    """
    token, policy = assignment.capability_token, assignment.policy
    key_id, issued_s, expires_s = "", 0, 0
    try:
        key_id = key_of(token) if token else ""
        claims = jwt.decode(token, options={"verify_signature": False}) if token else {}
        issued_s, expires_s = _seconds(claims.get("iat")), _seconds(claims.get("exp"))
    except (TokenRefused, jwt.PyJWTError):
        pass  # it is no token: its digest is all there is to tell
    return CapabilityShown(
        sha256(token.encode()).hexdigest() if token else "",
        key_id if _DIGEST.fullmatch(key_id) else "",
        assignment.security_policy,
        0 if policy is None else policy.version,
        issued_s * 1_000,
        expires_s * 1_000,
        now_ms,
        accepted,
    )


def _seconds(said: object) -> int:
    return said if type(said) is int and 0 <= said < _LAST_S else 0


def is_void(assignment: AttemptAssignment, security: Security) -> bool:
    """Whether the token of an assignment was revoked; it may be no token at all."""
    try:
        key_id = key_of(assignment.capability_token)
    except TokenRefused:
        key_id = ""
    return security.is_revoked(
        attempt_id=assignment.attempt_id, root_task_id=assignment.root_task_id, key_id=key_id
    )


def _check_claims(said: Mapping[str, Any], assignment: AttemptAssignment) -> None:
    wanted = claims_of(assignment, 0)
    for name in _NEEDED:
        if name not in ("exp", "iat") and said[name] != wanted[name]:
            raise TokenRefused(f"the token is for another {_MEANING[name]}")
    if not isinstance(said["exp"], int) or not isinstance(said["iat"], int):
        raise TokenRefused("the token has no times")


_MEANING: Final = {
    "iss": "issuer", "sub": "arm", "jti": "attempt", "tid": "task", "rid": "tree", "pol": "policy",
    "ver": "version of the policy", "wrk": "goal, context or input",
}  # fmt: skip


@lru_cache(maxsize=64)
def _key(public: bytes) -> Any:
    x = urlsafe_b64encode(public).rstrip(b"=").decode()
    try:
        return OKPAlgorithm.from_jwk({"kty": "OKP", "crv": "Ed25519", "x": x})
    except jwt.PyJWTError as error:
        raise TokenRefused(f"the announced key is none: {error}") from None
