"""HTTP services to test against: the example that comes with octolog, and ways in which others go wrong."""

from __future__ import annotations

import importlib.util
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, cast

EXAMPLE: Final = Path(__file__).parents[3] / "examples" / "http_arm" / "service.py"


def _example() -> Any:
    spec = importlib.util.spec_from_file_location("http_arm_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


example: Final = _example()
Answer = tuple[int, Any]
Behaviour = Callable[[Any, dict[str, Any]], Answer | None]
"""Takes the handler and the request; gives status and document, or None once it has answered itself."""


class Service:
    """A service with the example's protocol and a behaviour of its own.

    Attributes:
        asked: Requests to `/execute`, in order.
        keys: Their idempotency keys.
        headers: The headers of the last request.
        cancelled: Ids that `/cancel` was called with.
        release: Holds back those behaviours that wait for it.
    """

    def __init__(self, execute: Behaviour | None = None, **more: Any) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.headers: dict[str, str] = {}
        self.cancelled: list[str] = []
        self.cancel_came, self.release = threading.Event(), threading.Event()
        self.health: Answer = (200, {"status": "healthy"})
        service, behaviour = self, execute
        description = {**example.DESCRIPTION, **more.pop("description", {})}

        class Handler(example.Handler):  # type: ignore[misc, name-defined]
            attempts = example.Attempts()

            def do_GET(self) -> None:  # noqa: N802 -- the server's name
                if self.path == "/health":
                    self.answer(*service.health)
                elif "arm" in more and self.path == "/arm":
                    self.answer(*more["arm"])
                else:
                    super().do_GET()

            def do_POST(self) -> None:  # noqa: N802 -- the server's name
                service.headers = dict(self.headers.items())
                if self.path == "/cancel" and "cancel" not in more:
                    request = self.body()
                    service.cancelled.append(str(request.get("attempt_id")))
                    self.attempts.cancel(str(request.get("attempt_id")))
                    service.cancel_came.set()
                    self.answer(202, {})
                    return
                if self.path == "/cancel":
                    self.body()
                    self.answer(*more["cancel"])
                    return
                super().do_POST()

            def execute(self, request: dict[str, Any]) -> Any:
                service.asked.append(request)
                service.keys.append(self.headers.get("idempotency-key"))
                if behaviour is None:
                    return super().execute(request)
                found = behaviour(self, request)
                if found is None:
                    raise _Answered
                status, document = found
                self.answer(status, document)
                raise _Answered

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except _Answered:
                    self.wfile.flush()
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

        Handler.description = description
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), cast("Any", Handler))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


class _Answered(Exception):
    """The behaviour answered."""


@contextmanager
def serving(execute: Behaviour | None = None, **more: Any) -> Iterator[Service]:
    """A service for the length of a block."""
    service = Service(execute, **more)
    try:
        yield service
    finally:
        service.close()


def success(request: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A result of the protocol."""
    return {
        "attempt_id": request["attempt_id"],
        "status": "success",
        "output": {"words": 1, "top": []},
        "confidence": 0.5,
        **fields,
    }


def error(code: str, message: str = "said by the service", **fields: Any) -> dict[str, Any]:
    """An error document of the protocol."""
    return {"error": {"code": code, "message": message, **fields}}


def raw(handler: Any, body: bytes, *, media_type: str = "application/json", status: int = 200) -> None:
    """Answer with bytes as they are."""
    handler.send_response(status)
    handler.send_header("content-type", media_type)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def drop(handler: Any) -> None:
    """Close the connection without an answer."""
    handler.close_connection = True
    handler.connection.shutdown(2)


def as_json(value: Any) -> bytes:
    """JSON bytes."""
    return json.dumps(value).encode()
