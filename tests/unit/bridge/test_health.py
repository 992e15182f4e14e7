"""How a service is, by `GET /health` and by its breaker."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from arms.bridge import health as health_module
from arms.bridge.health import probe
from arms.bridge.service import Service as Bridged
from arms.bridge.transport import Transport
from octolog.domain.arm import Health
from tests.unit.bridge.conftest import Bridge
from tests.unit.bridge.services import drop, serving


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((200, {"status": "healthy"}), Health.HEALTHY),
        ((200, {}), Health.HEALTHY),
        ((200, []), Health.HEALTHY),
        ((200, {"status": "degraded"}), Health.DEGRADED),
        ((200, {"status": "unavailable"}), Health.UNAVAILABLE),
        ((503, {}), Health.DEGRADED),
    ],
)
def test_what_a_health_answer_says(answer: Any, expected: Health) -> None:
    with serving() as service:
        service.health = answer
        found = looked(service.url)
    assert found[0] is expected


def test_a_slow_answer_is_degraded_and_none_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as service:
        url = service.url
        with monkeypatch.context() as slow:
            slow.setattr(health_module, "SLOW_S", 0.0)
            found, reason = looked(url)
        assert found is Health.DEGRADED
        assert reason.startswith("GET /health took ")
    found, reason = looked(url)
    assert found is Health.UNAVAILABLE
    assert "ConnectError" in reason


def looked(url: str) -> tuple[Health, str]:
    async def look() -> tuple[Health, str]:
        transport = Transport(Bridge(url).settings)
        try:
            return await probe(transport, 5.0)
        finally:
            await transport.close()

    return asyncio.run(look())


async def told(bridged: Bridged, act: Any, enough: int) -> list[tuple[Health, Health]]:
    changes: list[tuple[Health, Health]] = []
    await bridged.start(lambda now, before, _: changes.append((now, before)))
    await act()
    async with asyncio.timeout(60):
        while len(changes) < enough:  # noqa: ASYNC110 -- bounded
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    return changes


def test_a_service_that_goes_and_comes_back_is_told_of_once_each_and_has_no_heartbeat_meanwhile() -> None:
    with serving() as service:
        bridge = Bridge(service.url, health_interval_s=0.02)

        async def script(bridged: Bridged) -> None:
            service.health = (200, {"status": "unavailable"})
            found = await told(bridged, lambda: asyncio.sleep(0), 1)
            assert found == [(Health.UNAVAILABLE, Health.HEALTHY)]
            assert not bridged.alive
            service.health = (200, {})
            async with asyncio.timeout(60):
                while not bridged.alive:  # noqa: ASYNC110 -- bounded
                    await asyncio.sleep(0.01)

        bridge.run(script)


def test_an_open_breaker_makes_the_arm_unavailable_at_once_and_probes_bring_it_back() -> None:
    down = True

    def flaky(handler: Any, request: dict[str, Any]) -> Any:
        if down:
            return drop(handler)
        return 200, {"status": "success", "output": {"words": 1, "top": []}}

    with serving(flaky) as service:
        bridge = Bridge(service.url, breaker_reset_s=0.2, breaker_probes=1)

        async def script(bridged: Bridged) -> None:
            nonlocal down

            async def fail() -> None:
                for _ in range(2):
                    with pytest.raises(Exception, match=r"RemoteProtocol|not asked"):
                        await bridged.forward(bridge.work())

            assert (await told(bridged, fail, 2))[:2] == [
                (Health.UNAVAILABLE, Health.HEALTHY),
                (Health.HEALTHY, Health.UNAVAILABLE),
            ]
            down = False
            assert (await bridged.forward(bridge.work())).output["words"] == 1
            assert bridged.status()["breaker"] == "closed"

        bridge.run(script)
    assert len(service.asked) == 6  # five failures open it; the sixth request is the probe


def test_a_service_that_nodes_look_at_themselves_is_told_of_by_them_alone() -> None:
    with serving() as service:
        bridge = Bridge(service.url, probed=True, health_interval_s=0.02)
        service.health = (200, {"status": "unavailable"})

        async def script(bridged: Bridged) -> None:
            assert bridged.forward._capability.health_check_url == f"{service.url}/health"
            changes: list[Health] = []
            await bridged.start(lambda now, *_: changes.append(now))
            async with asyncio.timeout(60):
                while bridged.watch.health is not Health.UNAVAILABLE:  # noqa: ASYNC110 -- bounded
                    await asyncio.sleep(0.01)
            assert changes == []
            assert bridged.alive

        bridge.run(script)
