"""The memory process of a node: follows the log into semantic memory and episodes, and answers while it does."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any, Final

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from octolog.app.connection import Connection
from octolog.app.episodes import open_episodes
from octolog.app.loopback import LoopbackServer
from octolog.app.memory import NAME, LiveProjection, OpenMemory, Reembedding, open_collections
from octolog.app.memory_remote import WHERE
from octolog.app.processes import StateFile, Stop
from octolog.app.projector import ProjectorState, catch_up, follow
from octolog.app.settings import Settings
from octolog.domain.errors import OctologError, Refused
from octolog.domain.ids import ArmId
from octolog.domain.memory import EmbeddingModelFixed, EpisodeReadDenied
from octolog.ports import Progress, Publisher
from projections.episodes.document import to_text
from projections.episodes.sink import TOPIC as EPISODES
from projections.episodes.sink import EpisodeProjection
from projections.episodes.store import EpisodeStore, read_own
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
        self.episodes: EpisodeStore = open_episodes(settings)
        self._denials = LoggedDenials(self._publisher, codec)
        self.progress, self.episode_progress = ProjectorState(), ProjectorState()
        self._job: dict[str, Any] = {"state": "none"}
        self._job_lock = threading.Lock()
        self._server = _server(self)

    def start(self) -> str:
        """Listen; returns the URL."""
        return self._server.start()

    def follow(self, stop: Callable[[], bool]) -> None:
        """Follow both topics until `stop()`."""
        failed: list[OctologError] = []
        beside = threading.Thread(target=self._follow_episodes, args=(stop, failed), daemon=True)
        beside.start()
        live = LiveProjection(self.memory, self._connection.codec(), self._letters)
        follow(live, self._connection.reader(), self.progress, lambda: stop() or bool(failed))
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
        found = read_own(self.episodes, self._denials, owner, asked_by, as_of_ms, int(asked["limit"]))
        return [json.loads(to_text(episode)) for episode in found]

    def start_reembedding(self, asked: Any) -> Any:
        """Start it; one at a time. Ask `job` how it is."""
        wanted = TypeAdapter(Reembedding).validate_python(asked)
        return self._begin(lambda progress: self.memory.reembed(wanted, progress, self._catch_up))

    def start_rebuild(self, _asked: Any) -> Any:
        """Start building the memories anew; one job at a time. Ask `job` how it is."""
        return self._begin(self._rebuild)

    def job(self, _asked: Any) -> Any:
        """How it is."""
        return self._job

    def positions(self, _asked: Any) -> Any:
        """How far both have read."""
        places = {**self.progress.positions, **self.episode_progress.positions}
        return {
            "positions": {f"{topic}/{partition}": at for (topic, partition), at in sorted(places.items())},
            "caught_up": self.progress.caught_up and self.episode_progress.caught_up,
        }

    def _begin(self, work: Callable[[Progress], dict[str, Any]]) -> Any:
        with self._job_lock:
            if self._job["state"] == "running":
                raise Refused("the memories are being embedded or built anew already")
            self._job = {"state": "running", "done": 0, "total": 0}
        threading.Thread(target=self._run, args=(work,), name="anew", daemon=True).start()
        return self._job

    def _rebuild(self, progress: Progress) -> dict[str, Any]:
        with closing(self._connection.reader()) as reader:
            return self.memory.rebuild(reader, self._connection.codec(), self._letters, progress)

    def _run(self, work: Callable[[Progress], dict[str, Any]]) -> None:
        def progress(done: int, total: int) -> None:
            self._job = {"state": "running", "done": done, "total": total}

        try:
            result = work(progress)
            self._job = {"state": "done", "result": result}
        except OctologError as error:
            self._job = {"state": "failed", "error": _known(type(error)), "message": str(error)}

    def _catch_up(self, store: MemoryStore, embedder: Embedder) -> None:
        with closing(self._connection.reader()) as reader:
            catch_up(MemoryProjection(store, embedder, self._connection.codec()), reader)

    def _follow_episodes(self, stop: Callable[[], bool], failed: list[OctologError]) -> None:
        projection = EpisodeProjection(self.episodes, self._connection.codec(), self._letters)
        try:
            follow(projection, self._connection.reader(), self.episode_progress, stop)
        except OctologError as error:
            failed.append(error)


def _server(service: MemoryService) -> LoopbackServer:
    """Every answer is JSON."""
    routes = [
        web.post("/search", _handler(service.search)),
        web.post("/show", _handler(service.show)),
        web.post("/episodes", _handler(service.read_episodes)),
        web.post("/reembed", _handler(service.start_reembedding)),
        web.post("/rebuild", _handler(service.start_rebuild)),
        web.get("/job", _handler(service.job)),
        web.get("/positions", _handler(service.positions)),
    ]
    return LoopbackServer("memory", routes, max_bytes=10_000_000)


def _handler(answer: Callable[[Any], Any]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        try:
            asked = await _asked(request) if request.method == "POST" else None
            return web.json_response(await asyncio.to_thread(answer, asked))
        except OctologError as error:
            kind, message = _known(type(error)), str(error)
        except (ValidationError, ValueError, KeyError, TypeError) as error:
            kind, message = "Refused", f"no such question: {' '.join(str(error).split())[:200]}"
        return web.json_response({"error": kind, "message": message}, status=400)

    return handle


async def _asked(request: web.Request) -> Any:
    if request.content_type != "application/json":  # what a page in somebody's browser cannot send unasked
        raise Refused("send application/json")
    return await request.json()


def _known(kind: type[OctologError]) -> str:
    """The name of an error, or of the nearest above it that every client knows."""
    return next(one.__name__ for one in kind.__mro__ if one.__module__ == OctologError.__module__)


def _report(state: StateFile, url: str, service: MemoryService, stop: Stop) -> None:
    while not stop.asked:
        behind = "caught up" if service.progress.caught_up else "catching up"
        detail = f"{service.progress.records} records, {service.memory.store.spec.model}, {behind}"
        state.write(state="ready", kind=NAME, url=url, detail=detail)
        time.sleep(_REPORT_S)
