"""The name of a node among those of its cluster."""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import Final

from octolog.app.settings import Settings

_FILE: Final = "node-name"
_RANDOM_BYTES: Final = 4


def node_name(settings: Settings) -> str:
    """As set; empty for a node with a broker of its own; else made once and kept in the home.

    Names of group members and transactions derive from it. A restart under the same name takes its dead self's
    place at once; two nodes that run under one name take each other's, so no two homes of a cluster share one.
    """
    if settings.node or not settings.bootstrap_servers:
        return settings.node
    file = settings.home / _FILE
    settings.home.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError), file.open("x") as new:
        new.write(secrets.token_hex(_RANDOM_BYTES))
    return file.read_text().strip()


def slot(settings: Settings, process: str) -> str:
    """The stable name of one of a node's processes among those of the cluster."""
    return f"{settings.node}-{process}" if settings.node else process
