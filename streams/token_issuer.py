"""Signs the capability tokens of assignments whose policy asks for them, before they are written.

It stands outside the decisions: a token follows from the assignment and the key alone, and no fact holds it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from octolog.domain.assignment import AttemptAssignment
from octolog.domain.security import RevocationScope, Security, TokenKeyAnnounced
from octolog.safety.tokens import claims_of, sign_token
from streams.notary.keys import KeyRing

__all__ = ["TokenIssuer"]


class TokenIssuer:
    """Makes tokens with the newest key of a home that is not revoked.

    Nothing is read or made before the first token: a log whose policies ask for none has no key.

    Args:
        keys: The keys.
        announce: Puts an announcement into the registry's topic; returns once it is there.
        name: Who announces.
    """

    def __init__(self, keys: KeyRing, announce: Callable[[TokenKeyAnnounced], None], name: str) -> None:
        self._keys, self._announce, self._name = keys, announce, name
        self._secret: Any = None
        self._key_id = ""

    def stamped(self, assignment: AttemptAssignment, security: Security) -> AttemptAssignment:
        """The assignment with its token; without one where its policy asks for none.

        Raises:
            SettingsError: The keys cannot be read or made.
            BrokerUnavailable: A new key is not known to be announced.
        """
        policy = assignment.policy
        if policy is None or policy.token_lifetime_ms <= 0:
            return assignment
        if self._secret is None or (security.revoked and self._is_revoked(security)):
            self._take_key(assignment.assigned_ms, security)
        claims = claims_of(assignment, policy.token_lifetime_ms)
        return replace(assignment, capability_token=sign_token(claims, self._secret, self._key_id))

    def _is_revoked(self, security: Security) -> bool:
        return (RevocationScope.KEY, self._key_id) in security.revoked

    def _take_key(self, at_ms: int, security: Security) -> None:
        self._key_id = self._keys.current(at_ms)
        if self._is_revoked(security):
            self._key_id = self._keys.rotate(at_ms)
        secret = self._keys.secret(self._key_id)
        public = secret.public_key().public_bytes_raw()
        if security.keys.get(self._key_id) != public:
            self._announce(TokenKeyAnnounced(self._key_id, public, self._name))
        self._secret = secret
