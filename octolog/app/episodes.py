"""Where episodes are kept: the Redis server of the settings, else a file in the node's folder."""

from __future__ import annotations

from octolog.app.settings import Settings
from octolog.domain.errors import StoreUnavailable
from projections.episodes.embedded import EmbeddedEpisodes
from projections.episodes.store import EpisodeStore


def open_episodes(settings: Settings) -> EpisodeStore:
    """The store.

    Raises:
        StoreUnavailable: When the server does not answer, or the file cannot be opened.
    """
    if not settings.redis_url:
        return EmbeddedEpisodes(settings.home / "episodes" / "episodes.sqlite")
    try:
        from projections.episodes.server import RedisEpisodes
    except ImportError:
        raise StoreUnavailable("a Redis server needs `pip install octolog[redis]`") from None
    return RedisEpisodes(settings.redis_url)
