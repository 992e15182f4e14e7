"""Open trees as bytes and back: the state inside a `TreeSnapshot`.

What a tree changes, and the programs it evaluates, are records of their own: a program never changes, so it is
written once. A large value is compressed, and one that is still too large for a record is divided.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from octolog.domain.evaluator.program import Loaded
from octolog.domain.ids import TaskId
from octolog.domain.operators import Operator
from octolog.domain.shard import OpenTree
from octolog.domain.task.state import STATE_VERSION, Tree
from octolog.domain.upkeep import TreeSnapshot

_COMPRESSED_FROM_BYTES: Final = 16 * 1024
_PART_BYTES: Final = 4 * 1024 * 1024
"""Well below the topic's largest record (`deploy/topics.yaml`)."""

_FAST: Final = 1
_PLAIN, _DEFLATED = b"\0", b"\1"


@dataclass(slots=True)
class _State:
    """What a snapshot holds beside seq and head."""

    tree: Tree
    ready: dict[TaskId, tuple[int, int]]


@dataclass(slots=True)
class _Program:
    """What a snapshot holds of a program."""

    operators: tuple[Operator, ...]
    context_json: str


def _hide(value: Any) -> Any:
    """A program lies in a record of its own; the tree's has its place alone."""
    if isinstance(value, Loaded):
        return None
    raise NotImplementedError(f"a {type(value).__name__} is no part of a snapshot")


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_hide)
_DECODER = msgspec.msgpack.Decoder(_State, dec_hook=lambda _, __: Loaded((), "{}"))
_PROGRAM_DECODER = msgspec.msgpack.Decoder(_Program)


@dataclass(slots=True)
class Parts:
    """The records of one tree, by key; those of an older value may lie between them.

    Attributes:
        records: By key: the tree's, its programs', and their further parts.
    """

    records: dict[bytes, TreeSnapshot] = field(default_factory=dict[bytes, TreeSnapshot])


def snapshot(entry: OpenTree) -> list[TreeSnapshot]:
    """The tree as records. Parked tasks are ready tasks; where they wait is found again."""
    return list(_parts(entry, "", _ENCODER.encode(_State(entry.tree, entry.ready))))


def program_snapshot(entry: OpenTree, program_id: TaskId) -> list[TreeSnapshot]:
    """One of its programs as records; the same ones whenever they are made."""
    loaded = entry.tree.programs[program_id]
    value = _ENCODER.encode(_Program(loaded.operators, loaded.context_json))
    return list(_parts(entry, program_id, value))


def snapshot_key(record: TreeSnapshot) -> bytes:
    """The key of a record; no task id has a `#`."""
    suffix = f"#{record.program_id}" if record.program_id else ""
    return (f"{record.root_task_id}{suffix}" + (f"#{record.part}" if record.part else "")).encode()


def program_key(root_id: TaskId, program_id: TaskId) -> bytes:
    """The key of a program's first record."""
    return f"{root_id}#{program_id}".encode()


def root_of(key: bytes) -> TaskId:
    """The tree that a key is about."""
    return TaskId(key.split(b"#", 1)[0].decode())


def opened(parts: Parts) -> OpenTree | None:
    """The tree of its records; None when another version of octolog wrote them, or some are missing."""
    root = next((record.root_task_id for record in parts.records.values()), TaskId(""))
    first = parts.records.get(root.encode())
    value = None if first is None else _joined(parts, first)
    if first is None or value is None:
        return None
    state = _DECODER.decode(value)
    for program_id in state.tree.programs:
        program = _program(parts, root, program_id)
        if program is None:
            return None
        state.tree.programs[program_id] = program
    return OpenTree(state.tree, first.seq, first.head, state.ready)


def _program(parts: Parts, root: TaskId, program_id: TaskId) -> Loaded | None:
    first = parts.records.get(program_key(root, program_id))
    value = None if first is None else _joined(parts, first)
    if value is None:
        return None
    program = _PROGRAM_DECODER.decode(value)
    return Loaded(program.operators, program.context_json)


def _parts(entry: OpenTree, program_id: str, value: bytes) -> Iterator[TreeSnapshot]:
    large = len(value) > _COMPRESSED_FROM_BYTES
    value = _DEFLATED + zlib.compress(value, _FAST) if large else _PLAIN + value
    pieces = [value[start : start + _PART_BYTES] for start in range(0, len(value), _PART_BYTES)]
    for part, piece in enumerate(pieces):
        yield TreeSnapshot(
            entry.tree.root_id,
            entry.seq,
            STATE_VERSION,
            piece,
            entry.head,
            program_id=program_id,
            part=part,
            parts=len(pieces),
        )


def _joined(parts: Parts, first: TreeSnapshot) -> bytes | None:
    """The value that begins with a record; None when another version wrote it or a part is missing."""
    if first.state_version != STATE_VERSION:
        return None
    found = [first, *(_part(parts, first, number) for number in range(1, first.parts))]
    if any(record is None or record.seq != first.seq for record in found):
        return None
    value = b"".join(record.state for record in found if record is not None)
    return zlib.decompress(value[1:]) if value[:1] == _DEFLATED else value[1:]


def _part(parts: Parts, first: TreeSnapshot, number: int) -> TreeSnapshot | None:
    suffix = f"#{first.program_id}" if first.program_id else ""
    return parts.records.get(f"{first.root_task_id}{suffix}#{number}".encode())
