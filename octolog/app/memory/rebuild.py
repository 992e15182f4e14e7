"""Building semantic memory or episodes anew: in the node that has them open, or here where no node runs."""

from __future__ import annotations

from typing import Any

from octolog.app.connection import Connection
from octolog.app.memory.collections import NAME, OpenMemory, open_collections, service_url
from octolog.app.memory.episodes import NAME as EPISODIC
from octolog.app.memory.episodes import OpenEpisodes, open_stores
from octolog.app.memory.remote import RemoteMemories
from octolog.app.settings import Settings
from octolog.ports import Progress
from streams.dead_letters import PublishedDeadLetters

__all__ = ["rebuild_episodes", "rebuild_memory"]


def rebuild_memory(settings: Settings, progress: Progress) -> dict[str, Any]:
    """Build it from offset 0 beside the one in use, find both equal, and use the new one.

    Raises:
        Refused: When they differ; nothing was changed.
        StoreUnavailable: When the store does not answer.
    """
    url = service_url(settings)
    if url is not None:
        with RemoteMemories(url) as remote:
            return remote.rebuild(progress, NAME)
    with Connection(settings) as connection:
        publisher, codec = connection.publisher(background=True), connection.codec()
        memory = OpenMemory(open_collections(settings), settings)
        try:
            letters = PublishedDeadLetters(publisher, codec, NAME)
            return memory.rebuild(connection.reader(), codec, letters, progress)
        finally:
            memory.close()
            publisher.close()


def rebuild_episodes(settings: Settings, progress: Progress) -> dict[str, Any]:
    """The same of the episodes.

    Raises:
        Refused: When they differ; nothing was changed.
        StoreUnavailable: When the store does not answer.
    """
    url = service_url(settings)
    if url is not None:
        with RemoteMemories(url) as remote:
            return remote.rebuild(progress, EPISODIC)
    with Connection(settings) as connection:
        publisher, codec = connection.publisher(background=True), connection.codec()
        letters = PublishedDeadLetters(publisher, codec, NAME)  # the process that tells of both
        episodes = OpenEpisodes(open_stores(settings), codec, letters)
        try:
            return episodes.rebuild(connection.reader(), progress)
        finally:
            episodes.close()
            publisher.close()
