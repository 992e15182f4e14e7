"""Episodes on a Redis server, by URL."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import redis

from octolog.domain.errors import StoreUnavailable
from octolog.domain.ids import ArmId
from octolog.ports import Positions
from projections.episodes.document import from_text, to_text
from projections.episodes.store import Episode

_TIMEOUT_S: Final = 10.0
_PREFIX: Final = "octolog:episodes"


class RedisEpisodes:
    """Per arm a hash of episodes and a sorted set of their ends; positions in a hash of their own.

    Redis' own expiry is not used: it goes by this moment's clock, and an episode that expired by now may be asked
    for as of an earlier moment. `drop_expired` keeps the server from filling up.

    Args:
        url: Such as `redis://127.0.0.1:6379/0`.
        prefix: Before every key; one per log.

    Raises:
        StoreUnavailable: When no server answers there.
    """

    def __init__(self, url: str, prefix: str = _PREFIX) -> None:
        self._prefix = prefix
        with _translated():
            self._redis: Any = redis.Redis.from_url(
                url, decode_responses=True, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
            )
            self._redis.ping()

    def put(self, episodes: Sequence[Episode], positions: Positions) -> None:
        """Store episodes and positions in one transaction; the first episode of an id stays."""
        with _translated(), self._redis.pipeline(transaction=True) as pipe:
            for episode in episodes:
                arm_id, episode_id = episode.memory.arm_id, episode.memory.episode_id
                pipe.sadd(self._key("arms"), arm_id)
                pipe.hsetnx(self._key("of", arm_id), episode_id, to_text(episode))
                # nx: a second record of the same id must not move the end of the first
                pipe.zadd(self._key("ends", arm_id), {episode_id: episode.expires_ms}, nx=True)
            for (topic, partition), offset in positions.items():
                pipe.hset(self._key("positions"), json.dumps([topic, partition]), offset)
            pipe.execute()

    def read(self, arm_id: ArmId, as_of_ms: int, limit: int) -> list[Episode]:
        """An arm's episodes that were recorded by then and had not expired, newest first."""
        with _translated():
            ids = self._redis.zrangebyscore(self._key("ends", arm_id), f"({as_of_ms}", "+inf")
            texts = self._redis.hmget(self._key("of", arm_id), ids) if ids else []
        found = [from_text(text) for text in texts if text is not None]
        found = [episode for episode in found if episode.recorded_ms <= as_of_ms]
        found.sort(key=lambda episode: (episode.recorded_ms, episode.partition, episode.offset), reverse=True)
        return found[:limit]

    def positions(self) -> Positions:
        """The next offset to read per partition."""
        with _translated():
            rows = self._redis.hgetall(self._key("positions"))
        return {(place[0], place[1]): int(at) for text, at in rows.items() if (place := json.loads(text))}

    def kept_since_ms(self) -> int:
        """The earliest moment that can be asked about."""
        with _translated():
            return int(self._redis.get(self._key("kept")) or 0)

    def drop_expired(self, before_ms: int) -> int:
        """Delete what expired before a moment."""
        dropped = 0
        with _translated():
            if before_ms > int(self._redis.get(self._key("kept")) or 0):
                self._redis.set(self._key("kept"), before_ms)  # first: nobody may ask about what is half gone
            for arm_id in self._redis.smembers(self._key("arms")):
                ids = self._redis.zrangebyscore(self._key("ends", arm_id), "-inf", before_ms)
                if ids:
                    with self._redis.pipeline(transaction=True) as pipe:
                        pipe.hdel(self._key("of", arm_id), *ids)
                        pipe.zrem(self._key("ends", arm_id), *ids)
                        pipe.execute()
                    dropped += len(ids)
        return dropped

    def clear(self) -> None:
        """Delete every episode and position; positions first, so that a half-empty store is filled again."""
        with _translated():
            self._redis.delete(self._key("positions"), self._key("kept"))
            for arm_id in self._redis.smembers(self._key("arms")):
                self._redis.delete(self._key("of", arm_id), self._key("ends", arm_id))
            self._redis.delete(self._key("arms"))

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()

    def _key(self, *parts: str) -> str:
        return ":".join((self._prefix, *parts))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, OSError, ValueError) as error:
        raise StoreUnavailable(f"Redis: {' '.join(str(error).split())[:200]}") from error
