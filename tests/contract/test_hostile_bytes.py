"""Bytes that somebody made on purpose are refused by the generated code at once, without much memory."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any, Final

import pytest

from octolog.domain.errors import UndecodableRecord
from octolog.domain.memory import EpisodicMemory
from octolog.domain.tasksystem import ASTNode, ValidationResult
from octolog.domain.values import BlobRef
from schemas import catalog
from schemas.codec import Codec
from schemas.compiled import wire
from tests.contract.reference_codec import HEAD, OneSchema, varint

# Seconds of one thread. Most decode in microseconds, the slowest in one second: this tells a hang, no slow machine.
PROMPT_S: Final = 30.0
PROMPT_BYTES: Final = 4_000_000


NODE: Final = b"\0\0\0"
HOSTILE: Final[dict[str, tuple[type[Any], bytes]]] = {
    "an endless number": (BlobRef, b"\0" + b"\xff" * 1_000_000),
    "a number of 65 bits": (BlobRef, b"\0" + b"\xff" * 9 + b"\2" + b"\0"),
    "a length below zero": (BlobRef, varint(-5) + b"\0" * 20),
    "the least length there is": (BlobRef, varint(-(1 << 63)) + b"\0" * 20),
    "a length beyond the end": (BlobRef, varint(1 << 40) + b"\0" * 20),
    "a short length beyond the end": (BlobRef, b"\0\0" + varint(60) + b"abc"),
    "no UTF-8": (BlobRef, b"\2\xff\0\0"),
    "a surrogate": (BlobRef, b"\6\xed\xa0\x80\0\0"),
    "more items than bytes": (EpisodicMemory, b"\0\0\0" + varint(1 << 62) + b"\0" * 50),
    "more items than bytes, in a sized block": (
        EpisodicMemory,
        b"\0\0\0" + varint(-(1 << 62)) + b"\2" + b"\0" * 50,
    ),
    "the least count there is": (EpisodicMemory, b"\0\0\0" + varint(-(1 << 63)) + b"\2" + b"\0" * 50),
    "a block that ends elsewhere": (
        EpisodicMemory,
        b"\0\0\0" + varint(-1) + varint(5) + b"\2a\0" + b"\0\0\2",
    ),
    "a block that ends before its start": (
        EpisodicMemory,
        b"\0\0\0" + varint(-1) + varint(-5) + b"\2a\0\0\0\2",
    ),
    "many blocks and no end": (EpisodicMemory, b"\0\0\0" + b"\2\0" * 200_000),
    "an unknown symbol": (ASTNode, b"\0\0\x7e\0\0"),
    "a symbol below zero": (ASTNode, b"\0\0\1\0\0"),
    "a tree as deep as its bytes": (ASTNode, (NODE + b"\2") * 100_000),
    "as many trees as bytes": (ASTNode, NODE + varint(400_000) + b"\0" * 400_010),
    "a third branch": (ValidationResult, b"\1\0\0\4\0"),
    "a branch below zero": (ValidationResult, b"\1\0\0\1\0"),
    "a boolean of two": (ValidationResult, b"\2\0\0\0"),
    "nothing": (ValidationResult, b""),
    "a double cut off": (catalog.RECORDS["octolog.task.Candidate"], b"\0\0\0\0"),
    "an int of 33 bits": (catalog.RECORDS["octolog.task.Candidate"], b"\0" + b"\0" * 8 + varint(1 << 31)),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_bytes_are_refused_at_once_and_without_much_memory(case: str) -> None:
    cls, avro = HOSTILE[case]
    codec = Codec(OneSchema(cls.schema_name))
    with pytest.raises(UndecodableRecord):
        codec.decode(HEAD + b"\xff")  # makes the code
    value = HEAD + avro
    started_s = time.thread_time()
    with pytest.raises(UndecodableRecord):
        codec.decode(value)
    assert time.thread_time() - started_s < PROMPT_S
    tracemalloc.start()
    try:
        with pytest.raises(UndecodableRecord):
            codec.decode(value)
        assert tracemalloc.get_traced_memory()[1] < PROMPT_BYTES + 10 * len(value)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("length", [-1, -5, -(1 << 63)])
def test_a_length_below_zero_never_moves_the_place_back(length: int) -> None:
    with pytest.raises(UndecodableRecord, match=f"a length of {length} at byte"):
        wire.text(b"\0" * 4 + varint(length) + b"\0" * 8, 4)
