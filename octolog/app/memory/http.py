"""Semantic memory and episodes of a node over HTTP on the loopback: which question is whose, and errors by name."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web
from pydantic import ValidationError

from octolog.app.loopback import LoopbackServer
from octolog.domain.errors import OctologError, Refused

if TYPE_CHECKING:
    from octolog.app.memory.service import MemoryService


def memory_server(service: MemoryService) -> LoopbackServer:
    """What answers for the memory process; every answer is JSON."""
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
            kind, message = known(type(error)), str(error)
        except (ValidationError, ValueError, KeyError, TypeError) as error:
            kind, message = "Refused", f"no such question: {' '.join(str(error).split())[:200]}"
        return web.json_response({"error": kind, "message": message}, status=400)

    return handle


async def _asked(request: web.Request) -> Any:
    if request.content_type != "application/json":  # what a page in somebody's browser cannot send unasked
        raise Refused("send application/json")
    return await request.json()


def known(kind: type[OctologError]) -> str:
    """The name of an error, or of the nearest above it that every client knows."""
    return next(one.__name__ for one in kind.__mro__ if one.__module__ == OctologError.__module__)
