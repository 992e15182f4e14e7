"""How a service is: `GET /health`, and its breaker. Bounds by seed A's documents."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Final

import orjson

from arms.bridge.breaker import Breaker, BreakerState
from arms.bridge.settings import BridgeSettings
from arms.bridge.transport import Transport
from octolog.domain.arm import Health
from octolog.domain.errors import OctologError

__all__ = ["HealthWatch", "probe"]

SLOW_S: Final = 3.0
_LOOK_S: Final = 0.2
_SAID: Final = {"degraded": Health.DEGRADED, "unavailable": Health.UNAVAILABLE}


async def probe(transport: Transport, timeout_s: float) -> tuple[Health, str]:
    """Ask for the health: 200 within 3 s is healthy, later or otherwise degraded, no answer unavailable."""
    began = monotonic()
    try:
        reply = await transport.get("/health", timeout_s)
    except OctologError as error:
        return Health.UNAVAILABLE, str(error)
    took_s = monotonic() - began
    if reply.status != 200:  # noqa: PLR2004 -- OK
        return Health.DEGRADED, f"GET /health answers {reply.status}"
    if took_s >= SLOW_S:
        return Health.DEGRADED, f"GET /health took {took_s:.1f} s"
    with suppress(ValueError, AttributeError):
        said = str(orjson.loads(reply.body).get("status", "")).lower()
        if said in _SAID:
            return _SAID[said], f"GET /health says {said}"
    return Health.HEALTHY, f"GET /health took {took_s * 1000:.0f} ms"


class HealthWatch:
    """Looks at a service again and again, and tells of every change once.

    Args:
        transport: The way to it.
        breaker: Open: the service is unavailable, whatever its health says.
        settings: How often, and how long at most.
    """

    def __init__(self, transport: Transport, breaker: Breaker, settings: BridgeSettings) -> None:
        self.health, self.reason = Health.HEALTHY, ""
        self._transport, self._breaker, self._settings = transport, breaker, settings

    async def look(self) -> tuple[Health, str]:
        """How it is now."""
        if self._breaker.state is BreakerState.OPEN:
            return Health.UNAVAILABLE, f"the bridge's breaker is open: {self._breaker.reason}"
        return await probe(self._transport, self._settings.health_timeout_s)

    async def run(self, changed: Callable[[Health, Health, str], None]) -> None:
        """Watch until cancelled; `changed` is told the new health, the one before, and why."""
        while True:
            state = self._breaker.state
            health, reason = await self.look()
            self.reason = reason
            if health is not self.health:
                before, self.health = self.health, health
                changed(health, before, reason)
            until_s = monotonic() + self._settings.health_interval_s
            # A breaker that opens, or lets probes through, is told of at once.
            while monotonic() < until_s and self._breaker.state is state:  # noqa: ASYNC110 -- its time runs too
                await asyncio.sleep(min(_LOOK_S, self._settings.health_interval_s))
