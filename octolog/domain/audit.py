"""Records of `octolog.checkpoints`: what a notary signs, and the keys it signs with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A notary saw these facts: the root of the Merkle tree over a partition's facts, signed.

    Attributes:
        topic: The facts' topic.
        partition: The facts' partition.
        size: Facts covered: those with a position below it.
        end_offset: Offset after the last of them.
        root: Root of the Merkle tree over their hashes, RFC 6962.
        peaks: Roots of the tree's perfect subtrees, largest first, 32 bytes each: enough to go on from here.
        at_ms: When it was signed, by the notary's clock, milliseconds since the epoch.
        key_id: SHA-256 of the public key, lowercase hex.
        signature: Ed25519 over the checkpoint's note (`octolog.domain.proof.notes`).
    """

    schema_name: ClassVar[str] = "octolog.audit.Checkpoint"
    topic: str
    partition: int
    size: int
    end_offset: int
    root: bytes
    peaks: bytes
    at_ms: int
    key_id: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class NotaryKeyAnnounced:
    """A notary signs with this key from now on.

    Attributes:
        key_id: SHA-256 of the public key, lowercase hex.
        public_key: Ed25519, 32 bytes.
        at_ms: When, by the notary's clock, milliseconds since the epoch.
        previous_key_id: The key before, which signed this; None for a notary's first key, which signed itself.
        signature: Ed25519 over the key's note, by the key before.
    """

    schema_name: ClassVar[str] = "octolog.audit.NotaryKeyAnnounced"
    key_id: str
    public_key: bytes
    at_ms: int
    previous_key_id: str | None
    signature: bytes


AuditEvent: TypeAlias = Checkpoint | NotaryKeyAnnounced
