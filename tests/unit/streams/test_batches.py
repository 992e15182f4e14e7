"""Batches that a Java client compressed with snappy: blocks in a frame of its own."""

from __future__ import annotations

import struct

import cramjam
import pytest

from streams.kafka.batches import Batch, Damage

_HEAD = b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1)
_BODY = bytes(range(256)) * 300


def _batch(body: bytes) -> Batch:
    return Batch(0, 0, 0, 2, 0, 0, -1, 1, memoryview(body))


def _framed(block_bytes: int) -> bytes:
    found = bytearray(_HEAD)
    for start in range(0, len(_BODY), block_bytes):
        block = bytes(cramjam.snappy.compress_raw(_BODY[start : start + block_bytes]))
        found += struct.pack(">i", len(block)) + block
    return bytes(found)


@pytest.mark.parametrize("block_bytes", [len(_BODY), 32_768, 1_000])
def test_blocks_in_the_java_clients_frame_are_put_together(block_bytes: int) -> None:
    assert _batch(_framed(block_bytes)).opened() == _BODY


def test_a_bare_block_is_opened() -> None:
    assert _batch(bytes(cramjam.snappy.compress_raw(_BODY))).opened() == _BODY


def test_what_is_cut_off_or_no_snappy_is_damage() -> None:
    framed = _framed(1_000)
    for body in (framed[:-1], framed[: len(_HEAD) + 2], b"never", _HEAD + b"\xff" * 40):
        with pytest.raises(Damage, match="decompressed"):
            _batch(body).opened()
