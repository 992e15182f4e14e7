"""A bridge to a service, and attempts for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from arms.arm import Answer
from arms.bridge import BridgeSettings
from arms.bridge.service import Service as Bridged
from arms.bridge.service import describe
from arms.bridge.transport import Transport
from arms.handler import Handler
from arms.work import Work
from octolog.domain.values import RetryPolicy
from tests.unit.arms.doubles import RecordingMeter, assignment

AT_ONCE = RetryPolicy(base_ms=0, cap_ms=0)


class Bridge:
    """A service behind the bridge, without a host.

    Attributes:
        meter: What its handlers reported.
        notes: What its attempts said of their progress.
    """

    def __init__(self, url: str, **settings: Any) -> None:
        self.settings = BridgeSettings(url, **{"retry": AT_ONCE, **settings})
        self.meter, self.notes = RecordingMeter(), list[str]()
        self.bridged: Bridged | None = None

    def work(self, limit_s: float | None = 30.0, **fields: Any) -> Work:
        given = assignment(**{"context": {"text": "to be"}, **fields})
        clock = asyncio.get_running_loop().time
        deadline_s = None if limit_s is None else clock() + limit_s
        handler = Handler(given, self.meter, deadline_s=deadline_s, clock=clock)
        return Work(given, handler, on_note=self.notes.append)

    async def open(self) -> Bridged:
        if self.bridged is None:
            transport = Transport(self.settings)
            try:
                self.bridged = Bridged(await describe(transport, self.settings), self.settings)
            finally:
                await transport.close()
        return self.bridged

    def run(self, script: Callable[[Bridged], Any]) -> Any:
        async def play() -> Any:
            bridged = await self.open()
            try:
                return await script(bridged)
            finally:
                await bridged.stop()

        return asyncio.run(play())

    def ask(self, limit_s: float | None = 30.0, **fields: Any) -> Answer:
        async def one(bridged: Bridged) -> Answer:
            return await bridged.forward(self.work(limit_s, **fields))

        answer = self.run(one)
        assert isinstance(answer, Answer)
        return answer


@pytest.fixture
def bridge() -> type[Bridge]:
    return Bridge
