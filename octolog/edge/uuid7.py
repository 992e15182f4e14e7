"""Ids that sort by the time they were made (RFC 9562, version 7)."""

from __future__ import annotations

import secrets
import time
from uuid import UUID


def uuid7() -> UUID:
    """A UUIDv7: 48 bits of milliseconds, 12 bits of the millisecond's fraction (method 3 of section 6.2), 62 random."""
    milliseconds, rest_ns = divmod(time.time_ns(), 1_000_000)
    fraction = (rest_ns << 12) // 1_000_000
    number = (milliseconds & (1 << 48) - 1) << 80
    number |= 0x7 << 76 | fraction << 64
    number |= 0b10 << 62 | secrets.randbits(62)
    return UUID(int=number)
