"""A service as an `Arm`: what a host takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from arms.arm import Arm
from arms.bridge.breaker import Breaker
from arms.bridge.description import Description
from arms.bridge.forward import Forwarder
from arms.bridge.health import HealthWatch
from arms.bridge.settings import BridgeSettings, shown_url
from arms.bridge.transport import Transport
from octolog.domain.arm import Health
from octolog.domain.errors import InvalidContract, NotFound, Unavailable

__all__ = ["Service", "bridged", "describe", "fetch_description"]


class Service:
    """What runs beside a bridged arm while it is hosted: the watch over its health, and its connections.

    Args:
        description: What the service says of itself.
        settings: The bounds.
    """

    def __init__(self, description: Description, settings: BridgeSettings) -> None:
        self._settings = settings
        self._transport = Transport(settings, description.capability.max_concurrent_tasks)
        self.breaker = Breaker(settings.breaker_failures, settings.breaker_reset_s, settings.breaker_probes)
        self.forward = Forwarder(description, settings, self._transport, self.breaker)
        self.watch = HealthWatch(self._transport, self.breaker, settings)
        self._task: asyncio.Task[None] | None = None
        self._told = Health.HEALTHY

    @property
    def alive(self) -> bool:
        """False while the service is known to be away: no heartbeat shall speak for it."""
        return self._told is not Health.UNAVAILABLE

    async def start(self, changed: Callable[[Health, Health, str], None]) -> None:
        """Begin to watch."""

        def tell(health: Health, _: Health, reason: str) -> None:
            # A slow service is used like any other, and heartbeats would call it healthy again at once.
            now = Health.UNAVAILABLE if health is Health.UNAVAILABLE else Health.HEALTHY
            if now is not self._told and not self._settings.probed:
                before, self._told = self._told, now
                changed(now, before, reason)

        await self._transport.open()
        self._task = asyncio.get_running_loop().create_task(self.watch.run(tell))

    async def stop(self) -> None:
        """End the watch, tell what is to be told, and close the connections."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self.forward.settle()
        await self._transport.close()

    def status(self) -> Mapping[str, Any]:
        """For the host's health view."""
        return {
            "url": shown_url(self._settings.url),
            "health": self.watch.health,
            "reason": self.watch.reason,
            "breaker": self.breaker.state,
            **asdict(self.forward.counts),
        }


def bridged(description: Description, settings: BridgeSettings) -> Arm:
    """The arm that hands its attempts to a service.

    Raises:
        InvalidContract: One of its schemas is none.
    """
    service = Service(description, settings)
    capability = description.capability
    return Arm(
        capability,
        service.forward,
        f"POST {capability.endpoint}",
        is_async=True,
        companion=service,
    )


async def describe(transport: Transport, settings: BridgeSettings) -> Description:
    """Ask a service what it can do.

    Raises:
        Unavailable: It does not answer.
        NotFound: It has no `GET /arm`.
        InvalidContract: What it says is no description.
    """
    reply = await transport.get("/arm", settings.health_timeout_s)
    if reply.status != 200:  # noqa: PLR2004 -- OK
        what = f"{shown_url(settings.url)}/arm answers {reply.status}"
        if reply.status >= 500:  # noqa: PLR2004 -- the server's own faults
            raise Unavailable(f"{what}; see the service's log")
        raise NotFound(f"{what}; a service tells there what it can do (docs/how-to/own-arm.md)")
    return Description.of(reply.json(), settings)


def fetch_description(settings: BridgeSettings) -> Description:
    """The same, for callers that do not wait on a loop.

    Raises:
        OctologError: See `describe`; or an answer that breaks a bound.
    """

    async def ask() -> Description:
        transport = Transport(settings)
        try:
            return await describe(transport, settings)
        finally:
            await transport.close()

    found = asyncio.run(ask())
    if not found.capability.capabilities:
        raise InvalidContract("INVALID_CAPABILITY", "capabilities", "needs at least one tag")
    return found
