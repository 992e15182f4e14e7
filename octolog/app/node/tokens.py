"""What signs capability tokens in this home."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from octolog.app.audit.notary import keys_dir
from octolog.app.connection import Connection
from octolog.app.settings import Settings
from octolog.domain.errors import BrokerUnavailable
from octolog.domain.ids import TaskId
from octolog.domain.security import TokenKeyAnnounced
from octolog.ports import LogRecord
from streams.headers import event_headers
from streams.notary.keys import KeyRing
from streams.token_issuer import TokenIssuer
from streams.topics import ARMS

_ANNOUNCE_S: Final = 10.0


def token_keys_dir(settings: Settings) -> Path:
    """Where the keys of capability tokens lie: `keys/tokens` in the home, for its owner's eyes alone."""
    return keys_dir(settings) / "tokens"


def token_issuer(connection: Connection, name: str) -> TokenIssuer:
    """Signs with the keys of this home, and tells the log of them.

    Args:
        connection: Which log.
        name: The process that signs.
    """
    codec = connection.codec()

    def announce(key: TokenKeyAnnounced) -> None:
        headers = event_headers(
            key.key_id, key.schema_name, f"octolog://{name}", time.time_ns() // 1_000_000, TaskId(key.key_id)
        )
        said = {each: value if isinstance(value, str) else value.decode() for each, value in headers.items()}
        heard: list[LogRecord | Exception] = []
        publisher = connection.publisher()
        publisher.publish(ARMS, key.key_id, codec.encode(key), headers=said, done=heard.append)
        until_s = time.monotonic() + _ANNOUNCE_S
        while not heard and time.monotonic() < until_s:
            publisher.poll(0.05)
        if not heard or isinstance(heard[0], Exception):
            raise BrokerUnavailable(f"the key of capability tokens is not announced: {heard or 'no answer'}")

    return TokenIssuer(KeyRing(token_keys_dir(connection.settings)), announce, name)
