"""The example that asks for a subtask, a person and a plan, as a service to test against."""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from typing import Any, Final, cast

from tests.unit.bridge.services import EXAMPLE, example


def _example() -> Any:
    spec = importlib.util.spec_from_file_location("http_notice_example", EXAMPLE.with_name("notice.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["service"] = example  # what a script beside it finds
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules["service"]
    return module


notices: Final = _example()


@contextmanager
def noticing(**description: Any) -> Iterator[str]:
    """The example for the length of a block; gives its URL."""

    class Handler(notices.NoticeHandler):  # type: ignore[misc, name-defined]
        attempts = example.Attempts()

    Handler.description = {**notices.DESCRIPTION, **description}
    server = ThreadingHTTPServer(("127.0.0.1", 0), cast("Any", Handler))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
