"""Dead letters by the record they are about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from octolog.domain.errors import UndecodableRecord
from octolog.domain.upkeep import DeadLetter
from octolog.ports import LogRecord
from schemas.codec import Codec
from streams.dead_letters import MAX_LETTER_BYTES
from streams.replay.report import Difference
from streams.topics import DEAD_LETTERS

PROCESSOR = "task-processor"


@dataclass(frozen=True, slots=True)
class Letter:
    """What is kept of a dead letter.

    Attributes:
        partition: Where the letter lies.
        offset: Where the letter lies.
        consumer: Who refused the record.
        reason: Why.
        source: Digest of the record as the letter has it.
    """

    partition: int
    offset: int
    consumer: str
    reason: str
    source: bytes


class DeadLetters:
    """Every dead letter of the log, by topic, partition and offset of its source.

    Args:
        codec: Decodes them.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._letters: dict[tuple[str, int, int], list[Letter]] = {}
        self.undecodable: list[Difference] = []

    def add(self, records: Iterable[LogRecord]) -> None:
        """Take letters in."""
        for record in records:
            try:
                value = self._codec.decode(record.value)
                if not isinstance(value, DeadLetter):
                    raise UndecodableRecord(f"a {type(value).__name__} is no dead letter")
            except UndecodableRecord as error:
                self.undecodable.append(_difference(record.partition, record.offset, str(error)))
                continue
            place = value.source_topic, value.source_partition, value.source_offset
            source = _digest(value.source_timestamp_ms, value.key, value.value)
            letter = Letter(record.partition, record.offset, value.consumer, value.reason, source)
            self._letters.setdefault(place, []).append(letter)

    def about(self, record: LogRecord) -> list[Letter]:
        """Letters about a record; empty for most."""
        return self._letters.get((record.topic, record.partition, record.offset), [])

    def differences(self, record: LogRecord) -> list[Difference]:
        """Letters about a record that do not have it as it lies in the log."""
        source = _digest(max(0, record.timestamp_ms), record.key, record.value)
        # Of a record too long to be repeated, the letter has neither key nor value.
        long = len(record.key or b"") + len(record.value or b"") > MAX_LETTER_BYTES
        nothing = _digest(max(0, record.timestamp_ms), None, None) if long else source
        place = f"{record.topic}/{record.partition}@{record.offset}"
        return [
            _difference(letter.partition, letter.offset, f"is not the record it names, {place}")
            for letter in self.about(record)
            if letter.source not in (source, nothing)
        ]

    def of(self, topic: str, partition: int) -> dict[int, list[Letter]]:
        """Letters about a partition, by offset."""
        return {o: letters for (t, p, o), letters in self._letters.items() if (t, p) == (topic, partition)}

    def places(self, topic: str) -> set[tuple[int, int]]:
        """Partition and offset of every record of a topic that a letter is about."""
        return {(p, o) for t, p, o in self._letters if t == topic}


def _difference(partition: int, offset: int, message: str) -> Difference:
    return Difference(DEAD_LETTERS, partition, offset, None, None, "dead-letter", message)


def _digest(timestamp_ms: int, key: bytes | None, value: bytes | None) -> bytes:
    parts = [b"\0" if part is None else b"\1%d\0%b" % (len(part), part) for part in (key, value)]
    return sha256(b"%d\0" % timestamp_ms + b"".join(parts)).digest()
