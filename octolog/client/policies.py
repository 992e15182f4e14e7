"""Security policies and revocations, straight from the registry's topic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from octolog.app.connection import Connection
from octolog.client.decisions import Sent
from octolog.client.sender import Letter, Sender
from octolog.domain.arm import ArmHeartbeat
from octolog.domain.bounds import check_words
from octolog.domain.errors import InvalidContract, NotFound, UndecodableRecord
from octolog.domain.ids import TaskId
from octolog.domain.rules import MAX_REASON_CHARS
from octolog.domain.security import (
    NO_SECURITY,
    CapabilityRevoked,
    RevocationScope,
    Security,
    SecurityPolicy,
    SecurityPolicyPut,
    SecurityPolicyWithdrawn,
    TokenKeyAnnounced,
    check_policy,
    evolve_security,
)
from octolog.edge.policy import parse_policy
from streams.topics import ARMS

MAX_SUBJECT_CHARS: Final = 255
_EVENTS: Final = (SecurityPolicyPut, SecurityPolicyWithdrawn, TokenKeyAnnounced, CapabilityRevoked)


class PolicyLog:
    """Reads and changes the policies of a log.

    Args:
        connection: Which log.
        sender: Writes to it.
        user: Who changes them, where nobody else is named.
    """

    def __init__(self, connection: Connection, sender: Sender, user: str) -> None:
        self._connection, self._sender, self._user = connection, sender, user

    def now(self) -> Security:
        """Policies, keys and revocations as the log has them now."""
        reader, security = self._connection.reader(), NO_SECURITY
        heartbeat = self._sender.codec.header(ArmHeartbeat)  # nearly all of the topic
        ends = reader.ends([ARMS])
        for batch in reader.read(dict.fromkeys(ends, 0), until=ends):
            for record in batch:
                if record.value is None or record.value.startswith(heartbeat):
                    continue
                try:
                    event = self._sender.codec.decode(record.value)
                except UndecodableRecord:
                    continue
                if isinstance(event, _EVENTS):
                    security = evolve_security(security, event)
        return security

    def find(self, name: str) -> SecurityPolicy:
        """One policy in force.

        Raises:
            NotFound: There is none of this name.
        """
        policies = self.now().policies
        if name not in policies:
            raise NotFound(
                f"no security policy {name[:80]!r} is in force; there are {', '.join(sorted(policies))}"
            )
        return policies[name]

    def put(
        self, policy: SecurityPolicy | Mapping[str, object] | bytes | str, *, put_by: str | None = None
    ) -> Sent:
        """Put a policy in force, in place of the one of its name.

        Raises:
            InvalidContract: It breaks a bound.
        """
        made = policy if isinstance(policy, SecurityPolicy) else parse_policy(policy)
        check_policy(made)
        return self._say(SecurityPolicyPut(made, put_by or self._user), made.name)

    def withdraw(self, name: str, *, reason: str = "", withdrawn_by: str | None = None) -> Sent:
        """Put a policy out of force: contracts that name it are refused from now on, open trees of it wait.

        Raises:
            NotFound: There is none of this name.
        """
        self.find(name)
        check_words("reason", reason, MAX_REASON_CHARS)
        return self._say(SecurityPolicyWithdrawn(name, reason, withdrawn_by or self._user), name)

    def revoke(
        self,
        scope: RevocationScope | str,
        subject: str,
        *,
        reason: str = "",
        revoked_by: str | None = None,
    ) -> Sent:
        """Make capability tokens void: of one attempt, of a tree, or all that a key signed.

        Args:
            scope: `attempt`, `tree` or `key`.
            subject: The attempt's id, the root task's, or the key's.
            reason: Why.
            revoked_by: Who says so; None: this user.

        Raises:
            InvalidContract: There is no such scope, or no subject.
        """
        check_words("reason", reason, MAX_REASON_CHARS)
        said = CapabilityRevoked(_scope(scope), subject, reason, revoked_by or self._user)
        if not 0 < len(subject) <= MAX_SUBJECT_CHARS:
            raise InvalidContract("VALIDATION", "subject", f"has 1 to {MAX_SUBJECT_CHARS} characters")
        return self._say(said, subject)

    def _say(self, event: object, key: str) -> Sent:
        return self._sender.send([Letter(ARMS, TaskId(key), event)])[0]


def _scope(given: RevocationScope | str) -> RevocationScope:
    try:
        scope = RevocationScope(str(given).upper())
    except ValueError:
        scope = RevocationScope.UNKNOWN
    if scope is RevocationScope.UNKNOWN:
        raise InvalidContract("VALIDATION", "scope", "is one of attempt, tree, key")
    return scope
