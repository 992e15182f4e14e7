"""Asking a server of this machine over HTTP, by the standard library.

A command that asks the node one question would spend more time on loading an HTTP client with all it can do than on
the question: httpx imports its own command line, too. On the loopback there are no proxies, redirects or TLS to get
right. Each question has a connection of its own; who stops waiting closes it, and so cancels what was asked.
"""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from octolog.domain.errors import StoreUnavailable


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered.

    Attributes:
        status: HTTP status.
        content: The body.
        headers: By lowercase name.
    """

    status: int
    content: bytes
    headers: dict[str, str]

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ValueError: It is none.
        """
        return json.loads(self.content)


class LoopbackClient:
    """Asks one server.

    Args:
        url: Where it listens, `http://127.0.0.1:PORT`.
        who: What it is, for the message where it does not answer.
    """

    def __init__(self, url: str, who: str) -> None:
        self._place = urlsplit(url).netloc
        self._who = who

    def ask(self, method: str, path: str, body: object = None, *, timeout_s: float) -> Reply:
        """One request with a JSON body, and the answer.

        Args:
            method: GET or POST.
            path: What to ask.
            body: Sent as JSON; None: nothing is sent.
            timeout_s: Longest silence, seconds.

        Raises:
            StoreUnavailable: The server does not answer.
        """
        data = None if body is None else json.dumps(body).encode()
        headers = {"Connection": "close"} | ({} if data is None else {"Content-Type": "application/json"})
        try:
            with closing(HTTPConnection(self._place, timeout=timeout_s)) as connection:
                connection.request(method, path, data, headers)
                answer = connection.getresponse()
                told = {name.lower(): value for name, value in answer.getheaders()}
                return Reply(answer.status, answer.read(), told)
        except (OSError, HTTPException) as error:
            told_as = str(error) or type(error).__name__
            raise StoreUnavailable(f"{self._who} does not answer: {told_as}; see `octolog status`") from error
