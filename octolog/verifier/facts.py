"""The facts of a bundle: hashes, chains, positions, causes, and what proves them."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from hashlib import sha256
from typing import Any, NamedTuple

from octolog.domain.proof.avro import Cursor, Malformed
from octolog.domain.proof.merkle import Peaks
from octolog.verifier.records import Found, Schemas
from octolog.verifier.report import Fault, Report
from octolog.verifier.signatures import Signatures, Signed, proves

TASKS = "octolog.tasks"
INPUTS = ("octolog.contracts", "octolog.results", "octolog.resources", "octolog.timers")
_GENESIS = bytes(32)
_HASH_BYTES = 32
_SKIPPED = 4  # registry_offset, rules, window, lease_ms


class Link(NamedTuple):
    """What of a fact's link is checked here; its fields as octolog's wire format has them."""

    root: str
    seq: int
    position: int
    cause_topic: str
    cause_offset: int
    prev: bytes


class Scope(NamedTuple):
    """What a bundle is about.

    Attributes:
        task: Facts of this tree alone; None: all.
        fact: This one alone; None: all of them.
        foreign: Causes that are about other trees, and left out: topic, partition, offset.
    """

    task: str | None
    fact: int | None
    foreign: frozenset[tuple[str, int, int]]

    @classmethod
    def of(cls, manifest: dict[str, Any]) -> Scope:
        """As the manifest says.

        Raises:
            TypeError: When it says nothing that can be used.
        """
        said = manifest.get("scope")
        if not isinstance(said, dict) or not isinstance(manifest.get("foreign_causes"), list):
            raise TypeError("it does not say what the bundle is about")
        foreign = frozenset((str(t), int(p), int(o)) for t, p, o in manifest["foreign_causes"])
        return cls(said.get("task"), said.get("fact"), foreign)


class FactCheck:
    """The facts of one partition.

    Args:
        partition: Which.
        scope: What the bundle is about.
        schemas: Its schemas.
        signatures: What was signed.
        inputs: Offsets of the inputs in the bundle, by topic, ascending.
        report: Takes what is wrong.
    """

    def __init__(
        self,
        partition: int,
        scope: Scope,
        schemas: Schemas,
        signatures: Signatures,
        inputs: dict[str, array[int]],
        report: Report,
    ) -> None:
        self._partition, self._scope, self._schemas = partition, scope, schemas
        self._inputs, self._report = inputs, report
        self._due: list[Signed] = list(reversed(signatures.checkpoints[partition]))
        self._proofs = signatures.proofs() if scope.task is not None else {}
        self._peaks = Peaks()
        self._heads: dict[str, tuple[int, bytes]] = {}
        self._next = self._covered = 0
        self._names: dict[int, bytes] = {}

    def add(self, found: Found) -> None:
        """Check the next fact."""
        try:
            link, digest = self._read(found)
        except Malformed as error:
            self._report.add(found.fault(str(error)))
            self._next += 1
            return
        faults = [*self._place(found, link), *self._cause(link)]
        for message in faults:
            self._report.add(found.fault(message, task=link.root, seq=link.seq))
        self._heads[link.root] = link.seq, digest
        self._next = link.position + 1
        if self._scope.task is None:
            self._count(found, link, digest)
        else:
            self._prove(found, link, digest)
        self._report.facts += not faults

    def finish(self) -> None:
        """After the last fact."""
        self._report.trees += len(self._heads)
        if self._scope.task is None:
            for signed in self._due:
                message = f"a checkpoint covers {signed.size} facts; {self._peaks.size} are in the bundle"
                self._report.add(Fault("", message, None, TASKS, self._partition))
            self._report.covered += self._covered

    def _read(self, found: Found) -> tuple[Link, bytes]:
        value = found.value
        if value is None or len(value) < 5 + _HASH_BYTES:
            raise Malformed("it is too short for a fact")
        name = self._hashed_name(found.entry.schema_id)
        cursor = Cursor(value, 5)
        link = Link(
            cursor.text(), cursor.long(), cursor.long(), cursor.text(), cursor.long(), self._rest(cursor)
        )
        if cursor.at > len(value) - _HASH_BYTES:
            raise Malformed("its link does not end before its hash")
        written = value[-_HASH_BYTES:]
        if not found.entry.redacted and sha256(name + value[5:-_HASH_BYTES]).digest() != written:
            message = f"the fact says its hash is {written.hex()[:16]}..., its bytes give another"
            self._report.add(found.fault(message, task=link.root, seq=link.seq))
        return link, written

    @staticmethod
    def _rest(cursor: Cursor) -> bytes:
        for _ in range(_SKIPPED):
            cursor.long()
        return cursor.take(_HASH_BYTES)

    def _hashed_name(self, schema_id: int) -> bytes:
        known = self._names.get(schema_id)
        if known is None:
            schema = json.loads(self._schemas.text(schema_id)) if self._schemas.name(schema_id) else {}
            names = [field["name"] for field in schema.get("fields", ())]
            if names[:1] != ["link"] or names[-1:] != ["hash"]:
                raise Malformed(f"a {self._schemas.name(schema_id) or 'value'} is no fact")
            known = self._names[schema_id] = self._schemas.name(schema_id).encode() + b"\0"
        return known

    def _place(self, found: Found, link: Link) -> list[str]:
        faults = []
        if (found.entry.key or b"") != link.root.encode():
            faults.append(f"its key is not {link.root!r}")
        if self._scope.task is not None and link.root != self._scope.task:
            faults.append(f"it is no fact of {self._scope.task}")
        if self._scope.fact is not None:
            if link.seq != self._scope.fact:
                faults.append(f"it is not fact {self._scope.fact}")
            return faults
        if self._scope.task is None and link.position != self._next:
            faults.append(f"it is fact {link.position} of the partition, where fact {self._next} must stand")
        elif link.position < self._next:
            faults.append(f"it is fact {link.position} of the partition, and stands behind {self._next - 1}")
        seq, head = self._heads.get(link.root, (-1, _GENESIS))
        if link.seq != seq + 1:
            faults.append(f"it is fact {link.seq} of its tree, where fact {seq + 1} must stand")
        elif link.prev != head:
            faults.append(
                f"the fact before it has the hash {link.prev.hex()[:16]}..., not {head.hex()[:16]}..."
            )
        return faults

    def _cause(self, link: Link) -> list[str]:
        place = link.cause_topic, self._partition, link.cause_offset
        if place in self._scope.foreign:
            return []
        offsets = self._inputs.get(link.cause_topic, array("q"))
        at = bisect_left(offsets, link.cause_offset)
        if at < len(offsets) and offsets[at] == link.cause_offset:
            return []
        return [f"its cause {link.cause_topic}/{self._partition}@{link.cause_offset} is not in the bundle"]

    def _count(self, found: Found, link: Link, digest: bytes) -> None:
        self._peaks.add([digest])
        while self._due and self._due[-1].size == self._peaks.size:
            signed = self._due.pop()
            if self._peaks.root() == signed.root:
                self._report.checkpoints += 1
                self._covered = signed.size
                continue
            message = f"the facts up to this one have another root than the checkpoint of {signed.size} signs"
            self._report.add(found.fault(message, task=link.root, seq=link.seq))

    def _prove(self, found: Found, link: Link, digest: bytes) -> None:
        known = self._proofs.get((self._partition, link.seq))
        if known is None:
            return
        signed, position, path = known
        if position == link.position and proves(signed, position, digest, path):
            self._report.covered += 1
            return
        message = f"its proof does not lead to the checkpoint of {signed.size} facts"
        self._report.add(found.fault(message, task=link.root, seq=link.seq))
