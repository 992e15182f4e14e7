"""One question to a broker, in Kafka's own protocol: which cluster are you?

A bare TCP connect would also be answered by a stranger on the same port, or before the broker can serve.
"""

from __future__ import annotations

import socket
import struct
from typing import Final

METADATA_KEY: Final = 3
# Version 2 is the first that carries the cluster id, and has no tagged fields to parse.
METADATA_VERSION: Final = 2
NO_TOPICS: Final = 0
MAX_ANSWER_BYTES: Final = 1 << 20


def cluster_id(host: str, port: int, timeout_s: float) -> str | None:
    """Return the id of the cluster whose broker serves `host:port`, or None when nobody answers in `timeout_s`."""
    request = struct.pack(">hhihi", METADATA_KEY, METADATA_VERSION, 1, -1, NO_TOPICS)
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            (size_bytes,) = struct.unpack(">i", _read(connection, 4))
            if not 0 < size_bytes <= MAX_ANSWER_BYTES:
                return None
            return _parse(_read(connection, size_bytes))
    except (OSError, struct.error, UnicodeDecodeError):
        return None


def _read(connection: socket.socket, size_bytes: int) -> bytes:
    received = b""
    while len(received) < size_bytes:
        part = connection.recv(size_bytes - len(received))
        if not part:
            message = "connection closed"
            raise ConnectionError(message)
        received += part
    return received


def _parse(answer: bytes) -> str | None:
    (brokers,) = struct.unpack_from(">i", answer, 4)
    if brokers < 1:
        return None  # it listens, but has not yet learned of itself
    at = 8
    for _ in range(brokers):
        at += 4  # node id
        at = _skip_string(answer, at)  # host
        at += 4  # port
        at = _skip_string(answer, at)  # rack
    (length,) = struct.unpack_from(">h", answer, at)
    return answer[at + 2 : at + 2 + length].decode() if length > 0 else None


def _skip_string(answer: bytes, at: int) -> int:
    length: int = struct.unpack_from(">h", answer, at)[0]
    return at + 2 + max(length, 0)
