"""HTTP on the loopback, served by a thread of its own beside the work of a process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from typing import Final

from aiohttp import web

_HOST: Final = "127.0.0.1"
_START_S: Final = 10.0
_JOIN_S: Final = 3.0


class LoopbackServer:
    """An HTTP server on a free port of 127.0.0.1.

    Args:
        name: Of its thread.
        routes: What it answers.
        max_bytes: Longest request.
        cancels: A handler is cancelled when its client goes away.
    """

    def __init__(
        self, name: str, routes: Iterable[web.RouteDef], *, max_bytes: int, cancels: bool = False
    ) -> None:
        self._routes, self._max_bytes, self._cancels = list(routes), max_bytes, cancels
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._runner: web.AppRunner | None = None
        self._port = 0
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

    def start(self) -> str:
        """Listen; returns the URL.

        Raises:
            TimeoutError: When the thread has not opened its port in time.
        """
        self._thread.start()
        if not self._ready.wait(_START_S):
            raise TimeoutError(f"nothing listens on {_HOST} after {_START_S:.0f} s")
        return f"http://{_HOST}:{self._port}"

    def stop(self) -> None:
        """Stop listening; what is being asked is cancelled."""
        if self._runner is not None and self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(_START_S)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_JOIN_S)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        self._ready.set()
        self._loop.run_forever()
        self._loop.close()

    async def _listen(self) -> None:
        app = web.Application(client_max_size=self._max_bytes)
        app.add_routes(self._routes)
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=self._cancels, shutdown_timeout=_JOIN_S
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, _HOST, 0).start()
        self._port = self._runner.addresses[0][1]
