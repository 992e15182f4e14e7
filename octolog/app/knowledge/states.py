"""How the projections are: which version filled them, how far they have read, and whether one is being built anew."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from octolog.app.connection import Connection
from octolog.app.knowledge.queries import open_queries
from octolog.app.memory.collections import NAME as MEMORY
from octolog.app.memory.collections import made_otherwise, open_collections, service_url
from octolog.app.memory.episodes import NAME as EPISODES
from octolog.app.memory.episodes import made_by_another, open_stores
from octolog.app.memory.remote import RemoteMemories
from octolog.app.node.control import process_of, runs
from octolog.app.processes import StateFile
from octolog.app.settings import Settings
from octolog.domain.errors import NotFound
from octolog.ports import Positions, Progress
from projections.analytics.sink import AnalyticsProjection
from projections.episodes.sink import EpisodeProjection
from projections.memory.sink import MemoryProjection

_WANTED: Final = (AnalyticsProjection, MemoryProjection, EpisodeProjection)
_ASKED: Final = "asked for"
_TELL_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class ProjectionState:
    """How one projection is.

    Attributes:
        name: Its name.
        version: That of this installation.
        filled_by: The version that filled what answers; None: nothing is filled yet.
        stale: Why what answers is not gone on with; empty: it is.
        rebuild: What is known of a rebuild that runs; None: none runs.
        reached: The next offset to read per partition, of what answers.
        ends: The log's ends.
    """

    name: str
    version: int
    filled_by: int | None
    stale: str
    rebuild: Mapping[str, Any] | None
    reached: Positions
    ends: Positions

    @property
    def lag(self) -> int:
        """Offsets not read yet, over all partitions."""
        return sum(_behind(self.reached, place, end) for place, end in self.ends.items())

    def document(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "name": self.name,
            "version": self.version,
            "filled_by": self.filled_by,
            "stale": self.stale,
            "lag": self.lag,
            "rebuild": None if self.rebuild is None else dict(self.rebuild),
            "positions": [
                {
                    "topic": place[0],
                    "partition": place[1],
                    "next_offset": self.reached.get(place, 0),
                    "end_offset": end,
                    "lag": _behind(self.reached, place, end),
                }
                for place, end in sorted(self.ends.items())
            ],
        }


@dataclass(frozen=True, slots=True)
class _Made:
    """What a store says of itself."""

    version: int | None = None
    stale: str = ""
    positions: Positions = field(default_factory=dict)
    rebuild: Mapping[str, Any] | None = None


def projection_states(settings: Settings) -> list[ProjectionState]:
    """Every projection, from the running node, or from the stores where no node runs.

    Raises:
        BrokerUnavailable: When the log's ends cannot be read.
        StoreUnavailable: When a store does not answer.
    """
    with Connection(settings) as connection:
        reader = connection.reader()
        ends = {kind.name: reader.ends(kind.topics) for kind in _WANTED}
    made = {"analytics": _analytics(settings), **_memories(settings)}
    return [
        ProjectionState(
            kind.name,
            kind.version,
            (one := made[kind.name]).version,
            one.stale,
            _running(settings, kind.name) or one.rebuild,
            one.positions,
            ends[kind.name],
        )
        for kind in _WANTED
    ]


@contextmanager
def told(settings: Settings, name: str, progress: Progress) -> Iterator[Progress]:
    """While a rebuild runs here, let others know: its progress stands in a file of the node's folder."""
    file, last_s = StateFile(_file(settings, name)), 0.0

    def both(done: int, total: int) -> None:
        nonlocal last_s
        if (now_s := time.monotonic()) - last_s >= _TELL_S:
            last_s = now_s
            file.write(done=done, total=total)
        progress(done, total)

    file.write(done=0, total=0)
    try:
        yield both
    finally:
        file.remove()


def _running(settings: Settings, name: str) -> Mapping[str, Any] | None:
    path = _file(settings, name)
    said = StateFile(path).read() if path.is_file() else None
    if said is None or process_of(said) is None:
        return None
    return {"why": _ASKED, "done": said["done"], "total": said["total"]}


def _file(settings: Settings, name: str) -> Path:
    return settings.run_dir / f"rebuild-{name}.json"


def _analytics(settings: Settings) -> _Made:
    try:
        with open_queries(settings) as queries:
            said, positions = queries.made(), queries.positions()
    except NotFound:
        return _Made()
    by_itself = {"why": said["stale"]} if said["stale"] and runs(settings) else None
    return _Made(said["version"], said["stale"], positions, by_itself)


def _memories(settings: Settings) -> dict[str, _Made]:
    url = service_url(settings)
    if url is None:
        return {MEMORY: _closed_memory(settings), EPISODES: _closed_episodes(settings)}
    return _answering(RemoteMemories(url).positions())


def _answering(said: Mapping[str, Any]) -> dict[str, _Made]:
    """What the memory process said of both."""
    job, found = said["job"], {}
    for name, made in said["made"].items():
        rebuild: dict[str, Any] | None = {"why": made["stale"]} if made["stale"] else None
        if job["state"] == "running" and job["projection"] == name:
            rebuild = {"why": _ASKED, "done": job["done"], "total": job["total"]}
        positions = {(topic, partition): at for topic, partition, at in made["positions"]}
        found[name] = _Made(made["version"], made["stale"], positions, rebuild)
    return found


def _closed_memory(settings: Settings) -> _Made:
    if not settings.qdrant_url and not (settings.home / MEMORY).is_dir():
        return _Made()
    with closing(open_collections(settings)) as collections:
        found = collections.current()
        if found is None:
            return _Made()
        return _Made(found.version, made_otherwise(found), found.positions())


def _closed_episodes(settings: Settings) -> _Made:
    if not settings.redis_url and not (settings.home / EPISODES).is_dir():
        return _Made()
    with closing(open_stores(settings)) as stores:
        found = stores.current()
        if found is None:
            return _Made()
        return _Made(found.version, made_by_another(found.version), found.positions())


def _behind(reached: Positions, place: tuple[str, int], end: int) -> int:
    return max(0, end - reached.get(place, 0))
