"""Episodes on a Redis server, by URL: one generation of keys in use, and while that is built anew another beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from uuid import uuid4

import redis

from octolog.domain.errors import StoreUnavailable
from octolog.domain.ids import ArmId
from octolog.ports import Positions
from projections.episodes.document import from_text, to_text
from projections.episodes.store import Episode, EpisodeStore, StoreReplaced

PREFIX: Final = "octolog:episodes"
_TIMEOUT_S: Final = 10.0
_SCANNED: Final = 500
_FIRST: Final = ""
"""The generation of before there were generations: its keys follow the prefix at once."""


def connect(url: str) -> Any:
    """A client for the server at a URL such as `redis://127.0.0.1:6379/0`.

    Raises:
        StoreUnavailable: When no server answers there.
    """
    with _translated():
        client = redis.Redis.from_url(
            url, decode_responses=True, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
        )
        client.ping()
        return client


class RedisGenerations:
    """The stores of one log on a server: a key names the generation in use, so one command swaps them.

    Args:
        client: Of the server.
        prefix: Before every key; one per log.
    """

    def __init__(self, client: Any, prefix: str = PREFIX) -> None:
        self._redis, self._prefix = client, prefix

    def current(self) -> EpisodeStore | None:
        """The store in use, also when another process put it there; None before the first is made."""
        with _translated():
            named = self._redis.get(_pointer(self._prefix))
            if named is None and not self._redis.exists(f"{self._prefix}:positions"):
                return None
            generation = named or _FIRST
            version = self._redis.get(f"{_base(self._prefix, generation)}:version")
        return RedisEpisodes(self._redis, self._prefix, generation, int(version or 1), named)

    def create(self, version: int) -> EpisodeStore:
        """A new store, empty, not in use yet; what an earlier attempt left behind is gone."""
        generation = uuid4().hex[:12]
        with _translated():
            named = self._redis.get(_pointer(self._prefix))
            self._sweep(named or _FIRST)
            self._redis.sadd(_made(self._prefix), generation)
            self._redis.set(f"{_base(self._prefix, generation)}:version", version)
        return RedisEpisodes(self._redis, self._prefix, generation, version, named)

    def use(self, made: EpisodeStore) -> None:
        """Make a store the one in use, at once; the one before it is deleted.

        Raises:
            StoreReplaced: When another has come into use since this one was made; nothing was changed.
        """
        store = _ours(made)
        store.change(lambda pipe: pipe.set(_pointer(self._prefix), store.generation))
        store.named = store.generation
        with _translated():
            self._sweep(store.generation)

    def discard(self, made: EpisodeStore) -> None:
        """Delete a store that never came into use."""
        with _translated():
            self._delete(_ours(made).generation)

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()

    def _sweep(self, kept: str) -> None:
        """Delete every generation but one; while none has a name, that of before there were names is in use."""
        for generation in {*self._redis.smembers(_made(self._prefix)), _FIRST} - {kept}:
            self._delete(generation)

    def _delete(self, generation: str) -> None:
        """First its name, then its keys: whoever still fills it is refused from there on."""
        self._redis.srem(_made(self._prefix), generation)
        base = _base(self._prefix, generation)
        for arm_id in self._redis.smembers(f"{base}:arms"):
            self._redis.delete(f"{base}:of:{arm_id}", f"{base}:ends:{arm_id}")
        self._redis.delete(*(f"{base}:{name}" for name in ("arms", "positions", "kept", "version")))


class RedisEpisodes:
    """Per arm a hash of episodes and a sorted set of their ends; positions in a hash of their own.

    Redis' own expiry is not used: it goes by this moment's clock, and an episode that expired by now may be asked
    for as of an earlier moment. `drop_expired` keeps the server from filling up.

    Several processes may have the same server. So nothing is read or written once another generation has come into
    use: that is looked at in the same transaction.

    Args:
        client: Of the server.
        prefix: Before every key; one per log.
        generation: Which of the log's generations.
        version: The fold that fills it.
        named: The generation in use, as the server names it, when this was opened; None: no name yet.
    """

    def __init__(self, client: Any, prefix: str, generation: str, version: int, named: str | None) -> None:
        self._redis, self._prefix = client, prefix
        self.generation, self.version, self.named = generation, version, named
        self._base = _base(prefix, generation)

    def put(self, episodes: Sequence[Episode], positions: Positions) -> None:
        """Store episodes and positions in one transaction; the first episode of an id stays."""

        def queue(pipe: Any) -> None:
            for episode in episodes:
                arm_id, episode_id = episode.memory.arm_id, episode.memory.episode_id
                pipe.sadd(self._key("arms"), arm_id)
                pipe.hsetnx(self._key("of", arm_id), episode_id, to_text(episode))
                # nx: a second record of the same id must not move the end of the first
                pipe.zadd(self._key("ends", arm_id), {episode_id: episode.expires_ms}, nx=True)
            for (topic, partition), offset in positions.items():
                pipe.hset(self._key("positions"), json.dumps([topic, partition]), offset)

        self.change(queue)

    def read(self, arm_id: ArmId, as_of_ms: int, limit: int) -> list[Episode]:
        """An arm's episodes that were recorded by then and had not expired, newest first."""
        ends, of = self._key("ends", arm_id), self._key("of", arm_id)
        ids = self._ask(lambda pipe: pipe.zrangebyscore(ends, f"({as_of_ms}", "+inf"))
        found = [episode for episode in self._texts(of, ids) if episode.recorded_ms <= as_of_ms]
        found.sort(key=lambda episode: (episode.recorded_ms, episode.partition, episode.offset), reverse=True)
        return found[:limit]

    def scan(self) -> Iterator[Episode]:
        """Every episode, by arm and id."""
        for arm_id in sorted(self._ask(lambda pipe: pipe.smembers(self._key("arms")))):
            yield from self._all_of(arm_id)

    def positions(self) -> Positions:
        """The next offset to read per partition."""
        rows = self._ask(lambda pipe: pipe.hgetall(self._key("positions")))
        return {(place[0], place[1]): int(at) for text, at in rows.items() if (place := json.loads(text))}

    def kept_since_ms(self) -> int:
        """The earliest moment that can be asked about."""
        return int(self._ask(lambda pipe: pipe.get(self._key("kept"))) or 0)

    def drop_expired(self, before_ms: int) -> int:
        """Delete what expired before a moment."""
        if before_ms > self.kept_since_ms():  # first: nobody may ask about what is half gone
            self.change(lambda pipe: pipe.set(self._key("kept"), before_ms))
        arms = self._ask(lambda pipe: pipe.smembers(self._key("arms")))
        return sum(self._drop_of(arm_id, before_ms) for arm_id in arms)

    def clear(self) -> None:
        """Delete every episode and position; positions first, so that a half-empty store is filled again."""
        self.change(lambda pipe: pipe.delete(self._key("positions"), self._key("kept")))
        arms = self._ask(lambda pipe: pipe.smembers(self._key("arms")))
        keys = [self._key(name, arm_id) for arm_id in arms for name in ("of", "ends")]
        self.change(lambda pipe: pipe.delete(*keys, self._key("arms")))

    def close(self) -> None:
        """Nothing: the connection is its generations'."""

    def change(self, queue: Callable[[Any], object]) -> None:
        """Run commands in one transaction, if what is in use has not changed, nor this been deleted.

        Raises:
            StoreReplaced: When it has; nothing was done.
        """
        pointer, made = _pointer(self._prefix), _made(self._prefix)
        with _translated(), self._redis.pipeline(transaction=True) as pipe:
            while True:
                pipe.watch(pointer, made)
                known = self.generation == _FIRST or pipe.sismember(made, self.generation)
                if pipe.get(pointer) != self.named or not known:
                    raise StoreReplaced("Redis: another generation of the episodes has come into use")
                pipe.multi()
                queue(pipe)
                try:
                    pipe.execute()
                except redis.WatchError:
                    continue  # looked at again: a generation more is no reason to stop
                return

    def _ask(self, queue: Callable[[Any], object]) -> Any:
        """What one command answers, if what is in use had not changed by then."""
        with _translated(), self._redis.pipeline(transaction=True) as pipe:
            queue(pipe)
            pipe.get(_pointer(self._prefix))
            answer, named = pipe.execute()
        if named != self.named:
            raise StoreReplaced("Redis: another generation of the episodes has come into use")
        return answer

    def _all_of(self, arm_id: str) -> Iterator[Episode]:
        of = self._key("of", arm_id)
        ids = sorted(self._ask(lambda pipe: pipe.hkeys(of)))
        for start in range(0, len(ids), _SCANNED):
            yield from self._texts(of, ids[start : start + _SCANNED])

    def _drop_of(self, arm_id: str, before_ms: int) -> int:
        of, ends = self._key("of", arm_id), self._key("ends", arm_id)
        ids = self._ask(lambda pipe: pipe.zrangebyscore(ends, "-inf", before_ms))
        if ids:
            self.change(lambda pipe: pipe.hdel(of, *ids).zrem(ends, *ids))
        return len(ids)

    def _texts(self, of: str, ids: Sequence[str]) -> list[Episode]:
        texts = self._ask(lambda pipe: pipe.hmget(of, ids)) if ids else []
        return [from_text(text) for text in texts if text is not None]

    def _key(self, *parts: str) -> str:
        return ":".join((self._base, *parts))


def _base(prefix: str, generation: str) -> str:
    return prefix if generation == _FIRST else f"{prefix}:in:{generation}"


def _pointer(prefix: str) -> str:
    return f"{prefix}:current"


def _made(prefix: str) -> str:
    return f"{prefix}:generations"


def _ours(store: EpisodeStore) -> RedisEpisodes:
    if not isinstance(store, RedisEpisodes):
        raise TypeError(f"{type(store).__name__} is no generation of a server")
    return store


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, OSError, ValueError) as error:
        raise StoreUnavailable(f"Redis: {' '.join(str(error).split())[:200]}") from error
