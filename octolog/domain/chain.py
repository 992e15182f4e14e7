"""The hash chain of a tree, and a fact's link in it.

A fact's hash is SHA-256 over its record name, a zero byte, and its Avro encoding without the trailing hash;
the encoding contains the hash of the fact before. So a fact that was lost, torn, doubled, edited or moved is
found, and found at its place. The schema id in front of the encoding is left out: ids differ by registry.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar, Final

from octolog.domain.ids import TaskId
from octolog.domain.quick import quick

HASH_BYTES: Final = 32
RULES: Final = 1
"""Version of the deciders. Raise it with a change that decides an old input otherwise, and keep the old rules."""

GENESIS: Final = bytes(HASH_BYTES)
"""The `prev_hash` of a tree's first fact."""


@quick
@dataclass(frozen=True, slots=True)
class Link:
    """A fact's place in its tree's chain, and what caused it.

    Attributes:
        root_task_id: The tree.
        seq: The fact's number in its tree, from 0, gapless.
        position: The fact's number in its partition, from 0, gapless.
        cause_topic: Topic of the input that led to it.
        cause_offset: Offset of that input; its partition is the fact's own.
        registry_offset: Registry facts before this offset of `octolog.arms` were known.
        rules: Version of the rules that decided; a later octolog decides again by the same.
        window: Attempts one arm may hold from the partition, as the engine was set.
        lease_ms: How long an arm may stay silent, as the engine was set, milliseconds.
        prev_hash: Hash of the tree's fact before; 32 zero bytes for the first.
    """

    schema_name: ClassVar[str] = "octolog.task.Link"
    root_task_id: TaskId
    seq: int
    position: int
    cause_topic: str
    cause_offset: int
    registry_offset: int
    rules: int
    window: int
    lease_ms: int
    prev_hash: bytes


def fact_hash(record_name: bytes, body: bytes | memoryview) -> bytes:
    """SHA-256 of a fact: its record name, a zero byte, its encoding without the trailing hash."""
    digest = sha256(record_name)
    digest.update(b"\0")
    digest.update(body)
    return digest.digest()
