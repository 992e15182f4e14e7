"""Facts as bytes: where in the wire value of a fact its hash and its link lie, without decoding it.

A fact is written as its link, what happened, and its hash: so the hash is its last 32 bytes, and the link's
fields follow the five bytes of the wire header. `read_links` finds them in many values at once; `Origins` reads
where a single fact comes from, and tells whether a value is a given fact without decoding it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from octolog.domain.chain import HASH_BYTES, Link
from octolog.domain.errors import UndecodableRecord
from octolog.domain.facts import Fact
from schemas.blocks import WIRE_HEADER_BYTES
from schemas.codec import Codec
from schemas.compiled import body_encoder
from schemas.compiled.wire import LONG, SPAN, int_, long, text
from schemas.registry import SchemaIds

Bytes: TypeAlias = NDArray[np.uint8]
Numbers: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]

_LINK: Final = (
    ("root_task_id", "string"),
    ("seq", "long"),
    ("position", "long"),
    ("cause_topic", "string"),
    ("cause_offset", "long"),
    ("registry_offset", "long"),
    ("rules", "int"),
    ("window", "int"),
    ("lease_ms", "long"),
    ("prev_hash", "fixed"),
)
_NUMBERS_BEFORE_PREV: Final = 5
_MORE: Final = 0x80
_PADDING: Final = bytes(64)
_MAX_VARINT_BYTES: Final = 10
_NO_SETTINGS: Final = b"\xff" * (_MAX_VARINT_BYTES + 1)
"""Before the first settings are known: no number begins so."""
_MAX_TOPICS: Final = 100


class FactSchemas:
    """Which wire headers stand before facts, and the name that enters a fact's hash.

    Args:
        ids: The registry that the headers' ids are from.
    """

    def __init__(self, ids: SchemaIds) -> None:
        self._ids = ids
        self._known: dict[bytes, bytes] = {}

    def hashed_name(self, header: bytes) -> bytes:
        """A fact's record name and the zero byte, by its value's first five bytes.

        Raises:
            UndecodableRecord: When these bytes do not stand before a fact.
        """
        known = self._known.get(header)
        if known is None:
            known = self._known[header] = self._look_up(header)
        return known

    def _look_up(self, header: bytes) -> bytes:
        if len(header) < WIRE_HEADER_BYTES:
            raise UndecodableRecord(f"{len(header)} bytes are too few for a schema id")
        if header[0] != 0:
            raise UndecodableRecord(
                f"first byte is {header[0]}, not the magic byte 0 of the Confluent wire format"
            )
        subject, text = self._ids.by_id(int.from_bytes(header[1:], "big"))
        schema = json.loads(text)
        if not _is_fact(schema):
            raise UndecodableRecord(f"{subject} is no fact")
        return f"{schema['namespace']}.{schema['name']}\0".encode()


class Settings(NamedTuple):
    """What a fact was decided with, as its link says.

    Attributes:
        registry_offset: Registry facts before this offset of `octolog.arms` were known.
        rules: Version of the rules.
        window: Attempts one arm may hold from the partition.
        lease_ms: How long an arm may stay silent, milliseconds.
    """

    registry_offset: int
    rules: int
    window: int
    lease_ms: int


class Origin(NamedTuple):
    """What a fact comes from.

    Attributes:
        cause_topic: Topic of the input that led to it.
        cause_offset: Offset of that input.
        settings: What it was decided with; the same object as of the fact read before, where nothing changed.
        middle: The bytes of all this: equal in every fact of one input. None: not known.
        end: Where in the fact's bytes they end.
    """

    cause_topic: str
    cause_offset: int
    settings: Settings
    middle: bytes | None
    end: int


_ORIGIN: Final[Callable[[tuple[str, int, Settings, bytes, int]], Origin]] = partial(tuple.__new__, Origin)
"""An `Origin` of its parts, without the function that a named tuple is called through: there are many."""


class Origins:
    """Reads the origins of facts whose hashes and links were checked (`streams.replay.hashes`), and compares them.

    Args:
        codec: Its ids are the ones in the facts' wire headers.
    """

    def __init__(self, codec: Codec) -> None:
        self._schemas = FactSchemas(codec.ids)
        self._codec = codec
        self._writers: dict[type[Any], tuple[bytes, Callable[[Any, bytes], bytes]]] = {}
        self._headers: set[bytes] = set()
        self._topics: dict[bytes, str] = {}
        self._settings, self._settings_bytes = Settings(0, 0, 0, 0), _NO_SETTINGS

    def of(self, value: bytes) -> Origin:
        """A fact's origin; of the rest of its bytes nothing is looked at.

        Raises:
            UndecodableRecord: When the value does not begin as a fact does.
        """
        header = value[:WIRE_HEADER_BYTES]
        if header not in self._headers:
            self._schemas.hashed_name(header)
            self._headers.add(header)
        try:
            return _ORIGIN(self._read(value))
        except (IndexError, ValueError) as error:
            raise UndecodableRecord(f"no link: {error}") from error

    def _read(self, value: bytes) -> tuple[str, int, Settings, bytes, int]:
        at = WIRE_HEADER_BYTES
        at += SPAN[value[at]] or _text_bytes(value, at)
        while value[at] >= _MORE:  # its number in its tree
            at += 1
        at += 1
        while value[at] >= _MORE:  # its number in its partition
            at += 1
        start = at + 1
        end = start + (SPAN[value[start]] or _text_bytes(value, start))
        offset, at = long(value, end)
        if value.startswith(self._settings_bytes, at):
            at += len(self._settings_bytes)
        else:
            at = self._read_settings(value, at)
        if at > len(value) - 2 * HASH_BYTES:
            raise UndecodableRecord("the link does not end before the fact's hash")
        topic = self._topics.get(value[start:end]) or self._topic(value, start)
        return topic, offset, self._settings, value[start:at], at

    def _read_settings(self, value: bytes, at: int) -> int:
        registry_offset, end = long(value, at)
        rules, end = int_(value, end)
        window, end = int_(value, end)
        lease_ms, end = long(value, end)
        self._settings = Settings(registry_offset, rules, window, lease_ms)
        self._settings_bytes = value[at:end]
        return end

    def _topic(self, value: bytes, start: int) -> str:
        topic, end = text(value, start)
        if len(self._topics) < _MAX_TOPICS:
            self._topics[value[start:end]] = topic
        return topic

    def is_first(self, value: bytes, fact: Fact, origin: Origin) -> bool:
        """True when these bytes are this fact behind the link that `origin` was read from.

        Args:
            value: A fact's bytes.
            fact: What must have happened.
            origin: Read from the same bytes.
        """
        header, write = self._writers.get(type(fact)) or self._writer(type(fact))
        body, start = write(fact, b""), origin.end + HASH_BYTES
        whole = start + len(body) + HASH_BYTES
        return len(value) == whole and value.startswith(body, start) and value.startswith(header)

    def is_fact(self, value: bytes, fact: Fact, link: Link, middle: bytes) -> bool:
        """True when these bytes are this fact with this link, whatever hash stands at their end.

        Args:
            value: A fact's bytes.
            fact: What must have happened.
            link: What its link must say.
            middle: The bytes of `link` between its position and the hash before (`Origin.middle`).
        """
        header, write = self._writers.get(type(fact)) or self._writer(type(fact))
        root = link.root_task_id.encode()
        before = header, LONG[len(root)], root, LONG[link.seq], LONG[link.position], middle, link.prev_hash
        expected = write(fact, b"".join(before))
        return len(value) == len(expected) + HASH_BYTES and value.startswith(expected)

    def _writer(self, cls: type[Any]) -> tuple[bytes, Callable[[Any, bytes], bytes]]:
        writer = self._writers[cls] = self._codec.header(cls), body_encoder(cls)
        return writer


def _text_bytes(value: bytes, at: int) -> int:
    """How many bytes a text at a place takes, its length included."""
    size, start = long(value, at)
    if size < 0:
        raise UndecodableRecord(f"no link: a text of {size} bytes")
    return start + size - at


class Links(NamedTuple):
    """What the links of many facts say; rows are valid where `whole` is.

    Attributes:
        seq: Numbers in their trees.
        position: Numbers in their partition.
        root_start: Where each root task id begins in `data`.
        root_bytes: How long each is.
        prev: Hashes of the facts before, 32 bytes a row.
        hash: Hashes written with the facts, 32 bytes a row.
        whole: False where a link does not end before its value's hash.
        data: All values, one after the other.
    """

    seq: Numbers
    position: Numbers
    root_start: Numbers
    root_bytes: Numbers
    prev: Bytes
    hash: Bytes
    whole: Flags
    data: Bytes


def read_links(values: Sequence[bytes]) -> Links:
    """The links and hashes of facts, by position in their bytes."""
    data = np.frombuffer(b"".join((*values, _PADDING)), np.uint8)
    sizes = np.fromiter(map(len, values), np.int64, len(values))
    ends = np.cumsum(sizes)
    last = len(data) - len(_PADDING)
    at = np.minimum(ends - sizes + WIRE_HEADER_BYTES, last)
    root_bytes, root_start = _number(data, at)
    at = _inside(root_start, root_bytes, last)
    seq, at = _number(data, at)
    position, at = _number(data, at)
    topic_bytes, at = _number(data, at)
    at = _inside(at, topic_bytes, last)
    for _ in range(_NUMBERS_BEFORE_PREV):
        at = _skip(data, at)
    hash_start = ends - HASH_BYTES
    whole = (at + HASH_BYTES <= hash_start) & (root_bytes >= 0) & (topic_bytes >= 0)
    whole &= root_start + root_bytes < at
    return Links(
        seq,
        position,
        root_start,
        root_bytes,
        _rows(data, np.where(whole, at, 0)),
        _rows(data, np.maximum(hash_start, 0)),
        whole,
        data,
    )


def roots_equal(links: Links, keys: Sequence[bytes]) -> Flags:
    """Where a root task id is the key beside it."""
    sizes = np.fromiter(map(len, keys), np.int64, len(keys))
    equal: Flags = links.whole & (sizes == links.root_bytes)
    rows = np.flatnonzero(equal & (sizes > 0))
    if not len(rows):
        return equal
    asked = sizes[rows]
    firsts = np.cumsum(asked) - asked
    places = np.repeat(links.root_start[rows] - firsts, asked) + np.arange(int(asked.sum()))
    theirs = np.frombuffer(b"".join([keys[row] for row in rows.tolist()]), np.uint8)
    equal[rows] = np.logical_and.reduceat(links.data[places] == theirs, firsts)
    return equal


def _number(data: Bytes, at: Numbers) -> tuple[Numbers, Numbers]:
    """Avro's numbers at some places, and where they end."""
    first = data[at].astype(np.uint64)
    coded, after = first & np.uint64(_MORE - 1), at + 1
    rows = np.flatnonzero(first >= _MORE)
    for shift in range(7, 7 * _MAX_VARINT_BYTES, 7):
        if not len(rows):
            break
        byte = data[np.minimum(after[rows], len(data) - 1)].astype(np.uint64)
        coded[rows] |= (byte & np.uint64(_MORE - 1)) << np.uint64(shift)
        after[rows] += 1
        rows = rows[byte >= _MORE]
    signed = (coded >> np.uint64(1)).astype(np.int64) ^ -(coded & np.uint64(1)).astype(np.int64)
    return signed, np.minimum(after, len(data) - 1)


