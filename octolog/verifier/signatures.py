"""Keys, checkpoints and proofs of a bundle."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any, NamedTuple

from octolog.domain.proof import ed25519
from octolog.domain.proof.avro import Cursor, Malformed
from octolog.domain.proof.merkle import root_from_inclusion
from octolog.domain.proof.notes import checkpoint_note, key_id, key_note, manifest_note
from octolog.verifier.archive import MANIFEST, SEAL, Archive
from octolog.verifier.records import Found, Schemas, read_records
from octolog.verifier.report import Fault, Report

CHECKPOINTS = "octolog.checkpoints"
PROOFS = "proofs.json"


class Signed(NamedTuple):
    """A checkpoint whose signature is right.

    Attributes:
        size: Facts covered.
        root: Root of the Merkle tree over their hashes.
        key_id: Who signed.
        at_ms: When, milliseconds since the epoch.
    """

    size: int
    root: bytes
    key_id: str
    at_ms: int


class Signatures:
    """Everything that was signed.

    Args:
        archive: The bundle.
        schemas: Its schemas.
        report: Takes what is wrong.
        trusted: The key ids that may sign, or sign for a new key; None: whoever announced itself.

    Attributes:
        checkpoints: By partition of the facts, by size.
    """

    def __init__(
        self, archive: Archive, schemas: Schemas, report: Report, trusted: frozenset[str] | None
    ) -> None:
        self._archive, self._schemas, self._report, self._trusted = archive, schemas, report, trusted
        self._keys: dict[str, bytes] = {}
        self.checkpoints: defaultdict[int, list[Signed]] = defaultdict(list)

    def read(self) -> None:
        """Read keys and checkpoints, and check who signed the manifest."""
        for found in read_records(self._archive, self._schemas, CHECKPOINTS, 0, self._report):
            try:
                fault = self._record(found)
            except Malformed as error:
                fault = str(error)
            if fault:
                self._report.add(found.fault(fault))
        for signed in self.checkpoints.values():
            signed.sort()
        self._report.keys = list(self._keys)
        self._seal()

    def proofs(self) -> dict[tuple[int, int], tuple[Signed, int, list[bytes]]]:
        """By partition and number in the tree: the checkpoint that covers a fact, its position, its proof."""
        if PROOFS not in self._archive:
            return {}
        found: dict[tuple[int, int], tuple[Signed, int, list[bytes]]] = {}
        try:
            for said in json.loads(self._archive.read(PROOFS)):
                partition, size = said["partition"], said["size"]
                signed = next((s for s in self.checkpoints[partition] if s.size == size), None)
                if signed is None:
                    self._report.add(
                        Fault(PROOFS, f"no signed checkpoint of {size} facts of partition {partition}")
                    )
                    continue
                for proof in said["proofs"]:
                    path = [bytes.fromhex(part) for part in proof["path"]]
                    found[partition, proof["seq"]] = signed, proof["position"], path
        except (ValueError, KeyError, TypeError) as error:
            self._report.add(Fault(PROOFS, f"cannot be read: {error}"))
        return found

    def _record(self, found: Found) -> str:
        name = self._schemas.name(found.entry.schema_id)
        if found.value is None:
            return "no value"
        cursor = Cursor(found.value, 5)
        if name == "octolog.audit.NotaryKeyAnnounced":
            return self._key(cursor)
        if name == "octolog.audit.Checkpoint":
            return self._checkpoint(cursor)
        return f"a {name} is no checkpoint and no key"

    def _key(self, cursor: Cursor) -> str:
        name, public, at_ms = cursor.text(), cursor.sized(), cursor.long()
        before = cursor.text() if cursor.branch() else None
        signature = cursor.sized()
        if name != key_id(public):
            return f"the key is not {name[:16]}..."
        known = self._trusted is None or name in self._trusted
        signer = self._keys.get(before) if before is not None else public if known else None
        if signer is None:
            return f"key {name[:16]}... is announced by nobody who is trusted"
        if not is_signed(signer, key_note(public, before, at_ms), signature):
            return f"the announcement of key {name[:16]}... is not signed by {(before or name)[:16]}..."
        self._keys.setdefault(name, public)
        return ""

    def _checkpoint(self, cursor: Cursor) -> str:
        topic, partition = cursor.text(), cursor.long()
        size, end_offset, root = cursor.long(), cursor.long(), cursor.take(32)
        cursor.sized()
        at_ms, name, signature = cursor.long(), cursor.text(), cursor.sized()
        public = self._keys.get(name)
        if public is None:
            return f"key {name[:16]}... was not announced"
        if not is_signed(public, checkpoint_note(topic, partition, size, end_offset, root, at_ms), signature):
            return f"key {name[:16]}... did not sign this checkpoint"
        self.checkpoints[partition].append(Signed(size, root, name, at_ms))
        return ""

    def _seal(self) -> None:
        if SEAL not in self._archive:
            said_by = (self._archive.manifest or {}).get("sealed_by")
            if said_by is not None:
                self._report.add(Fault(SEAL, f"is missing; the manifest says that key {said_by} signed it"))
            elif self._trusted is not None:
                self._report.add(Fault(MANIFEST, "nobody signed it"))
            return
        try:
            said: dict[str, Any] = json.loads(self._archive.read(SEAL))
            name, public = str(said["key_id"]), bytes.fromhex(said["public_key"])
            signature = bytes.fromhex(said["signature"])
        except (ValueError, KeyError, TypeError) as error:
            self._report.add(Fault(SEAL, f"cannot be read: {error}"))
            return
        if set(said) != {"key_id", "public_key", "signature"} or canonical(said) != self._archive.read(SEAL):
            self._report.add(Fault(SEAL, "is not written as it must be"))
        elif name != key_id(public):
            self._report.add(Fault(SEAL, f"the key is not {name[:16]}..."))
        elif self._trusted is not None and name not in self._trusted and name not in self._keys:
            self._report.add(Fault(SEAL, f"key {name[:16]}... is not trusted"))
        elif not is_signed(public, manifest_note(self._archive.read(MANIFEST)), signature):
            self._report.add(
                Fault(SEAL, f"key {name[:16]}... did not sign this {MANIFEST}: one of the two was edited")
            )
        else:
            self._report.sealed_by = name


def proves(signed: Signed, position: int, fact_hash: bytes, path: list[bytes]) -> bool:
    """Whether a fact is proved to be under a checkpoint."""
    return root_from_inclusion(fact_hash, position, signed.size, path) == signed.root


def canonical(document: object) -> bytes:
    """JSON as bundles have it."""
    return (json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


def is_signed(public_key: bytes, note: bytes, signature: bytes) -> bool:
    """Whether a note was signed: by a library where there is one, else by slow means of our own."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        return ed25519.is_signed(public_key, note, signature)
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, note)
    except (InvalidSignature, ValueError):
        return False
    return True
