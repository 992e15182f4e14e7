"""Looks at arms over HTTP: `health_check_url`, every half minute, sooner where a look is to be confirmed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import httpx

from octolog.domain.arm import ArmCapability
from octolog.domain.health import PROBE_TIMEOUT_MS, Seen, answered, unanswered
from octolog.domain.ids import ArmId

PROBE_EVERY_S: Final = 30.0
CONFIRM_AFTER_S: Final = 5.0
_THREADS: Final = 8


class HttpProber:
    """Looks at several arms at once, one look at an arm at a time. Follows no redirect and no proxy.

    Args:
        every_s: Seconds from one look at an arm to the next.
        confirm_after_s: Seconds to the next look where one said other than what is known.
    """

    def __init__(self, *, every_s: float = PROBE_EVERY_S, confirm_after_s: float = CONFIRM_AFTER_S) -> None:
        self._every_s, self._confirm_after_s = every_s, confirm_after_s
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="prober")
        self._client = httpx.Client(timeout=PROBE_TIMEOUT_MS / 1_000, follow_redirects=False, trust_env=False)
        self._running: dict[ArmId, tuple[ArmCapability, Future[Seen]]] = {}
        self._looked_s: dict[ArmId, float] = {}

    def look(self, arms: Iterable[ArmCapability], soon: Callable[[ArmId], bool]) -> None:
        """Begin to look at those whose turn it is; `soon` says who shall not wait for the ordinary turn."""
        now_s = time.monotonic()
        for arm in arms:
            pause_s = self._confirm_after_s if soon(arm.arm_id) else self._every_s
            last_s = self._looked_s.get(arm.arm_id)
            if arm.arm_id not in self._running and (last_s is None or now_s - last_s >= pause_s):
                self._running[arm.arm_id] = arm, self._pool.submit(self._probe, arm.health_check_url)

    def seen(self) -> list[tuple[ArmCapability, Seen]]:
        """What the looks that have ended saw."""
        ended = [(arm, future.result()) for arm, future in self._running.values() if future.done()]
        for arm, _ in ended:
            del self._running[arm.arm_id]
            self._looked_s[arm.arm_id] = time.monotonic()
        return ended

    def close(self) -> None:
        """Stop looking."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def _probe(self, url: str) -> Seen:
        began_s = time.monotonic()
        try:
            # The body is not read: a health page that never ends must not hold a thread.
            with self._client.stream("GET", url) as response:
                status = response.status_code
        except httpx.TimeoutException:
            return unanswered(f"no answer within {PROBE_TIMEOUT_MS} ms")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            return unanswered(f"no answer: {type(error).__name__}")
        return answered(status, int((time.monotonic() - began_s) * 1_000))
