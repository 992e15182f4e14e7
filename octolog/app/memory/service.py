"""The memory process of a node: follows the log into semantic memory and episodes, and answers while it does."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any, Final

from pydantic import TypeAdapter

from octolog.app.connection import Connection
from octolog.app.memory.collections import NAME, OpenMemory, Reembedding, open_collections
from octolog.app.memory.episodes import NAME as EPISODIC
from octolog.app.memory.episodes import OpenEpisodes, open_stores
from octolog.app.memory.http import known, memory_server
from octolog.app.memory.live import LiveMemory
from octolog.app.memory.remote import WHERE
from octolog.app.processes import StateFile, Stop
from octolog.app.projector import ProjectorState, catch_up, fill_and_follow
from octolog.app.settings import Settings
from octolog.domain.errors import OctologError, Refused
from octolog.domain.ids import ArmId
from octolog.domain.memory import EmbeddingModelFixed, EpisodeReadDenied
from octolog.ports import Positions, Progress, Publisher
from projections.episodes.document import to_text
from projections.episodes.sink import TOPIC as EPISODES
from projections.episodes.store import StoreReplaced
from projections.memory.embedding import Embedder
from projections.memory.sink import TOPIC, MemoryProjection
from projections.memory.store import MemoryStore
from schemas.codec import Codec
from streams.dead_letters import PublishedDeadLetters

_REPORT_S: Final = 0.25
_JOIN_S: Final = 3.0
_FLUSH_S: Final = 10.0


def run_memory(settings: Settings, name: str, state: StateFile, stop: Stop) -> None:
    """Project and serve until told to stop."""
    with Connection(settings) as connection:
        service = MemoryService(settings, connection, name)
        url = service.start()
        reporter = threading.Thread(target=_report, args=(state, url, service, stop), daemon=True)
        reporter.start()
        try:
            service.follow(stop)
        finally:
            service.close()


class AnnouncedModels:
    """Writes into the log which model a collection is made for."""

    def __init__(self, publisher: Publisher, codec: Codec) -> None:
        self._publisher, self._codec = publisher, codec

    def __call__(self, fixed: EmbeddingModelFixed) -> None:
        """Append the record."""
        self._publisher.publish(TOPIC, fixed.collection, self._codec.encode(fixed))


class LoggedDenials:
    """Writes into the log which arm asked for another's episodes."""

    def __init__(self, publisher: Publisher, codec: Codec) -> None:
        self._publisher, self._codec = publisher, codec

    def denied(self, owner: ArmId, asked_by: str, as_of_ms: int) -> None:
        """Append the record, and wait until it is in the log: no refusal without its trace."""
        record = EpisodeReadDenied(owner, asked_by[:255], as_of_ms)
        self._publisher.publish(EPISODES, owner, self._codec.encode(record))
        self._publisher.flush(_FLUSH_S)


