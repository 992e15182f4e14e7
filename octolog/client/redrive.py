"""Dead letters, straight from the log, and writing one back to where it came from.

What keeps a letter from being written back twice is the log itself: before a letter is redriven, its source
topic is read from the letter's time on, and the same key and bytes there mean that it was done. That holds
over restarts and between machines, and needs no mark that could be lost. When the record is refused again,
it makes a letter of its own, later than itself, and that one may be redriven.
"""

from __future__ import annotations

import json
import time
from base64 import b64decode
from dataclasses import dataclass
from typing import Any, Final

from octolog.app.connection import Connection
from octolog.domain.errors import BrokerUnavailable, NotFound, UndecodableRecord
from octolog.domain.upkeep import DeadLetter
from octolog.ports import LogRecord
from schemas.codec import Codec
from streams.topics import DEAD_LETTERS

REDRIVEN_FROM: Final = "octolog_redriven_from"
"""Header of a redriven record: topic, partition and offset of its dead letter."""

_SEND_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter with its place.

    Attributes:
        partition: Its partition of `octolog.dead-letters`.
        offset: Its offset.
        timestamp_ms: When it was written, milliseconds since the epoch.
        said: What it says; None when it cannot be read itself.
        reason: Why the record was refused, or why the letter cannot be read.
    """

    partition: int
    offset: int
    timestamp_ms: int
    said: DeadLetter | None
    reason: str

    def summary(self) -> dict[str, Any]:
        """The letter without the bytes."""
        said = self.said
        found: dict[str, Any] = {"offset": self.offset, "timestamp_ms": self.timestamp_ms}
        if said is not None:
            found |= {
                "source_topic": said.source_topic,
                "source_partition": said.source_partition,
                "source_offset": said.source_offset,
                "source_timestamp_ms": said.source_timestamp_ms,
                "consumer": said.consumer,
                "error": said.error,
            }
        return {**found, "reason": self.reason}

    def document(self) -> dict[str, Any]:
        """All of the letter: bytes in hex, and as text where they are some."""
        said = self.said
        if said is None:
            return self.summary()
        headers = [
            [name, None if value is None else _readable(b64decode(value))] for name, value in _headers(said)
        ]
        return {
            **self.summary(),
            "key": None if said.key is None else _readable(said.key),
            "value_bytes": 0 if said.value is None else len(said.value),
            "value": None if said.value is None else _readable(said.value),
            "value_hex": None if said.value is None else said.value.hex(),
            "headers": headers,
        }


@dataclass(frozen=True, slots=True)
class Redriven:
    """What became of a letter.

    Attributes:
        offset: The letter's offset.
        status: `redriven`, `already redriven` or `refused`.
        place: Where the record lies now, `topic/partition@offset`.
        refused: Why it cannot be redriven; empty when it can.
    """

    offset: int
    status: str
    place: str = ""
    refused: str = ""

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {"offset": self.offset, "status": self.status, "place": self.place, "reason": self.refused}


def letters(connection: Connection, limit: int | None = None) -> list[Letter]:
    """Dead letters, newest first.

    Args:
        connection: Which log.
        limit: At most so many; None: all.
    """
    codec, reader = connection.codec(), connection.reader()
    ends = reader.ends([DEAD_LETTERS])
    found: list[Letter] = []
    for batch in reader.read(dict.fromkeys(ends, 0), until=ends):
        found += [_letter(codec, record) for record in batch]
        if limit is not None:
            del found[:-limit]
    return found[::-1]


def letter_at(connection: Connection, offset: int) -> Letter:
    """One dead letter.

    Raises:
        NotFound: There is none at that offset.
    """
    reader = connection.reader()
    place = DEAD_LETTERS, 0
    end = reader.ends([DEAD_LETTERS])[place]
    if offset < end:
        for batch in reader.read({place: offset}, until={place: offset + 1}):
            for record in batch:
                if record.offset == offset:
                    return _letter(connection.codec(), record)
    raise NotFound(f"no dead letter at offset {offset}; see `octolog dlq list`")


def redrive_letter(connection: Connection, letter: Letter) -> Redriven:
    """Write a letter's record back to its source topic, unless that was done.

    Raises:
        BrokerUnavailable: It is not known to be in the log.
    """
    said = letter.said
    if said is None or said.value is None:
        return Redriven(letter.offset, "refused", refused="it holds no record that could be written")
    try:
        key = (said.key or b"").decode()
    except UnicodeDecodeError:
        key = ""
    if not key:
        return Redriven(letter.offset, "refused", refused="its key is no text; no consumer would take it")
    there = _copy(connection, letter, said)
    if there is not None:
        return Redriven(letter.offset, "already redriven", _place(there))
    return Redriven(letter.offset, "redriven", _place(_written(connection, letter, said, key)))


def _copy(connection: Connection, letter: Letter, said: DeadLetter) -> LogRecord | None:
    """The record with the same key and bytes, written after the letter."""
    reader = connection.reader()
    start = reader.at_time([said.source_topic], letter.timestamp_ms)
    source = said.source_topic, said.source_partition
    start[source] = max(start[source], said.source_offset + 1)
    for batch in reader.read(start, until=reader.ends([said.source_topic])):
        for record in batch:
            if record.value == said.value and record.key == said.key:
                return record
    return None


def _written(connection: Connection, letter: Letter, said: DeadLetter, key: str) -> LogRecord:
    publisher = connection.publisher()
    heard: list[LogRecord | Exception] = []
    headers = {name: _text(value) for name, value in _headers(said) if value is not None}
    headers[REDRIVEN_FROM] = f"{DEAD_LETTERS}/{letter.partition}@{letter.offset}"
    publisher.publish(said.source_topic, key, said.value or b"", headers=headers, done=heard.append)
    deadline = time.monotonic() + _SEND_TIMEOUT_S
    while not heard:
        if time.monotonic() > deadline:
            raise BrokerUnavailable(f"not in the log after {_SEND_TIMEOUT_S:.0f} s")
        publisher.poll(0.1)
    if isinstance(heard[0], Exception):
        raise heard[0]
    return heard[0]


def _letter(codec: Codec, record: LogRecord) -> Letter:
    place = record.partition, record.offset, record.timestamp_ms
    try:
        said = codec.decode(record.value)
    except UndecodableRecord as error:
        return Letter(*place, None, f"the letter cannot be read: {error}")
    if not isinstance(said, DeadLetter):
        return Letter(*place, None, f"a {type(said).__name__} is no dead letter")
    return Letter(*place, said, said.reason)


def _headers(said: DeadLetter) -> list[tuple[str, str | None]]:
    return [(name, value) for name, value in json.loads(said.headers_json)]


def _text(value: str) -> str:
    return b64decode(value).decode("utf-8", "replace")


def _readable(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def _place(record: LogRecord) -> str:
    return f"{record.topic}/{record.partition}@{record.offset}"
