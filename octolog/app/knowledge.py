"""The knowledge process of a node: follows the log into DuckDB, and answers queries while it does."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from aiohttp import web

from octolog.app.answers import ANSWERS
from octolog.app.connection import Connection
from octolog.app.keeper import KeeperThread
from octolog.app.notary import NotaryThread
from octolog.app.processes import StateFile, Stop
from octolog.app.projector import ProjectorState, follow
from octolog.app.settings import Settings
from octolog.domain.errors import NotFound, OctologError
from projections.analytics.sink import AnalyticsProjection
from projections.duck import FILE_NAME, Store
from projections.sql.queries import QueryLimits, run_query
from streams.dead_letters import PublishedDeadLetters

if TYPE_CHECKING:
    from streams.kafka.publisher import KafkaPublisher

_REPORT_S: Final = 0.25
_HOST: Final = "127.0.0.1"


def run_knowledge(settings: Settings, name: str, state: StateFile, stop: Stop) -> None:
    """Project and serve until told to stop."""
    store = Store.open(settings.knowledge_dir / FILE_NAME)
    progress = ProjectorState()
    server = QueryServer(store, progress)
    url = server.start()
    with Connection(settings) as connection:
        publisher = connection.publisher(background=True)
        letters = PublishedDeadLetters(publisher, connection.codec(), consumer=name)
        projection = AnalyticsProjection(store, connection.schema_ids, letters)
        report = threading.Thread(target=_report, args=(state, url, progress, stop, publisher), daemon=True)
        report.start()
        notary = NotaryThread(settings, stop)
        notary.start()
        keeper = KeeperThread(settings, stop)
        keeper.start()
        try:
            follow(projection, connection.reader(), progress, stop)
        finally:
            server.stop()
            notary.join()
            keeper.join()
            projection.close()


class QueryServer:
    """HTTP on the loopback: `POST /call` for named questions, `POST /sql` for anything that only reads.

    Args:
        store: What is asked.
        progress: How far the projector is.
    """

    def __init__(self, store: Store, progress: ProjectorState) -> None:
        self._store, self._progress = store, progress
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._port = 0
        self._thread = threading.Thread(target=self._serve, name="queries", daemon=True)

    def start(self) -> str:
        """Listen on a free port; returns the URL."""
        self._thread.start()
        self._ready.wait(10)
        return f"http://{_HOST}:{self._port}"

    def stop(self) -> None:
        """Stop listening."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(2)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        self._ready.set()
        self._loop.run_forever()

    async def _listen(self) -> None:
        app = web.Application(client_max_size=1_000_000)
        app.add_routes(
            [
                web.post("/call", self._call),
                web.post("/sql", self._sql),
                web.get("/positions", self._positions),
            ]
        )
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, _HOST, 0)
        await site.start()
        self._port = runner.addresses[0][1]

    async def _call(self, request: web.Request) -> web.Response:
        asked = await request.json()
        answer = ANSWERS.get(asked["method"])
        if answer is None:
            return _refusal(NotFound(f"no question named {asked['method']}"))
        return await self._answer(lambda: to_json(answer(self._store, **asked["args"])))

    async def _sql(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        limits = QueryLimits(asked["timeout_s"], asked["max_rows"])

        def run() -> tuple[bytes, bool]:
            result = run_query(self._store, asked["sql"], limits)
            return arrow_bytes(result.table), result.truncated

        try:
            body, truncated = await asyncio.to_thread(run)
        except OctologError as error:
            return _refusal(error)
        kind = "application/vnd.apache.arrow.stream"
        return web.Response(body=body, content_type=kind, headers={"X-Truncated": str(int(truncated))})

    async def _positions(self, _request: web.Request) -> web.Response:
        places = {
            f"{topic}/{partition}": at for (topic, partition), at in dict(self._progress.positions).items()
        }
        return web.json_response({"positions": places, "caught_up": self._progress.caught_up})

    async def _answer(self, work: Callable[[], str]) -> web.Response:
        try:
            return web.Response(text=await asyncio.to_thread(work), content_type="application/json")
        except OctologError as error:
            return _refusal(error)


def arrow_bytes(table: pa.Table) -> bytes:
    """A table as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def to_json(rows: Any) -> str:
    """Rows as JSON: times in ISO 8601 UTC, bytes in hex."""
    return json.dumps(rows, default=_plain, ensure_ascii=False)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds") + "Z"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(type(value).__name__)


def _refusal(error: OctologError) -> web.Response:
    return web.json_response({"error": type(error).__name__, "message": str(error)}, status=400)


def _report(
    state: StateFile, url: str, progress: ProjectorState, stop: Stop, publisher: KafkaPublisher
) -> None:
    while not stop.asked:
        behind = "caught up" if progress.caught_up else "catching up"
        state.write(state="ready", kind="knowledge", url=url, detail=f"{progress.records} records, {behind}")
        threading.Event().wait(_REPORT_S)
    publisher.close()
