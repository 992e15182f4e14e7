"""A model's endpoint that answers from a script: the same requests get the same answers, over a real socket.

It speaks the OpenAI protocol as servers do: whole answers, answers in pieces, tool calls, refusals. It keeps what it
was asked, and notices when the other side hangs up. It runs in a thread, with a loop of its own.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

__all__ = ["Asked", "Says", "Script", "Server", "serving"]

PROMPT_TOKENS: Final = 40


@dataclass(frozen=True, slots=True)
class Says:
    """One answer.

    Attributes:
        text: What is written; each word is one token, and one piece of a stream.
        calls: Tools asked for: id, name, arguments as JSON.
        status: Other than 200: an error with `text` as its message and `code` as its code.
        code: See there.
        finish: Why it ended; empty: `tool_calls` where there are some, else `stop`.
        prompt_tokens: Counted for the prompt; None: nothing is counted.
        endless: Pieces come until the other side hangs up.
    """

    text: str = ""
    calls: tuple[tuple[str, str, str], ...] = ()
    status: int = 200
    code: str = ""
    finish: str = ""
    prompt_tokens: int | None = PROMPT_TOKENS
    endless: bool = False

    @property
    def completion_tokens(self) -> int:
        """Words, and one for each call."""
        return len(self.text.split()) + len(self.calls)

    @property
    def usage(self) -> dict[str, int] | None:
        """As the protocol writes it."""
        if self.prompt_tokens is None:
            return None
        used = self.completion_tokens
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": used,
            "total_tokens": self.prompt_tokens + used,
        }


@dataclass(frozen=True, slots=True)
class Asked:
    """One request.

    Attributes:
        body: As it came.
    """

    body: dict[str, Any]

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation."""
        found: list[dict[str, Any]] = self.body["messages"]
        return found

    @property
    def system(self) -> str:
        """The system prompt."""
        return "\n".join(m["content"] for m in self.messages if m["role"] in {"developer", "system"})

    @property
    def prompt(self) -> str:
        """What the user said, all of it."""
        return "\n".join(m["content"] for m in self.messages if m["role"] == "user")

    @property
    def tools(self) -> list[str]:
        """Names of the tools offered."""
        return [tool["function"]["name"] for tool in self.body.get("tools", ())]


Script = Callable[[Asked], Says]


@dataclass(slots=True)
class Server:
    """The endpoint.

    Attributes:
        script: What it says.
        url: Where it is.
        asked: What it was asked, in order.
        hung_up: Set when somebody left in the middle of an answer.
    """

    script: Script
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    hung_up: threading.Event = field(default_factory=threading.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        asked = Asked(await request.json())
        self.asked.append(asked)
        says = self.script(asked)
        if says.status != 200:
            error = {"message": says.text, "code": says.code, "type": says.code}
            return web.json_response({"error": error}, status=says.status)
        model = asked.body["model"]
        if asked.body.get("stream"):
            return await self._stream(request, says, model)
        return web.json_response(_whole(says, model))

    async def _stream(self, request: web.Request, says: Says, model: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        try:
            for piece in _pieces(says):
                await response.write(f"data: {json.dumps(_chunk(model, [piece]))}\n\n".encode())
            if says.usage is not None:
                last = _chunk(model, []) | {"usage": says.usage}
                await response.write(f"data: {json.dumps(last)}\n\n".encode())
            await response.write(b"data: [DONE]\n\n")
        except ConnectionError:
            self.hung_up.set()
            raise
        return response


def _whole(says: Says, model: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": says.text or None}
    if says.calls:
        message["tool_calls"] = [_tool_call(*call) for call in says.calls]
    choice = {"index": 0, "message": message, "finish_reason": _finish(says)}
    whole = {"id": "c", "object": "chat.completion", "created": 1, "model": model, "choices": [choice]}
    return whole if says.usage is None else whole | {"usage": says.usage}


def _pieces(says: Says) -> Iterator[dict[str, Any]]:
    words = says.text.split(" ") if says.text else []
    for number, word in enumerate(words):
        yield _piece({"role": "assistant", "content": word if number == 0 else f" {word}"})
    while says.endless:
        yield _piece({"content": " more"})
    for number, call in enumerate(says.calls):
        yield _piece({"role": "assistant", "tool_calls": [{"index": number, **_tool_call(*call)}]})
    yield _piece({}, _finish(says))


def _piece(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish}


def _chunk(model: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": choices}


def _tool_call(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _finish(says: Says) -> str:
    return says.finish or ("tool_calls" if says.calls else "stop")


@contextmanager
def serving(script: Script) -> Iterator[Server]:
    """Run a server while the block runs."""
    server, ready, loop = Server(script), Future[int](), asyncio.new_event_loop()
    ended = asyncio.Event()

    async def serve() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", server.answer)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            ready.set_result(runner.addresses[0][1])
            await ended.wait()
        finally:
            await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{ready.result(60)}/v1"
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(60)
        loop.close()
