"""Building semantic memory or episodes anew: in the node that has them open, or here where no node runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

from octolog.app.connection import Connection
from octolog.app.memory.collections import NAME, OpenMemory, open_collections, service_url
from octolog.app.memory.episodes import NAME as EPISODIC
from octolog.app.memory.episodes import OpenEpisodes, open_stores
from octolog.app.memory.remote import RemoteMemories
from octolog.app.settings import Settings
from octolog.ports import DeadLetterSink, LogReader, Progress
from schemas.codec import Codec
from streams.dead_letters import PublishedDeadLetters

__all__ = ["rebuild_episodes", "rebuild_memory"]


def rebuild_memory(settings: Settings, progress: Progress) -> dict[str, Any]:
    """Build it from offset 0 beside the one in use, find both equal, and use the new one.

    Raises:
        Refused: When they differ; nothing was changed.
        StoreUnavailable: When the store does not answer.
    """

    def here(reader: LogReader, codec: Codec, letters: DeadLetterSink) -> dict[str, Any]:
        with closing(OpenMemory(open_collections(settings), settings)) as memory:
            return memory.rebuild(reader, codec, letters, progress)

    return _rebuilt(settings, NAME, progress, here)


def rebuild_episodes(settings: Settings, progress: Progress) -> dict[str, Any]:
    """The same of the episodes.

    Raises:
        Refused: When they differ; nothing was changed.
        StoreUnavailable: When the store does not answer.
    """

    def here(reader: LogReader, codec: Codec, letters: DeadLetterSink) -> dict[str, Any]:
        with closing(OpenEpisodes(open_stores(settings), codec, letters)) as episodes:
            return episodes.rebuild(reader, progress)

    return _rebuilt(settings, EPISODIC, progress, here)


def _rebuilt(
    settings: Settings,
    name: str,
    progress: Progress,
    here: Callable[[LogReader, Codec, DeadLetterSink], dict[str, Any]],
) -> dict[str, Any]:
    url = service_url(settings)
    if url is not None:
        return RemoteMemories(url).rebuild(progress, name)
    with Connection(settings) as connection, closing(connection.publisher(background=True)) as publisher:
        codec = connection.codec()
        letters = PublishedDeadLetters(publisher, codec, NAME)  # the process that tells of both
        return here(connection.reader(), codec, letters)
