"""When a transient failure is tried again: exponential, capped, with jitter that derives from the attempt's id."""

from __future__ import annotations

from hashlib import sha256

from octolog.domain.ids import AttemptId
from octolog.domain.values import RetryPolicy


def delay_ms(policy: RetryPolicy, attempt: AttemptId, number: int) -> int:
    """Milliseconds to wait after attempt `number` (from 1) failed.

    `min(cap, base * factor ** (number - 1)) * (low + u * (high - low))`, where u in [0, 1) is the first eight
    bytes of SHA-256 of the attempt's id: spread like chance, and the same at every replay.
    """
    try:
        grown = policy.base_ms * policy.factor ** (number - 1)
    except OverflowError:
        grown = float(policy.cap_ms)
    u = int.from_bytes(sha256(attempt.encode()).digest()[:8]) / 2**64
    return int(
        min(float(policy.cap_ms), grown) * (policy.jitter_low + u * (policy.jitter_high - policy.jitter_low))
    )
