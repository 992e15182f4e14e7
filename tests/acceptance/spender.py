"""An arm that spends at random, in a process of its own: `python -m tests.acceptance.spender BOOTSTRAP HOME SLOT SEED`.

Its model calls go through the handler like any other's, so they are announced, refused and settled as ever; only
what they use is drawn and not bought.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path
from typing import Final

from arms.arm import Answer, Retry, arm
from arms.host import HostSettings, run_host
from arms.work import Work
from octolog.app.connection import Connection
from octolog.app.processes import die_with_parent
from octolog.domain.errors import BudgetRefused
from octolog.domain.values import Amounts
from tests.chaos.engine import engine_settings

SPENDER: Final = "spender"
_DRAWN = random.Random(0)


@arm(SPENDER, capabilities=(SPENDER,), timeout_seconds=60, max_concurrent_tasks=64)
async def spender(work: Work) -> Answer:
    """Spend until the allowance refuses, some calls without ever hearing what they used; fail now and then."""
    refused = 0
    for _ in range(_DRAWN.randint(1, 6)):
        most = Amounts(_DRAWN.randint(1, 400), 0, _DRAWN.randint(0, 900), 1)
        try:
            async with work.handler.model_call("drawn", most) as call:
                await asyncio.sleep(_DRAWN.uniform(0.0, 0.2))
                if _DRAWN.random() > 0.1:
                    used = Amounts(_DRAWN.randint(0, most.tokens), 0, _DRAWN.randint(0, most.cost_micros), 1)
                    call.settle(used, price_version="drawn-1")
        except BudgetRefused:
            refused += 1
    if _DRAWN.random() < 0.1:
        raise Retry("drawn to fail")
    return Answer({"refused": refused})


def main(bootstrap: str, home: str, slot: str, seed: str) -> None:
    """Host the arm until killed."""
    die_with_parent()
    _DRAWN.seed(int(seed))
    with Connection(engine_settings(Path(home), bootstrap)) as connection:
        connection.ensure_assignment_topic(SPENDER)
        host = HostSettings(bootstrap_servers=bootstrap, slot=slot, grace_ms=0)
        run_host(host, [spender], connection.publisher(background=True), connection.codec())


if __name__ == "__main__":
    main(*sys.argv[1:])
