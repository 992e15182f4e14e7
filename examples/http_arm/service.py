"""An arm as an HTTP service, with nothing but Python's standard library: it counts the words of a text.

    python examples/http_arm/service.py 8000
    octolog arms check http://127.0.0.1:8000
    octolog arms bridge http://127.0.0.1:8000

The protocol is told in docs/reference/http-arm.md; any language and any web framework will do as well.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections import Counter, OrderedDict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_KEPT = 1_000

DESCRIPTION = {
    "arm_id": "http-word-counter",
    "name": "Word counter",
    "description": "Counts the words of a text.",
    "version": "1.0.0",
    "capabilities": ["word_count"],
    "cost_tier": 1,
    "timeout_seconds": 10,
    "max_concurrent_tasks": 4,
    "input_schema": {
        "type": "object",
        "properties": {"text": {"type": "string"}, "top": {"type": "integer", "minimum": 1}},
        "required": ["text"],
    },
    "output_schema": {
        "type": "object",
        "properties": {"words": {"type": "integer"}, "top": {"type": "array"}},
        "required": ["words", "top"],
    },
    "samples": [{"goal": "Count the words", "context": {"text": "to be or not to be", "top": 2}}],
}


class Refusal(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.status = status
        category = "validation" if status < 500 else "internal"
        self.document = {
            "error": {"code": code, "category": category, "message": message, "retryable": retryable}
        }


class Attempts:
    """Results by attempt id, so that the same attempt is done once, whoever asks and how often."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._running: set[str] = set()
        self._cancelled: set[str] = set()

    def begin(self, attempt_id: str) -> dict[str, Any] | None:
        """The result if there is one; else the attempt is this caller's to do."""
        with self._lock:
            if attempt_id in self._done:
                return self._done[attempt_id]
            if attempt_id in self._running:
                raise Refusal(409, "ATTEMPT_RUNNING", "this attempt is being worked on", retryable=True)
            self._running.add(attempt_id)
            self._cancelled.discard(attempt_id)
            return None

    def end(self, attempt_id: str, result: dict[str, Any] | None) -> None:
        """Keep a result; None: there is none."""
        with self._lock:
            self._running.discard(attempt_id)
            if result is not None:
                self._done[attempt_id] = result
                while len(self._done) > MAX_KEPT:
                    self._done.popitem(last=False)

    def cancel(self, attempt_id: str) -> None:
        """Stop an attempt; one that nobody knows is no error."""
        with self._lock:
            if attempt_id in self._running:
                self._cancelled.add(attempt_id)

    def is_cancelled(self, attempt_id: str) -> bool:
        """Long work looks here now and then."""
        return attempt_id in self._cancelled


def count(context: dict[str, Any]) -> dict[str, Any]:
    """The work itself."""
    text, top = context.get("text"), context.get("top", 3)
    if not isinstance(text, str):
        raise Refusal(400, "INVALID_INPUT", "context.text must be a text")
    words = re.findall(r"\w+", text.lower())
    return {"words": len(words), "top": [list(pair) for pair in Counter(words).most_common(top)]}


class Handler(BaseHTTPRequestHandler):
    """The four paths of the protocol."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one write for headers and body
    description: ClassVar[dict[str, Any]] = DESCRIPTION
    attempts: ClassVar[Attempts] = Attempts()

    def do_GET(self) -> None:
        """`/arm` and `/health`."""
        if self.path == "/arm":
            self.answer(200, self.description)
        elif self.path == "/health":
            self.answer(200, {"status": "healthy"})
        else:
            self.answer(404, Refusal(404, "NOT_FOUND", "there is /arm and /health").document)

    def do_POST(self) -> None:
        """`/execute` and `/cancel`."""
        try:
            request = self.body()
            if self.path == "/execute":
                self.answer(200, self.execute(request))
            elif self.path == "/cancel":
                self.attempts.cancel(str(request.get("attempt_id")))
                self.answer(202, {})
            else:
                raise Refusal(404, "NOT_FOUND", "there is /execute and /cancel")
        except Refusal as refusal:
            self.answer(refusal.status, refusal.document)

    def body(self) -> dict[str, Any]:
        """The request's JSON."""
        length = int(self.headers.get("content-length") or 0)
        if length > MAX_BODY_BYTES:
            self.close_connection = True
            raise Refusal(413, "TOO_LARGE", f"at most {MAX_BODY_BYTES} bytes")
        try:
            document = json.loads(self.rfile.read(length))
        except ValueError:
            raise Refusal(400, "VALIDATION", "the body is no JSON") from None
        if not isinstance(document, dict):
            raise Refusal(400, "VALIDATION", "the body is no JSON object")
        return document

    def execute(self, request: dict[str, Any]) -> dict[str, Any]:
        """One attempt; fields that are not known are passed over."""
        attempt_id, contract = request.get("attempt_id"), request.get("contract")
        if not isinstance(attempt_id, str) or not isinstance(contract, dict):
            raise Refusal(400, "VALIDATION", "attempt_id and contract are needed")
        if not isinstance(contract.get("goal"), str):
            raise Refusal(400, "VALIDATION", "contract.goal is needed")
        known = self.attempts.begin(attempt_id)
        if known is not None:
            return known
        result = None
        try:
            result = {"attempt_id": attempt_id, "status": "success", **self.done(request)}
            return result
        finally:
            self.attempts.end(attempt_id, result)

    def done(self, request: dict[str, Any]) -> dict[str, Any]:
        """The work, and the rest of the result."""
        return {
            "output": count(request["contract"].get("context") or {}),
            "confidence": 1.0,
            "provenance": {"data_sources": ["context.text"], "tests_passed": []},
        }

    def answer(self, status: int, document: dict[str, Any]) -> None:
        """Send JSON."""
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing: requests hold people's texts."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
