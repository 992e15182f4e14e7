"""Zip archives that can be written in one way only, so that every byte of one can be checked.

Parts are stored as they are, in the order given, at one fixed time; nothing stands between, before or behind
them. Who knows the names, sizes and CRC-32 sums of the parts can write every other byte again.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

LOCAL_SIGNATURE: Final = b"PK\x03\x04"
_LOCAL: Final = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL: Final = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END: Final = struct.Struct("<4sHHHHIIH")
_END_64: Final = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR_64: Final = struct.Struct("<4sIQI")
_UTF_8: Final = 0x800
_FIRST_DAY: Final = 0x21  # 1980-01-01
_VERSION, _VERSION_64 = 20, 45
_UNIX: Final = 3 << 8
_MODE: Final = 0o100644 << 16
_FULL_32: Final = 0xFFFFFFFF
_FULL_16: Final = 0xFFFF
LOCAL_BYTES: Final = _LOCAL.size


class Part(NamedTuple):
    """A part as the archive's directory has it.

    Attributes:
        name: Its path in the archive.
        crc: CRC-32 of its bytes.
        size: How many they are.
        offset: Where its header begins.
    """

    name: str
    crc: int
    size: int
    offset: int


def local_header(name: str, crc: int, size: int) -> bytes:
    """What stands before a part's bytes."""
    encoded, large = name.encode(), size >= _FULL_32
    extra = struct.pack("<HHQQ", 1, 16, size, size) if large else b""
    short = _FULL_32 if large else size
    version = _VERSION_64 if large else _VERSION
    head = (LOCAL_SIGNATURE, version, _UTF_8, 0, 0, _FIRST_DAY, crc, short, short, len(encoded), len(extra))
    return _LOCAL.pack(*head) + encoded + extra


def read_local_header(head: bytes, more: bytes) -> tuple[str, int, int, int] | None:
    """Name, CRC, size, and length of the header; None when these bytes are no header as we write them.

    Args:
        head: The first `LOCAL_BYTES` bytes.
        more: What follows, at least as far as the header goes.
    """
    if len(head) != LOCAL_BYTES or not head.startswith(LOCAL_SIGNATURE):
        return None
    *_, crc, short, _, name_bytes, extra_bytes = _LOCAL.unpack(head)
    if len(more) < name_bytes + extra_bytes:
        return None
    try:
        name = more[:name_bytes].decode()
    except UnicodeDecodeError:
        return None
    extra = more[name_bytes : name_bytes + extra_bytes]
    size = struct.unpack_from("<Q", extra, 4)[0] if extra_bytes == 20 else short  # noqa: PLR2004 -- zip64's
    length = LOCAL_BYTES + name_bytes + extra_bytes
    return (name, crc, size, length) if local_header(name, crc, size) == head + more[: length - 30] else None


def directory(parts: list[Part], offset: int) -> bytes:
    """What stands behind the last part; `offset` is where."""
    entries = b"".join(map(_entry, parts))
    count, size = len(parts), len(entries)
    tail = b""
    if count >= _FULL_16 or offset >= _FULL_32 or size >= _FULL_32:
        where = offset + size
        tail = _END_64.pack(
            b"PK\x06\x06", 44, _UNIX | _VERSION_64, _VERSION_64, 0, 0, count, count, size, offset
        )
        tail += _LOCATOR_64.pack(b"PK\x06\x07", 0, where, 1)
    short = min(count, _FULL_16)
    end = (b"PK\x05\x06", 0, 0, short, short, min(size, _FULL_32), min(offset, _FULL_32), 0)
    return entries + tail + _END.pack(*end)


def _entry(part: Part) -> bytes:
    encoded = part.name.encode()
    large = [value for value in (part.size, part.size, part.offset) if value >= _FULL_32]
    extra = struct.pack(f"<HH{len(large)}Q", 1, 8 * len(large), *large) if large else b""
    version = _VERSION_64 if large else _VERSION
    size, offset = min(part.size, _FULL_32), min(part.offset, _FULL_32)
    head = (b"PK\x01\x02", _UNIX | version, version, _UTF_8, 0, 0, _FIRST_DAY, part.crc, size, size)
    return _CENTRAL.pack(*head, len(encoded), len(extra), 0, 0, 0, _MODE, offset) + encoded + extra
