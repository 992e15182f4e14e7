"""One HTTP request to a host that the policy names. Its address is looked at first, and used as it was then."""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

import httpx

from arms.arm import Retry
from arms.executor.policy import ExecutorPolicy, Forbidden

__all__ = ["METHODS", "Request", "Response", "check_request", "send"]

METHODS: Final = ("GET", "POST")
MAX_BODY_CHARS: Final = 100_000
MAX_URL_CHARS: Final = 2_000
_PORTS: Final = {"http": 80, "https": 443}
# Headers that a task may set; the others say who asks and how the bytes travel.
_HEADERS: Final = frozenset(
    {"accept", "accept-language", "content-type", "if-none-match", "if-modified-since"}
)
_SHOWN: Final = ("content-type", "content-length", "etag", "last-modified", "location")


@dataclass(frozen=True, slots=True)
class Request:
    """A request that may be made.

    Attributes:
        method: GET or POST.
        url: As asked for.
        host: The host named in it.
        port: The port named in it, or its scheme's.
        private: The policy names this very address, so that one inside the house may be asked.
        headers: Set by the task.
        body: Sent with a POST.
    """

    method: str
    url: str
    host: str
    port: int
    private: bool
    headers: tuple[tuple[str, str], ...]
    body: str


@dataclass(frozen=True, slots=True)
class Response:
    """What came back.

    Attributes:
        status: HTTP status.
        headers: Some of the response's headers.
        body: Its beginning.
        truncated: There was more.
        duration_ms: From the connection to the last byte read, milliseconds.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool
    duration_ms: int


def check_request(
    policy: ExecutorPolicy, method: object, url: object, headers: object, body: object
) -> Request:
    """Check one request.

    Raises:
        Forbidden: Saying what is not allowed, and what is.
    """
    if method not in METHODS:
        raise Forbidden(
            f"method {str(method)[:20]!r} is not allowed; allowed: GET, POST", "METHOD_NOT_ALLOWED"
        )
    if (
        not isinstance(url, str)
        or len(url) > MAX_URL_CHARS
        or not url.isprintable()
        or "\\" in url
        or " " in url
    ):
        raise Forbidden(
            f"a URL is a text of at most {MAX_URL_CHARS} characters without blanks", "INVALID_INPUT"
        )
    parts, host, port = _parts(url)
    named = _named(policy, parts.scheme, host, port)
    if not named:
        allowed = ", ".join(policy.hosts) or "none"
        raise Forbidden(f"host {host}:{port} is not allowed; allowed: {allowed}", "HOST_NOT_ALLOWED")
    if not isinstance(body, str) or len(body) > MAX_BODY_CHARS or (body and method != "POST"):
        raise Forbidden(
            f"a body is a text of at most {MAX_BODY_CHARS} characters, of a POST", "INVALID_INPUT"
        )
    private = host == "localhost" or _is_address(host)
    return Request(str(method), url, host, port, private, _headers(headers), body)


def send(request: Request, *, timeout_s: float, most_bytes: int) -> Response:
    """Make the request; redirects are told, not followed, and no proxy or login of this machine is used.

    Raises:
        Forbidden: The name leads to an address inside the house.
        Retry: The host does not answer.
    """
    started = time.monotonic()
    deadline = started + timeout_s
    address = _address(request)
    parts = urlsplit(request.url)
    shown = f"[{address}]" if ":" in address else address
    pinned = parts._replace(netloc=f"{shown}:{request.port}").geturl()
    headers = {"host": parts.netloc, "user-agent": "octolog", **dict(request.headers)}
    body = bytearray()
    truncated = False
    try:
        with (
            httpx.Client(timeout=timeout_s, trust_env=False, follow_redirects=False) as client,
            client.stream(
                request.method,
                pinned,
                headers=headers,
                content=request.body.encode() or None,
                extensions={"sni_hostname": request.host},
            ) as answer,
        ):
            for chunk in answer.iter_bytes():
                room = most_bytes - len(body)
                body += chunk[:room]
                truncated = len(chunk) > room
                if truncated:
                    break
                if time.monotonic() > deadline:
                    raise Retry(
                        f"{request.host} had not answered in full after {timeout_s:g} s", "EXECUTION_TIMEOUT"
                    )
    except httpx.TimeoutException as error:
        raise Retry(f"{request.host} did not answer within {timeout_s:g} s", "EXECUTION_TIMEOUT") from error
    except httpx.HTTPError as error:
        raise Retry(f"{request.host}: {error}", "EXTERNAL") from error
    kept = {name: answer.headers[name] for name in _SHOWN if name in answer.headers}
    return Response(
        answer.status_code, kept, bytes(body), truncated, round((time.monotonic() - started) * 1_000)
    )


def _parts(url: str) -> tuple[SplitResult, str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise Forbidden(f"{url[:100]!r} is no URL: {error}", "INVALID_INPUT") from error
    if parts.scheme not in _PORTS or not host or parts.username is not None or parts.password is not None:
        raise Forbidden("a URL is http or https, names a host, and carries no login", "INVALID_INPUT")
    return parts, host.rstrip("."), port or _PORTS[parts.scheme]


def _named(policy: ExecutorPolicy, scheme: str, host: str, port: int) -> bool:
    usual = host if port == _PORTS[scheme] else None
    bracketed = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return any(entry.lower() in {usual, bracketed} for entry in policy.hosts)


def _headers(headers: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(headers, Mapping):
        raise Forbidden("`headers` is an object of texts", "INVALID_INPUT")
    for name, value in headers.items():
        if str(name).lower() not in _HEADERS:
            allowed = ", ".join(sorted(_HEADERS))
            raise Forbidden(
                f"header {str(name)[:40]!r} is not allowed; allowed: {allowed}", "ARGUMENT_NOT_ALLOWED"
            )
        if not isinstance(value, str) or not value.isprintable() or not value.isascii():
            raise Forbidden(f"header {name} has a value that is no plain text", "INVALID_INPUT")
    return tuple((str(name).lower(), value) for name, value in headers.items())


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _address(request: Request) -> str:
    """The first address of the host; a name that leads inside the house is refused, whoever made it do so."""
    try:
        found = socket.getaddrinfo(request.host, request.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Retry(f"{request.host} is not known: {error}", "EXTERNAL") from error
    address = str(found[0][4][0])
    if not request.private and not ipaddress.ip_address(address.partition("%")[0]).is_global:
        raise Forbidden(f"{request.host} leads to {address}, an address inside the house", "HOST_NOT_ALLOWED")
    return address
