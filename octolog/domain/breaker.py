"""Circuit breakers: an arm whose attempts keep failing gets none for a while, and then a few to try.

Which ends of attempts count is decided with the fact that ends them (`counts`); the count goes to `octolog.arms`,
where all partitions meet, and every reader of that topic folds the same breaker out of it (`after_call`). That the
time of an open breaker is over is said by a fact too, so no reader needs a clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from octolog.domain.arm import ArmCallCounted, ArmCapability, BreakerState
from octolog.domain.facts import AttemptEnded, Outcome

_ARMS_FAULT: Final = frozenset(
    {"ARM_ERROR", "INTERNAL_ERROR", "EXTERNAL", "EXECUTION_TIMEOUT", "LEASE_EXPIRED"}
)
"""Codes that speak against the arm although a retry may not help. Every other refusal for good is an answer: it
speaks against the task, and shows that the arm works."""

_LOST: Final = "LEASE_EXPIRED"


@dataclass(frozen=True, slots=True)
class Breaker:
    """One arm's circuit breaker.

    Attributes:
        state: CLOSED lets everything through, OPEN nothing, HALF_OPEN one attempt at a time.
        failures: Failures in a row.
        probes: Probes in a row that succeeded, in HALF_OPEN.
        since_ms: When the state was reached, milliseconds since the epoch.
        cause_offset: Registry fact by which the state was reached.
        lost_ms: When an attempt was last lost; others that ran then were lost by the same mishap.
        reason: What was seen.
    """

    state: BreakerState = BreakerState.CLOSED
    failures: int = 0
    probes: int = 0
    since_ms: int = 0
    cause_offset: int = -1
    lost_ms: int = 0
    reason: str = ""


WHOLE: Final = Breaker()
"""The breaker of an arm that nothing speaks against."""


def counts(ended: AttemptEnded) -> bool | None:
    """Whether an attempt's end speaks against its arm (True) or for it (False); None: neither."""
    if ended.outcome is Outcome.SUCCESS:
        return False
    if ended.outcome is Outcome.CANCELLED:
        return None
    return ended.retryable or ended.error_code is None or ended.error_code in _ARMS_FAULT


def after_call(breaker: Breaker, call: ArmCallCounted, arm: ArmCapability, offset: int) -> Breaker:
    """The breaker after the count at `offset`; the same object when it changes nothing."""
    if arm.breaker_failures == 0:
        return breaker
    if call.failed and call.error_code == _LOST:
        if call.assigned_ms <= breaker.lost_ms:
            return breaker
        breaker = replace(breaker, lost_ms=call.at_ms)
    match breaker.state:
        case BreakerState.CLOSED:
            return _while_closed(breaker, call, arm, offset)
        case BreakerState.HALF_OPEN if call.assigned_ms >= breaker.since_ms:
            return _after_probe(breaker, call, arm, offset)
        case _:
            return breaker  # open: what was under way before tells nothing new


def half_open(breaker: Breaker, at_ms: int, offset: int, reason: str) -> Breaker:
    """An open breaker whose time is over; any other is as it was."""
    if breaker.state is not BreakerState.OPEN:
        return breaker
    return replace(
        breaker,
        state=BreakerState.HALF_OPEN,
        probes=0,
        since_ms=at_ms,
        cause_offset=offset,
        reason=reason,
    )


def due_ms(breaker: Breaker, arm: ArmCapability) -> int | None:
    """When an open breaker shall let probes through, milliseconds since the epoch; None: it is not open."""
    return breaker.since_ms + arm.breaker_reset_ms if breaker.state is BreakerState.OPEN else None


def _while_closed(breaker: Breaker, call: ArmCallCounted, arm: ArmCapability, offset: int) -> Breaker:
    if not call.failed:
        return WHOLE
    failures = breaker.failures + 1
    if failures < arm.breaker_failures:
        return replace(breaker, failures=failures)
    reason = f"{failures} failures in a row, the last: {call.error_code or 'no code'}"
    return _opened(replace(breaker, failures=failures), call, offset, reason)


def _after_probe(breaker: Breaker, call: ArmCallCounted, arm: ArmCapability, offset: int) -> Breaker:
    if call.failed:
        reason = f"a probe failed: {call.error_code or 'no code'}"
        return _opened(replace(breaker, failures=breaker.failures + 1), call, offset, reason)
    probes = breaker.probes + 1
    if probes < arm.breaker_probes:
        return replace(breaker, probes=probes)
    return Breaker(since_ms=call.at_ms, cause_offset=offset, reason=f"{probes} probes in a row succeeded")


def _opened(breaker: Breaker, call: ArmCallCounted, offset: int, reason: str) -> Breaker:
    return replace(
        breaker,
        state=BreakerState.OPEN,
        probes=0,
        since_ms=call.at_ms,
        cause_offset=offset,
        reason=reason,
    )
