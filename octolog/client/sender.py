"""Putting records into the log and hearing where they lie."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from octolog.app.connection import Connection
from octolog.client.decisions import Sent
from octolog.domain.errors import BrokerUnavailable, InvalidContract
from octolog.domain.ids import TaskId
from octolog.edge import uuid7
from octolog.ports import LogRecord
from octolog.safety import Gate, PiiMode, screen
from schemas.codec import Codec
from streams.headers import event_headers
from streams.kafka.publisher import KafkaPublisher

SEND_TIMEOUT_S: Final = 30.0
MAX_RECORD_BYTES: Final = 900_000
"""Brokers take records up to 1 MB by default, and the fact that carries a contract is longer than the contract."""


class Letter(NamedTuple):
    """A record on its way.

    Attributes:
        topic: Where to.
        key: Its key; the root task id, or an arm id in the registry.
        record: What it says.
        judged: It went through the gate for personal data already; any other goes through it here.
    """

    topic: str
    key: TaskId
    record: Any
    judged: bool = False


class Sender:
    """Appends records and waits until they are in the log.

    Args:
        connection: Which log.
        source: Who writes, for the CloudEvents headers.
    """

    def __init__(self, connection: Connection, source: str) -> None:
        self._connection = connection
        self._source = f"octolog://client/{quote(source)}"

    def send(self, letters: Sequence[Letter]) -> list[Sent]:
        """Where each record lies, in order; all are encoded before the first is produced.

        Raises:
            InvalidContract: TOO_LARGE, or it holds what must not be in the log; nothing was produced.
            BrokerUnavailable: Not all are known to be in the log.
        """
        gates = [Gate(PiiMode(self._connection.settings.pii)) for _ in letters]
        letters = [self._screened(letter, gate) for letter, gate in zip(letters, gates, strict=True)]
        values = [self._encoded(letter) for letter in letters]
        heard: dict[int, LogRecord | Exception] = {}
        for index, (letter, value) in enumerate(zip(letters, values, strict=True)):
            headers = self._headers(letter)
            self._publisher.publish(
                letter.topic, letter.key, value, headers=headers, done=_into(heard, index)
            )
        self._await(heard, len(letters))
        places = [_place(heard[index], letter.key) for index, letter in enumerate(letters)]
        return [
            replace(place, redacted=gate.counts) if gate.counts else place
            for place, gate in zip(places, gates, strict=True)
        ]

    @cached_property
    def codec(self) -> Codec:
        """Encodes and decodes with this log's schema ids."""
        return self._connection.codec()

    @cached_property
    def _publisher(self) -> KafkaPublisher:
        return self._connection.publisher()

    @staticmethod
    def _screened(letter: Letter, gate: Gate) -> Letter:
        if letter.judged:
            return letter
        return letter._replace(record=screen(letter.record, gate, block_injection=False))

    def _encoded(self, letter: Letter) -> bytes:
        value = self.codec.encode(letter.record)
        if len(value) > MAX_RECORD_BYTES:
            kind = type(letter.record).__name__
            raise InvalidContract("TOO_LARGE", kind, f"{len(value)} bytes; at most {MAX_RECORD_BYTES}")
        return value

    def _headers(self, letter: Letter) -> dict[str, str]:
        now_ms = time.time_ns() // 1_000_000
        headers = event_headers(str(uuid7()), letter.record.schema_name, self._source, now_ms, letter.key)
        return {name: value if isinstance(value, str) else value.decode() for name, value in headers.items()}

    def _await(self, heard: Mapping[int, LogRecord | Exception], wanted: int) -> None:
        deadline = time.monotonic() + SEND_TIMEOUT_S
        while len(heard) < wanted:
            if time.monotonic() > deadline:
                missing = wanted - len(heard)
                raise BrokerUnavailable(
                    f"{missing} of {wanted} records are not in the log after {SEND_TIMEOUT_S:.0f} s"
                )
            self._publisher.poll(0.1)


def _into(heard: dict[int, LogRecord | Exception], index: int) -> Callable[[LogRecord | Exception], None]:
    def done(result: LogRecord | Exception) -> None:
        heard[index] = result

    return done


def _place(heard: LogRecord | Exception, root_id: TaskId) -> Sent:
    if isinstance(heard, Exception):
        raise heard
    return Sent(root_id, heard.topic, heard.partition, heard.offset, heard.timestamp_ms)
