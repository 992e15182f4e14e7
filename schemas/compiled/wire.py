"""Avro's primitives: what the generated functions look up or call.

The common case of each is a table, read by the generated code itself: a number of one or two bytes on the way
out, a first byte on the way in. The functions here do the rest, and refuse what would be read back as
something else.
"""

from __future__ import annotations

import struct
from array import array
from typing import Any, Final

from octolog.domain.errors import UndecodableRecord

_LOW_7: Final = 0x7F
_MORE: Final = 0x80  # set on every byte of a number but its last
_PAIR: Final = 1 << 14  # values of two bytes with seven bits each
_TWO_PAIRS: Final = 1 << 28
_LOW_14: Final = _PAIR - 1
_LAST_SHIFT: Final = 63  # the tenth byte of a 64-bit number has one bit left
_MAX_LONG: Final = (1 << 63) - 1
_MAX_INT: Final = (1 << 31) - 1
_SIX_BYTES_FROM: Final = 1 << 34
_SIX_BYTES_TO: Final = 1 << 41

_INNER: Final = [bytes((z & _LOW_7 | _MORE, z >> 7 | _MORE)) for z in range(_PAIR)]
_FINAL: Final = [bytes((z,)) if z < _MORE else bytes((z & _LOW_7 | _MORE, z >> 7)) for z in range(_PAIR)]


class Varints(dict[int, bytes]):
    """Number -> its zigzag variable-length bytes; computed where it takes more than two.

    Raises:
        OverflowError: For a number with more bits than the type has.
        TypeError: For something that is no integer.
    """

    def __init__(self, largest: int) -> None:
        super().__init__((z >> 1 ^ -(z & 1), _FINAL[z]) for z in range(_PAIR))
        self._largest = largest

    def __missing__(self, number: int) -> bytes:
        """The bytes of a number that is not in the table."""
        z = number << 1 ^ number >> _LAST_SHIFT
        if 0 <= z < _TWO_PAIRS:
            return _INNER[z & _LOW_14] + _FINAL[z >> 14]
        if not -self._largest - 1 <= number <= self._largest:
            raise OverflowError(f"{number} has more than {self._largest.bit_length() + 1} bits")
        out = b""
        while z >= _PAIR:
            out += _INNER[z & _LOW_14]
            z >>= 14
        return out + _FINAL[z]


LONG: Final = Varints(_MAX_LONG)
INT: Final = Varints(_MAX_INT)
BOOL: Final = {True: b"\1", False: b"\0"}
PACK: Final = struct.Struct("<d").pack


def moment(number: int) -> bytes:
    """`LONG[number]`, for a number that takes six bytes: milliseconds since the epoch, from 1972 to 2039."""
    if _SIX_BYTES_FROM <= number < _SIX_BYTES_TO:
        z = number << 1
        return _INNER[z & _LOW_14] + _INNER[z >> 14 & _LOW_14] + _FINAL[z >> 28]
    return LONG[number]


def size(items: Any) -> bytes:
    """The head of an array's only block; nothing for an empty one."""
    if not isinstance(items, tuple | list):
        raise TypeError(f"{type(items).__name__} where a tuple belongs")
    return LONG[len(items)] if items else b""


def octets(value: Any) -> bytes:
    """`value`, which must be bytes: another buffer's length may count something else."""
    if type(value) is not bytes:
        raise TypeError(f"{type(value).__name__} where bytes belong")
    return value


def exactly(value: Any, size_bytes: int) -> bytes:
    """`value`, which must be so many bytes."""
    if type(value) is not bytes or len(value) != size_bytes:
        raise TypeError(f"{value!r:.80} is not {size_bytes} bytes")
    return value


NUMBER: Final = tuple(b >> 1 ^ -(b & 1) if b < _MORE else None for b in range(256))
"""First byte -> the number, or None where more bytes follow."""
SPAN: Final = tuple(1 + (b >> 1) if b < _MORE and not b & 1 else 0 for b in range(256))
"""First byte -> bytes of a length of one byte with what it counts; 0 where it is longer, or negative."""
FLAG: Final = {0: False, 1: True}
UNPACK: Final = struct.Struct("<d").unpack_from

