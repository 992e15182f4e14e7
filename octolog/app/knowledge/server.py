"""The node's query service: HTTP on the loopback, answered beside the projector's writing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from octolog.app.knowledge.answers import ANSWERS
from octolog.app.knowledge.live_store import LiveStore
from octolog.app.loopback import LoopbackServer
from octolog.app.projector import ProjectorState
from octolog.domain.errors import NotFound, OctologError, Refused
from projections.sql.queries import Cancellation, QueryLimits, run_query

MAX_TIMEOUT_S: Final = 3_600.0
MAX_ROWS: Final = 10_000_000
ARROW_STREAM: Final = "application/vnd.apache.arrow.stream"


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Question(_Asked):
    method: str
    args: dict[str, Any] = Field(default_factory=dict)


class _Sql(_Asked):
    sql: str = Field(max_length=1_000_000)
    max_rows: int = Field(10_000, ge=1, le=MAX_ROWS)
    timeout_s: float = Field(30.0, gt=0, le=MAX_TIMEOUT_S)


class _Swap(_Asked):
    file: str = Field(pattern=r"^knowledge-\d+\.duckdb$")


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class QueryServer:
    """`POST /call` for named questions, `POST /sql` for anything that only reads, `POST /swap` for a rebuilt file.

    Who goes away before the answer has cancelled the query.

    Args:
        live: What is asked.
        progress: How far the projector is.
        swap: Puts a rebuilt file in place; returns what to tell. None: not here.
    """

    def __init__(
        self,
        live: LiveStore,
        progress: Callable[[], ProjectorState],
        swap: Callable[[str], dict[str, Any]] | None = None,
    ) -> None:
        self._live, self._progress, self._swap = live, progress, swap
        routes = [
            web.post("/call", _guarded(self._call)),
            web.post("/sql", _guarded(self._sql)),
            web.post("/swap", _guarded(self._put_in_place)),
            web.get("/positions", self._positions),
        ]
        self._server = LoopbackServer("queries", routes, max_bytes=2_000_000, cancels=True)

    def start(self) -> str:
        """Listen on a free port; returns the URL."""
        return self._server.start()

    def stop(self) -> None:
        """Stop listening; what is being asked is cancelled."""
        self._server.stop()

    async def _call(self, request: web.Request) -> web.StreamResponse:
        asked = _Question.model_validate_json(await request.text())
        answer = ANSWERS.get(asked.method)
        if answer is None:
            raise NotFound(f"no question named {asked.method[:60]}")

        def work() -> str:
            with self._live.lease() as store:
                return to_json(answer(store, **asked.args))

        return web.Response(text=await asyncio.to_thread(work), content_type="application/json")

    async def _sql(self, request: web.Request) -> web.StreamResponse:
        asked = _Sql.model_validate_json(await request.text())
        cancellation = Cancellation()

        def work() -> tuple[bytes, bool]:
            with self._live.lease() as store:
                limits = QueryLimits(asked.timeout_s, asked.max_rows)
                result = run_query(store, asked.sql, limits, cancellation)
                return arrow_bytes(result.table), result.truncated

        try:
            body, truncated = await asyncio.to_thread(work)
        except asyncio.CancelledError:
            cancellation.cancel()
            raise
        return web.Response(
            body=body, content_type=ARROW_STREAM, headers={"X-Truncated": str(int(truncated))}
        )

    async def _put_in_place(self, request: web.Request) -> web.StreamResponse:
        asked = _Swap.model_validate_json(await request.text())
        if self._swap is None:
            raise Refused("nothing can be put in place here")
        return web.json_response(await asyncio.to_thread(self._swap, asked.file))

    async def _positions(self, _request: web.Request) -> web.Response:
        progress = self._progress()
        places = {f"{topic}/{partition}": at for (topic, partition), at in dict(progress.positions).items()}
        return web.json_response({"positions": places, "caught_up": progress.caught_up})


def _guarded(handle: Handler) -> Handler:
    """A handler that refuses what no client of ours sends, and tells every refusal as JSON."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        if (
            request.content_type != "application/json"
        ):  # what a page in somebody's browser cannot send unasked
            return _refusal(Refused("send application/json"), 415)
        try:
            return await handle(request)
        except OctologError as error:
            return _refusal(error)
        except (ValidationError, ValueError, KeyError, TypeError) as error:
            return _refusal(Refused(f"no such question: {' '.join(str(error).split())[:200]}"))

    return guarded


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


def _refusal(error: OctologError, status: int = 400) -> web.Response:
    told = {"error": type(error).__name__, "message": str(error)}
    return web.json_response(told, status=status)
