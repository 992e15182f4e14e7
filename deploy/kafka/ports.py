"""Ports on the loopback interface."""

from __future__ import annotations

import random
import socket
from typing import Final

from deploy.kafka.errors import PortInUse

HOST: Final = "127.0.0.1"
PREFERRED_PORT: Final = 19092
# Below the kernel's ephemeral range (32768 and up on Linux): there, a client that keeps dialling a broker that is down
# can be given the broker's own port as its source, connect to itself, and hold the port against the restart.
FIRST_PORT: Final = 20000
LAST_PORT: Final = 32000
TRIES: Final = 200


def is_free(port: int) -> bool:
    """Say whether a server could listen on `port` of the loopback interface now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def free_port(*preferred: int, taken: frozenset[int] = frozenset()) -> int:
    """Return the first free port among `preferred`, else a random free one.

    Raises:
        PortInUse: None was free in `TRIES` tries.
    """
    candidates = [*preferred, *random.sample(range(FIRST_PORT, LAST_PORT), TRIES)]
    for port in candidates:
        if port not in taken and is_free(port):
            return port
    message = f"no free port between {FIRST_PORT} and {LAST_PORT} on {HOST}"
    raise PortInUse(message)


def require_free(port: int) -> None:
    """Refuse a port that another process holds.

    Raises:
        PortInUse: It is taken.
    """
    if not is_free(port):
        message = f"port {port} on {HOST} is in use by another process; stop it or choose another port"
        raise PortInUse(message)