_BOTH_MORE: Final = _MORE << 8 | _MORE
_UNPACK_PAIRS: Final = struct.Struct("<3H").unpack_from
_WORTH: Final = array("H", [h << 7 | low for h in range(128) for _ in "12" for low in range(128)] * 2)
"""Two bytes, as a number with the first byte lowest -> their value of seven bits each."""


def long(d: bytes, i: int) -> tuple[int, int]:
    """The number at `i`, and where it ends."""
    z = d[i]
    if z >= _MORE:
        i += 1
        b = d[i]
        z += (b << 7) - _MORE
        if b >= _MORE:
            z, i = _longer(d, i, z - (_MORE << 7))
    return z >> 1 ^ -(z & 1), i + 1


def _longer(d: bytes, i: int, z: int) -> tuple[int, int]:
    """A number of three bytes and more: `z` is what its first two, the second at `i`, are worth."""
    shift = 14
    i += 1
    while (b := d[i]) >= _MORE:
        z += (b & _LOW_7) << shift
        shift += 7
        i += 1
        if shift > _LAST_SHIFT:
            raise UndecodableRecord(f"a number of more than ten bytes at byte {i}")
    if shift == _LAST_SHIFT and b > 1:
        raise UndecodableRecord(f"a number of more than 64 bits ends at byte {i}")
    return z + (b << shift), i


def moment_at(d: bytes, i: int) -> tuple[int, int]:
    """`long`, for a number that takes six bytes and is not negative, as times do."""
    if i + 6 <= len(d):
        x, y, z = _UNPACK_PAIRS(d, i)
        if x & y & _BOTH_MORE == _BOTH_MORE and z & _BOTH_MORE == _MORE and not x & 1:
            return (_WORTH[x] + (_WORTH[y] << 14) + (_WORTH[z] << 28)) >> 1, i + 6
    return long(d, i)


def int_(d: bytes, i: int) -> tuple[int, int]:
    """The number of at most 32 bits at `i`, and where it ends."""
    number, i = long(d, i)
    if not -_MAX_INT - 1 <= number <= _MAX_INT:
        raise UndecodableRecord(f"{number}, before byte {i}, has more than 32 bits")
    return number, i


def bytes_(d: bytes, i: int) -> tuple[bytes, int]:
    """The bytes at `i`, behind their length, and where they end."""
    length, i = long(d, i)
    end = i + length
    if length < 0 or end > len(d):
        raise UndecodableRecord(f"a length of {length} at byte {i} of {len(d)}")
    return d[i:end], end


def text(d: bytes, i: int) -> tuple[str, int]:
    """The string at `i`, and where it ends: beyond the end of `d` when it is cut off."""
    a, b = d[i], d[i + 1]
    if a >= _MORE > b and not a & 1:
        end = i + 2 + (a + (b << 7) - _MORE >> 1)
        return d[i + 2 : end].decode(), end
    value, i = bytes_(d, i)
    return value.decode(), i


def count(d: bytes, i: int) -> tuple[int, int | None, int]:
    """Items of the array block at `i`, where the block ends if it says so, and where its items start.

    Every item takes a byte at least, so a count above the bytes left is refused before anything is made.
    """
    items, i = long(d, i)
    end = None
    if items < 0:
        items = -items
        size_bytes, i = long(d, i)
        end = i + size_bytes
    if items > len(d) - i:
        raise UndecodableRecord(f"{items} items at byte {i} of {len(d)}")
    return items, end, i


def uneven_block(end: int, i: int) -> UndecodableRecord:
    """The error for a block that is not as long as it says."""
    return UndecodableRecord(f"an array block said to end at byte {end} ends at {i}")


def no_branch(b: int, i: int) -> UndecodableRecord:
    """The error for a union's branch that does not exist."""
    return UndecodableRecord(f"byte {i - 1} is {b}, no branch of a union of null and another")


def uneven(d: bytes, i: int) -> UndecodableRecord:
    """The error for a record that does not end with its bytes."""
    if i > len(d):
        return UndecodableRecord(f"cut off: {i - len(d)} bytes are missing at the end")
    return UndecodableRecord(f"{len(d) - i} bytes left over after the record")
