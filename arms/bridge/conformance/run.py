"""Makes the checks and keeps what came out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic
from typing import Final

from arms.bridge.conformance.asking import ASKING
from arms.bridge.conformance.bench import Broken, Skipped, Stand
from arms.bridge.conformance.checks import CHECKS, Check
from arms.bridge.description import Sample
from arms.bridge.settings import BridgeSettings
from arms.bridge.transport import Transport
from octolog.domain.errors import OctologError

__all__ = ["Checked", "Verdict", "check_service"]

_SPARE: Final = 4
_EXTRA_S: Final = 30.0


class Verdict(StrEnum):
    """How a check went."""

    PASS = "pass"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Checked:
    """One check, made.

    Attributes:
        check: Its name.
        verdict: How it went.
        seen: What was seen.
        remedy: What to do about it; empty unless it failed.
        took_ms: How long it took, milliseconds.
    """

    check: str
    verdict: Verdict
    seen: str
    remedy: str
    took_ms: int


def check_service(
    settings: BridgeSettings,
    *,
    sample: Sample | None = None,
    timeout_s: float | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> list[Checked]:
    """Make every check, and those of what the service says it uses; without an answer all but the first are skipped.

    Args:
        settings: Where the service is.
        sample: A task it can do; None: the first one of its description.
        timeout_s: Longest run of one attempt, seconds; None: what its description says.
        told: Hears the name of each check before it is made.
    """
    return asyncio.run(_made(settings, sample, timeout_s, told))


async def _made(
    settings: BridgeSettings, sample: Sample | None, timeout_s: float | None, told: Callable[[str], None]
) -> list[Checked]:
    transport = Transport(settings, concurrency=16)
    stand = Stand(settings, transport, sample, None, timeout_s)
    found: list[Checked] = []
    try:
        for name, check in CHECKS.items():
            told(name)
            found.append(await _one(name, check, stand))
        for use in () if stand.description is None else stand.description.uses:
            name, check = ASKING[use]
            told(name)
            found.append(await _one(name, check, stand))
    finally:
        await transport.close()
    return found


async def _one(name: str, check: Check, stand: Stand) -> Checked:
    began = monotonic()
    remedy = ""
    limit_s = _SPARE * (stand.limit_s if stand.description is not None else 0.0) + _EXTRA_S
    try:
        async with asyncio.timeout(limit_s):
            verdict, seen = Verdict.PASS, await check.look(stand)
    except Skipped as why:
        verdict, seen = Verdict.SKIP, str(why)
    except (Broken, OctologError) as why:
        verdict, seen, remedy = Verdict.FAIL, str(why), check.remedy
    except TimeoutError:
        verdict, seen, remedy = Verdict.FAIL, f"not over after {limit_s:g} s", check.remedy
    return Checked(name, verdict, seen, remedy, int((monotonic() - began) * 1000))
