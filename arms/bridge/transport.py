"""One request to a service: bounded in time and size, JSON only, never redirected; what goes wrong is told apart."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

import httpx
import orjson

from arms.bridge.protocol import BadAnswer
from arms.bridge.settings import BridgeSettings, shown_url
from octolog.domain.errors import OctologError, Unavailable

__all__ = ["NoReply", "Reply", "Transport"]

_IDLE_CONNECTIONS: Final = 20
_USER_AGENT: Final = "octolog-bridge/1"


class NoReply(Unavailable):
    """The request got no whole answer: not connected, broken off, or too late."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a service answered.

    Attributes:
        status: HTTP status.
        body: Its bytes, at most as many as are allowed.
        media_type: Its content type without parameters, lowercase.
        retry_after_s: What its Retry-After says, seconds; None: nothing.
        took_s: From the request to the last byte, seconds.
    """

    status: int
    body: bytes
    media_type: str
    retry_after_s: float | None
    took_s: float

    def json(self) -> Any:
        """The body, parsed.

        Raises:
            BadAnswer: It is no JSON, by its type or by its content.
        """
        if self.media_type != "application/json" and not self.media_type.endswith("+json"):
            raise BadAnswer(f"the answer is {self.media_type or 'of no type'}; it must be application/json")
        try:
            return orjson.loads(self.body)
        except ValueError:
            raise BadAnswer("the answer says it is application/json, but it is no JSON") from None


class Transport:
    """Talks to one service.

    Args:
        settings: Where it is, and the bounds.
        concurrency: Requests at once.
    """

    def __init__(self, settings: BridgeSettings, concurrency: int = 10) -> None:
        self._settings = settings
        self._limits = httpx.Limits(
            max_connections=concurrency + 2,  # besides the work: health and cancellation
            max_keepalive_connections=min(concurrency, _IDLE_CONNECTIONS),
        )
        self._client: httpx.AsyncClient | None = None

    async def open(self) -> None:
        """Make ready; reading certificates takes so long that it must not be done between requests."""
        await asyncio.to_thread(self._open)

    async def get(self, path: str, timeout_s: float) -> Reply:
        """GET a path; see `send`."""
        return await self.send("GET", path, timeout_s=timeout_s)

    async def post(
        self, path: str, document: Any, timeout_s: float, headers: dict[str, str] | None = None
    ) -> Reply:
        """POST JSON to a path; see `send`."""
        return await self.send("POST", path, orjson.dumps(document), timeout_s=timeout_s, headers=headers)

    async def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        timeout_s: float,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """Make one request.

        Raises:
            NoReply: No whole answer came.
            BadAnswer: The answer is too long, or a redirect.
        """
        asked = self._open().build_request(
            method,
            f"{self._settings.base}{path}",
            content=body,
            headers={**({"content-type": "application/json"} if body is not None else {}), **(headers or {})},
            timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, self._settings.connect_timeout_s)),
        )
        try:
            return await self._exchange(asked)
        except httpx.TimeoutException:
            raise NoReply(f"{method} {path}: no answer within {timeout_s:.1f} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            what = str(error).partition("\n")[0][:200]
            raise NoReply(f"{method} {path}: {type(error).__name__}: {what}") from None

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = _client(self._settings, self._limits)
        return self._client

    async def _exchange(self, asked: httpx.Request) -> Reply:
        answer = await self._open().send(asked, stream=True)
        try:
            if answer.is_redirect:
                to = shown_url(answer.headers.get("location", ""))
                raise BadAnswer(f"{asked.method} {asked.url.path} is redirected to {to}; give that URL")
            body = await self._bounded(answer, asked)
        finally:
            await answer.aclose()
        media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        return Reply(
            answer.status_code,
            body,
            media_type,
            _seconds(answer.headers.get("retry-after")),
            answer.elapsed.total_seconds(),
        )

    async def _bounded(self, answer: httpx.Response, asked: httpx.Request) -> bytes:
        most = self._settings.max_response_bytes
        body = bytearray()
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > most:
                raise BadAnswer(f"{asked.method} {asked.url.path}: the answer has more than {most} bytes")
        return bytes(body)


def _client(settings: BridgeSettings, limits: httpx.Limits) -> httpx.AsyncClient:
    # No compression: an answer's length is then what was sent, and nobody can send a bomb.
    headers = {"accept": "application/json", "accept-encoding": "identity", "user-agent": _USER_AGENT}
    try:
        return httpx.AsyncClient(
            headers={**headers, **settings.headers},
            limits=limits,
            follow_redirects=False,
            verify=_trusted(settings),
        )
    except (OSError, ValueError) as error:
        raise OctologError(f"{shown_url(settings.url)}: the connection cannot be set up: {error}") from None


def _trusted(settings: BridgeSettings) -> Any:
    if settings.url.startswith("http://"):
        return (
            False  # redirects are not followed, so no certificate is ever looked at; reading them takes long
        )
    if not settings.verify:
        return True
    import ssl

    return ssl.create_default_context(cafile=settings.verify)


def _seconds(text: str | None) -> float | None:
    """Retry-After in seconds; a date is not followed."""
    return float(text) if text is not None and text.isdecimal() else None