class MemoryService:
    """Everything the process holds.

    Args:
        settings: What it runs on.
        connection: Which log.
        consumer: Its name in dead letters.
    """

    def __init__(self, settings: Settings, connection: Connection, consumer: str) -> None:
        self._connection = connection
        codec = connection.codec()
        self._publisher = connection.publisher(background=True)
        self._letters = PublishedDeadLetters(self._publisher, codec, consumer)
        self.memory = OpenMemory(
            open_collections(settings), settings, AnnouncedModels(self._publisher, codec)
        )
        self.episodes = OpenEpisodes(open_stores(settings), codec, self._letters)
        self._denials = LoggedDenials(self._publisher, codec)
        self.progress, self.episode_progress = ProjectorState(), ProjectorState()
        self._job: dict[str, Any] = {"state": "none"}
        self._job_lock = threading.Lock()
        self._server = memory_server(self)

    def start(self) -> str:
        """Listen; returns the URL."""
        return self._server.start()

    def follow(self, stop: Callable[[], bool]) -> None:
        """Follow both topics until `stop()`; what another version filled is filled anew beside."""
        failed: list[OctologError] = []
        beside = threading.Thread(target=self._follow_episodes, args=(stop, failed), daemon=True)
        beside.start()
        self._follow_memory(lambda: stop() or bool(failed))
        beside.join(_JOIN_S)
        if failed:
            raise failed[0]

    def close(self) -> None:
        """Stop answering and release the stores."""
        self._server.stop()
        self.memory.close()
        self.episodes.close()

    # Questions

    def search(self, asked: Any) -> Any:
        """See `OpenMemory.search`."""
        where = WHERE.validate_python(asked.get("where", {}))
        return self.memory.search(str(asked["text"]), int(asked["top_k"]), where)

    def show(self, asked: Any) -> Any:
        """See `OpenMemory.show`."""
        return self.memory.show(str(asked["memory_id"]))

    def read_episodes(self, asked: Any) -> Any:
        """See `projections.episodes.store.read_own`."""
        given = asked.get("as_of_ms")
        as_of_ms = time.time_ns() // 1_000_000 if given is None else int(given)
        owner, asked_by = ArmId(str(asked["arm_id"])), str(asked["asked_by"])
        found = self.episodes.read_own(self._denials, owner, asked_by, as_of_ms, int(asked["limit"]))
        return [json.loads(to_text(episode)) for episode in found]

    def start_reembedding(self, asked: Any) -> Any:
        """Start it; one at a time. Ask `job` how it is."""
        wanted = TypeAdapter(Reembedding).validate_python(asked)
        return self._begin(NAME, lambda progress: self.memory.reembed(wanted, progress, self._catch_up))

    def start_rebuild(self, asked: Any) -> Any:
        """Start building one of the two anew; one job at a time. Ask `job` how it is."""
        name = str(asked.get("projection", NAME))
        return self._begin(name, {NAME: self._rebuild_memory, EPISODIC: self._rebuild_episodes}[name])

    def job(self, _asked: Any) -> Any:
        """How it is."""
        return self._job

    def positions(self, _asked: Any) -> Any:
        """How far both have read."""
        places = {**self.progress.positions, **self.episode_progress.positions}
        return {
            "positions": {f"{topic}/{partition}": at for (topic, partition), at in sorted(places.items())},
            "caught_up": self.progress.caught_up and self.episode_progress.caught_up,
            "made": {
                NAME: _made(self.memory.store.version, self.memory.stale, self.memory.store.positions()),
                EPISODIC: _made(self.episodes.store.version, self.episodes.stale, self.episodes.reached()),
            },
            "job": self._job,
        }

    def _begin(self, name: str, work: Callable[[Progress], dict[str, Any]]) -> Any:
        with self._job_lock:
            if self._job["state"] == "running":
                raise Refused(f"{self._job['projection']} is being embedded or built anew already")
            self._job = {"projection": name, "state": "running", "done": 0, "total": 0}
        threading.Thread(target=self._run, args=(name, work), name="anew", daemon=True).start()
        return self._job

    def _rebuild_memory(self, progress: Progress) -> dict[str, Any]:
        with closing(self._connection.reader()) as reader:
            return self.memory.rebuild(reader, self._connection.codec(), self._letters, progress)

    def _rebuild_episodes(self, progress: Progress) -> dict[str, Any]:
        with closing(self._connection.reader()) as reader:
            return self.episodes.rebuild(reader, progress)

    def _run(self, name: str, work: Callable[[Progress], dict[str, Any]]) -> None:
        def progress(done: int, total: int) -> None:
            self._job = {"projection": name, "state": "running", "done": done, "total": total}

        try:
            ended = {"state": "done", "result": work(progress)}
        except OctologError as error:
            ended = {"state": "failed", "error": known(type(error)), "message": str(error)}
        self._job = {"projection": name, **ended}

    def _catch_up(self, store: MemoryStore, embedder: Embedder) -> None:
        with closing(self._connection.reader()) as reader:
            catch_up(MemoryProjection(store, embedder, self._connection.codec()), reader)

    def _follow_memory(self, stop: Callable[[], bool]) -> None:
        live = LiveMemory(self.memory, self._connection.codec(), self._letters)
        reader = self._connection.reader()
        self.memory.begin()
        take_over = self.memory.take_over if self.memory.stale else None
        fill_and_follow(live, reader, self.progress, stop, take_over)

    def _follow_episodes(self, stop: Callable[[], bool], failed: list[OctologError]) -> None:
        try:
            self.episodes.begin()
            while not stop():
                try:
                    self._fill_and_follow_episodes(stop)
                except StoreReplaced:  # another process rebuilt them, on a Redis that both have
                    self.episodes.reopen()
        except OctologError as error:
            failed.append(error)

    def _fill_and_follow_episodes(self, stop: Callable[[], bool]) -> None:
        reader = self._connection.reader()
        take_over = self.episodes.take_over if self.episodes.stale else None
        fill_and_follow(self.episodes, reader, self.episode_progress, stop, take_over)


def _made(version: int, stale: str, positions: Positions) -> dict[str, Any]:
    places = [[topic, partition, at] for (topic, partition), at in positions.items()]
    return {"version": version, "stale": stale, "positions": places}


def _report(state: StateFile, url: str, service: MemoryService, stop: Stop) -> None:
    while not stop.asked:
        behind = "caught up" if service.progress.caught_up else "catching up"
        detail = f"{service.progress.records} records, {service.memory.store.spec.model}, {behind}"
        if why := service.memory.stale or service.episodes.stale:
            detail = f"filling anew, {why}; {detail}"
        state.write(state="ready", kind=NAME, url=url, detail=detail)
        time.sleep(_REPORT_S)
