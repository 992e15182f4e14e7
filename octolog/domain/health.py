"""How an arm's health is judged: from answers to probes and from silence, without flapping.

Pure: what was seen and when comes in; what the log is to be told comes out. Source of the bounds: seed A.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from octolog.domain.arm import ArmCapability, ArmHealthChanged, ArmRated, Health
from octolog.domain.ids import ArmId

PROBE_TIMEOUT_MS: Final = 5_000
"""A probe that is not answered by then is one that failed."""

DEGRADED_FROM_MS: Final = 3_000
"""An answer that takes so long is a slow one."""

SILENT_DEGRADED_MS: Final = 25_000
"""Two heartbeats of ten seconds were lost."""

SILENT_UNAVAILABLE_MS: Final = 45_000
CONFIRMATIONS: Final = 2
"""So many probes in a row must say the same before the log is told: one lost packet is no news."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look at an arm says.

    Attributes:
        health: How it is by that look.
        reason: What was seen.
    """

    health: Health
    reason: str


def answered(status: int, took_ms: int) -> Seen:
    """A probe that was answered, with its HTTP status and after so many milliseconds."""
    if status != 200:  # noqa: PLR2004 -- the one status that says all is well
        return Seen(Health.DEGRADED, f"answered {status}")
    if took_ms >= DEGRADED_FROM_MS:
        return Seen(Health.DEGRADED, f"answered after {took_ms} ms")
    return Seen(Health.HEALTHY, f"answered after {took_ms} ms")


def unanswered(reason: str) -> Seen:
    """A probe that got no answer."""
    return Seen(Health.UNAVAILABLE, reason)


def silent(silence_ms: int) -> Seen:
    """An arm whose last heartbeat is so many milliseconds ago."""
    if silence_ms >= SILENT_UNAVAILABLE_MS:
        return Seen(Health.UNAVAILABLE, f"no heartbeat for {silence_ms // 1000} s")
    if silence_ms >= SILENT_DEGRADED_MS:
        return Seen(Health.DEGRADED, f"no heartbeat for {silence_ms // 1000} s")
    return Seen(Health.HEALTHY, "its heartbeats come")


class HealthWatch:
    """Turns looks at arms into changes of health; each change is told once.

    Args:
        confirmations: Looks in a row that must say the same; silence is measured in time and needs no more.
    """

    def __init__(self, confirmations: int = CONFIRMATIONS) -> None:
        self._confirmations = confirmations
        self._pending: dict[ArmId, tuple[Health, int]] = {}

    def probed(self, arm: ArmCapability, now: Health, seen: Seen) -> ArmHealthChanged | None:
        """What a probe changes.

        Args:
            arm: Which arm.
            now: Its health by the registry.
            seen: What the probe saw.
        """
        if seen.health is now:
            self._pending.pop(arm.arm_id, None)
            return None
        said, times = self._pending.get(arm.arm_id, (seen.health, 0))
        times = times + 1 if said is seen.health else 1
        if times < self._confirmations:
            self._pending[arm.arm_id] = seen.health, times
            return None
        self._pending.pop(arm.arm_id, None)
        return ArmHealthChanged(arm.arm_id, seen.health, now, seen.reason)

    def doubted(self, arm_id: ArmId) -> bool:
        """True while a look said other than the registry, and none has confirmed it: look again soon."""
        return arm_id in self._pending


RATED_FROM: Final = 10
"""So many attempts must have ended before results are told of; the prior counts as many."""

RATING_STEP: Final = 0.02
"""A success rate that moved less is no news."""


@dataclass(frozen=True, slots=True)
class Record:
    """How an arm's attempts went, as a projection counts them.

    Attributes:
        attempts: Those that ended and were not cancelled.
        succeeded: Those that succeeded.
        p95_ms: 95th percentile of the working time, milliseconds; 0 without one.
        cost_micros: What all of them were charged, millionths of a US dollar.
    """

    attempts: int
    succeeded: int
    p95_ms: int = 0
    cost_micros: int = 0


def rating(arm: ArmCapability, now: float, record: Record) -> ArmRated | None:
    """What the log is to be told of an arm's results; None: nothing new.

    Args:
        arm: Which arm; its own prior counts as ten attempts.
        now: Its success rate by the registry.
        record: How its attempts went.
    """
    if record.attempts < RATED_FROM:
        return None
    succeeded = record.succeeded + arm.success_rate * RATED_FROM
    rate = round(succeeded / (record.attempts + RATED_FROM), 3)
    if abs(rate - now) < RATING_STEP:
        return None
    mean = record.cost_micros // record.attempts
    return ArmRated(arm.arm_id, record.attempts, rate, record.p95_ms, mean)


_BETTER: Final = {Health.HEALTHY: 0, Health.DEGRADED: 1, Health.UNAVAILABLE: 2, Health.UNKNOWN: 3}


class HeartbeatWatch:
    """Judges arms by their heartbeats. Times are one clock's milliseconds, whichever it is.

    An arm that never sent one is not judged: another language's arm may know none.
    """

    def __init__(self) -> None:
        self._last_ms: dict[ArmId, int] = {}
        self._fresh: set[ArmId] = set()

    def heard(self, arm_id: ArmId, at_ms: int) -> None:
        """A heartbeat came."""
        self._last_ms[arm_id] = at_ms
        self._fresh.add(arm_id)

    def changed(self, arm_id: ArmId) -> None:
        """The registry says another health than before: only what comes from now on speaks for the arm."""
        self._fresh.discard(arm_id)

    def registered(self, arm_id: ArmId, at_ms: int) -> None:
        """The arm joined again, and is taken to be healthy."""
        if arm_id in self._last_ms:
            self.heard(arm_id, at_ms)

    def stood_still(self, at_ms: int) -> None:
        """Nobody listened until now: what was not heard then speaks against nobody."""
        self._last_ms = dict.fromkeys(self._last_ms, at_ms)

    def look(self, arm_id: ArmId, now: Health, at_ms: int) -> ArmHealthChanged | None:
        """What silence, or its end, changes; `now` is the arm's health by the registry."""
        last_ms = self._last_ms.get(arm_id)
        if last_ms is None:
            return None
        seen = silent(at_ms - last_ms)
        worse = _BETTER[seen.health] > _BETTER[now]
        back = seen.health is Health.HEALTHY and now is not Health.HEALTHY and arm_id in self._fresh
        return ArmHealthChanged(arm_id, seen.health, now, seen.reason) if worse or back else None
