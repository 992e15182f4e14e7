"""Hashes, chains and positions of a partition's facts, from their bytes alone: nothing is decoded or decided.

What this finds: a fact that was edited, torn, lost, doubled, moved or put in from another log; and, where
checkpoints are at hand, a partition that was rewritten or cut off after they were signed. What it cannot find is
a log that was rewritten with all its hashes and that no checkpoint covers: deciding again does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

import numpy as np

from octolog.domain.audit import Checkpoint
from octolog.domain.chain import GENESIS, HASH_BYTES
from octolog.domain.errors import UndecodableRecord
from octolog.domain.proof.merkle import Peaks
from octolog.ports import LogRecord
from schemas.blocks import WIRE_HEADER_BYTES
from schemas.fact_bytes import FactSchemas, Flags, Links, read_links, roots_equal
from streams.replay.report import Difference
from streams.topics import TASKS

_NONE: Final = (-1, GENESIS)
_SHORTEST: Final = WIRE_HEADER_BYTES + HASH_BYTES
_AT_ONCE: Final = 2_000
"""Facts checked together: enough to pay for numpy's calls, few enough to stay in the cache."""


@dataclass(slots=True)
class HashReport:
    """What the hashes of one partition say.

    Attributes:
        partition: Which.
        facts: Facts whose hash, link and position are right.
        trees: Trees they are about.
        checkpoints: Checkpoints whose root was found again.
        covered: Facts below the largest of them.
        right_before: Facts before this offset were looked at, and are right.
        difference: The first fault; ends the work on the partition.
    """

    partition: int
    facts: int = 0
    trees: int = 0
    checkpoints: int = 0
    covered: int = 0
    right_before: int = 0
    difference: Difference | None = None


