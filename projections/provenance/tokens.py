"""Custody of capability tokens: what was permitted, what the arm's host made of it, and who took it back.

Tokens are signed beside the facts, and the log holds no token. A result tells the digest of the one it was made on; an
attempt that ended without a result tells of none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from projections.analytics.tree import Row, Tree
from projections.duck import Snapshot
from projections.provenance.fold import Action, Entry
from projections.provenance.links import PROCESSOR, entry_of, fact_row

__all__ = ["is_of_token", "token_entries"]

_REVOKED: Final = "CAPABILITY_REVOKED"
_REVOCATIONS: Final = """
SELECT revoked_by, reason, lower(scope) AS scope, concat_ws('/', log_topic, log_partition, log_offset) AS log
FROM capability_revoked
WHERE (scope = 'ATTEMPT' AND subject = $attempt) OR (scope = 'TREE' AND subject = $root)
   OR (scope = 'KEY' AND subject = $key)
ORDER BY log_partition, log_offset LIMIT 1
"""


def is_of_token(ended: Row) -> bool:
    """Whether an attempt's end tells of a capability token."""
    return ended["provenance_capability_policy"] is not None


def token_entries(now: Snapshot, tree: Tree) -> Iterator[Entry]:
    """What became of the token of every attempt whose result tells of one."""
    assigned = {fact["attempt_id"]: fact for fact in tree.of("attempt_assigned")}
    for ended in tree.of("attempt_ended"):
        if not is_of_token(ended):
            continue
        digest = ended["provenance_capability_token_sha256"] or None
        accepted = ended["provenance_capability_accepted"]
        given = assigned.get(ended["attempt_id"])
        if given is not None and digest is not None and accepted:
            row = fact_row(given, PROCESSOR, _permission(ended))
            yield replace(entry_of(row, Action.PERMITTED, "AttemptAssigned"), token_hash=digest)
        row = fact_row(ended, ended["arm_id"], f"checked {_time(ended['provenance_capability_checked'])}")
        if accepted:
            yield replace(entry_of(row, Action.ADMITTED, "AttemptEnded"), token_hash=digest)
        else:
            row["detail"] += f": {ended['error_code']}: {ended['error']}"
            yield replace(entry_of(row, Action.REFUSED, "AttemptEnded"), token_hash=digest)
        if ended["error_code"] == _REVOKED:
            yield replace(_revocation(now, tree, ended), token_hash=digest)


def _permission(ended: Row) -> str:
    policy, version = ended["provenance_capability_policy"], ended["provenance_capability_policy_version"]
    key = ended["provenance_capability_key_id"][:12]
    expires = _time(ended["provenance_capability_expires"])
    return (
        f"{ended['arm_id']} for this attempt: policy {policy} version {version}, key {key}, expires {expires}"
    )


def _revocation(now: Snapshot, tree: Tree, ended: Row) -> Entry:
    asked = {
        "attempt": ended["attempt_id"],
        "root": tree.root,
        "key": ended["provenance_capability_key_id"],
    }
    found = now.rows(_REVOCATIONS, asked)
    actor, detail = PROCESSOR, "before this store was made"
    if found:
        by = found[0]
        actor, detail = by["revoked_by"], f"{by['scope']}: {by['reason']} ({by['log']})"
    return entry_of(fact_row(ended, actor, detail), Action.REVOKED, "AttemptEnded")


def _time(at: Any) -> str:
    """A time in UTC to the second; DuckDB gives what has a logical type as datetime."""
    moment = at if isinstance(at, datetime) else datetime.fromtimestamp((at or 0) / 1_000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