def _skip(data: Bytes, at: Numbers) -> Numbers:
    """Where the numbers at some places end."""
    after = at + 1
    rows = np.flatnonzero(data[at] >= _MORE)
    for _ in range(_MAX_VARINT_BYTES):
        if not len(rows):
            break
        byte = data[np.minimum(after[rows], len(data) - 1)]
        after[rows] += 1
        rows = rows[byte >= _MORE]
    return np.minimum(after, len(data) - 1)


def _inside(start: Numbers, size: Numbers, last: int) -> Numbers:
    """The end of a text, within the data whatever its length says."""
    return np.minimum(start + np.clip(size, 0, last), last)


def _rows(data: Bytes, at: Numbers) -> Bytes:
    rows: Bytes = data[at[:, None] + np.arange(HASH_BYTES)]
    return rows


def _is_fact(schema: Any) -> bool:
    if not isinstance(schema, dict) or schema.get("type") != "record" or "namespace" not in schema:
        return False
    fields = schema["fields"]
    if not fields or fields[0]["name"] != "link" or fields[-1]["name"] != "hash":
        return False
    link = fields[0]["type"]
    if not isinstance(link, dict) or link.get("type") != "record":
        return False
    return tuple((field["name"], _kind(field["type"])) for field in link["fields"]) == _LINK


def _kind(schema: Any) -> str:
    return str(schema["type"]) if isinstance(schema, dict) else str(schema)