@dataclass(slots=True)
class HashCheck:
    """One partition, batch by batch, in offset order.

    Memory grows with the number of trees: about 250 bytes for each.

    Args:
        partition: Which.
        schemas: Names of facts by wire header.
        checkpoints: What notaries signed about the partition; their signatures were checked.
        peaks: The Merkle tree of the facts before, to go on from; None: from the first fact. Who goes on
            does not know where trees stand, so their chains are not checked, and memory does not grow.
    """

    partition: int
    schemas: FactSchemas
    checkpoints: Sequence[Checkpoint] = ()
    peaks: Peaks | None = None
    report: HashReport = field(init=False)
    _heads: dict[bytes, tuple[int, bytes]] = field(default_factory=dict[bytes, tuple[int, bytes]])
    _peaks: Peaks = field(init=False)
    _due: list[Checkpoint] = field(init=False)
    _last: dict[bytes, int] = field(default_factory=dict[bytes, int])

    def __post_init__(self) -> None:
        self._peaks = self.peaks or Peaks()
        self.report = HashReport(self.partition, facts=self._peaks.size)
        self._due = sorted(self.checkpoints, key=lambda c: c.size, reverse=True)

    def add(self, records: Sequence[LogRecord]) -> bool:
        """Check the next records; False once a fault is found."""
        for start in range(0, len(records), _AT_ONCE):
            if self.report.difference is None:
                self._add(records[start : start + _AT_ONCE])
        return self.report.difference is None

    def _add(self, records: Sequence[LogRecord]) -> None:
        values = [record.value or b"" for record in records]
        keys = [record.key or b"" for record in records]
        digests, unread = self._digests(values)
        values, keys = values[: len(digests)], keys[: len(digests)]
        wrong = len(values)
        if values:
            links = read_links(values)
            computed = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, HASH_BYTES)
            bad = ~links.whole | _differ(links.hash, computed)
            bad |= links.position != self.report.facts + np.arange(len(values))
            bad |= ~roots_equal(links, keys)
            if self.peaks is None:
                bad |= self._broken(links, keys, digests)
            wrong = int(np.argmax(bad)) if bad.any() else len(values)
            self._accept(links, keys[:wrong], digests[:wrong], records)
            if wrong < len(values) and self.report.difference is None:
                self.report.difference = self._fault(links, records[wrong], wrong, digests[wrong])
        if unread is not None and wrong == len(values) and self.report.difference is None:
            record = records[wrong]
            self.report.difference = self._difference(record, None, "undecodable", unread)

    def break_off(self, offset: int, why: str) -> None:
        """What lies at `offset` cannot be read as records at all."""
        if self.report.difference is None:
            self.report.difference = Difference(TASKS, self.partition, offset, None, None, "damaged", why)

    def finish(self, end: int) -> HashReport:
        """After the last record before offset `end`: facts that a checkpoint saw must have come."""
        if self.report.difference is None:
            for seen in self._due:
                if seen.end_offset <= end:
                    count = seen.size - self.report.facts
                    message = f"the last {count} facts that a checkpoint of {seen.size} covers are missing"
                    self.report.difference = Difference(
                        TASKS, self.partition, seen.end_offset, None, None, "missing", message
                    )
                    break
        fault = self.report.difference
        self.report.right_before = end if fault is None else min(end, fault.offset)
        return self.report

    def _digests(self, values: list[bytes]) -> tuple[list[bytes], str | None]:
        """Hashes of what the values say, up to the first that is no fact, and why it is none."""
        headers = [value[:WIRE_HEADER_BYTES] for value in values]
        known: dict[bytes, bytes] = {}
        unknown: dict[bytes, str] = {}
        for header in set(headers):
            try:
                known[header] = self.schemas.hashed_name(header)
            except UndecodableRecord as error:
                unknown[header] = str(error)
        why: str | None = None
        if unknown or min(map(len, values)) < _SHORTEST:
            for index, value in enumerate(values):
                why = unknown.get(headers[index])
                if why is None and len(value) < _SHORTEST:
                    why = f"{len(value)} bytes are too few for a fact"
                if why is not None:
                    values = values[:index]
                    break
        pairs = zip(headers, values, strict=False)
        return [sha256(known[header] + value[5:-32]).digest() for header, value in pairs], why

    def _broken(self, links: Links, keys: list[bytes], digests: list[bytes]) -> Flags:
        """Where a fact does not follow the one before it in its tree."""
        last: dict[bytes, int] = {}
        before = np.empty(len(keys), np.int64)
        for index, key in enumerate(keys):
            before[index] = last.get(key, -1)
            last[key] = index
        self._last = last
        firsts = np.flatnonzero(before < 0)
        heads = [self._heads.get(keys[index], _NONE) for index in firsts]
        seq = links.seq[before] + 1
        seq[firsts] = [head[0] + 1 for head in heads]
        prev = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, HASH_BYTES)[before]
        prev[firsts] = np.frombuffer(b"".join([head[1] for head in heads]), np.uint8).reshape(-1, HASH_BYTES)
        broken: Flags = (links.seq != seq) | _differ(links.prev, prev)
        return broken

    def _accept(
        self, links: Links, keys: list[bytes], digests: list[bytes], records: Sequence[LogRecord]
    ) -> None:
        if self.peaks is not None:
            self._peaks.add(digests)
            self.report.facts += len(digests)
            return
        last = self._last if len(keys) == len(links.seq) else {key: row for row, key in enumerate(keys)}
        seqs = links.seq.tolist()
        for key, row in last.items():
            self._heads[key] = seqs[row], digests[row]
        done = 0
        while self._due and self._due[-1].size <= self.report.facts + len(digests):
            seen = self._due.pop()
            until = seen.size - self.report.facts
            self._peaks.add(digests[done:until])
            done = until
            if self._peaks.root() != seen.root:
                message = (
                    f"the first {seen.size} facts have another root than the checkpoint that {seen.key_id[:16]} "
                    "signed: some were rewritten"
                )
                self.report.difference = self._difference(
                    records[max(0, until - 1)], None, "checkpoint", message
                )
                self.report.facts += until
                self._count_trees()
                return
            self.report.checkpoints += 1
            self.report.covered = seen.size
        if self._due:
            self._peaks.add(digests[done:])
        self.report.facts += len(digests)
        self._count_trees()

    def _count_trees(self) -> None:
        self.report.trees = len(self._heads)

    def _fault(self, links: Links, record: LogRecord, row: int, computed: bytes) -> Difference:
        """Why the first wrong fact is wrong."""
        if not links.whole[row]:
            return self._difference(record, None, "undecodable", "its link does not end before its hash")
        seq, position, expected = int(links.seq[row]), int(links.position[row]), self.report.facts
        written = links.hash[row].tobytes()
        if written != computed:
            said, found = written.hex()[:16], computed.hex()[:16]
            message = f"the fact says its hash is {said}..., its bytes give {found}..."
            return self._difference(record, seq, "edited", message)
        if position > expected:
            lost = f"facts {expected} to {position - 1} of the partition ({position - expected})"
            message = f"{lost} are missing before this one"
            return self._difference(record, seq, "missing", message)
        if position < expected:
            message = f"fact {position} of the partition stands here again; fact {expected} must come here"
            return self._difference(record, seq, "repeated", message)
        start = int(links.root_start[row])
        root = links.data[start : start + int(links.root_bytes[row])].tobytes()
        if root != record.key:
            return self._difference(
                record, seq, "edited", f"the key is not {root.decode(errors='replace')!r}"
            )
        head_seq, head = self._heads.get(root, _NONE)
        if seq != head_seq + 1:
            message = f"fact {seq} of the tree stands where its fact {head_seq + 1} must"
        else:
            named = links.prev[row].tobytes().hex()[:16]
            message = f"it follows a fact {named}..., the tree's last is {head.hex()[:16]}..."
        return self._difference(record, seq, "chain", message)

    def _difference(self, record: LogRecord, seq: int | None, kind: str, message: str) -> Difference:
        tree = None if record.key is None else record.key.decode(errors="replace")
        return Difference(TASKS, self.partition, record.offset, tree, seq, kind, message)


def _differ(ours: np.typing.NDArray[np.uint8], theirs: np.typing.NDArray[np.uint8]) -> Flags:
    """Rows of 32 bytes that are not equal."""
    words, others = ours.view(np.uint64), np.ascontiguousarray(theirs).view(np.uint64)
    unequal = words != others
    differ: Flags = unequal[:, 0] | unequal[:, 1] | unequal[:, 2] | unequal[:, 3]
    return differ
