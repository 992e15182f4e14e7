"""An arm that counts its calls in a file, hosted in a process of its own that a test stops and wakes.

`python -m tests.acceptance.stalling BOOTSTRAP HOME SLOT CALLS_FILE`
"""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from typing import Final

from arms.arm import Answer, Arm, arm
from arms.host import HostSettings, run_host
from arms.work import Work
from octolog.app.connection import Connection
from octolog.app.processes import die_with_parent
from octolog.domain.values import Amounts
from tests.chaos.engine import engine_settings

ARM: Final = "counter"
CALLS: Final = 5
HELD: Final = 2
AT_MOST: Final = Amounts(tokens=100)
USED: Final = Amounts(tokens=60, calls=1)


def counting(slot: str, calls: Path) -> Arm:
    """The arm; each call is a line: slot, attempt, number. Call `HELD` of all waits for `go-on`."""
    go_on = calls.with_name("go-on")

    @arm(ARM, capabilities=(ARM,), timeout_seconds=60)
    async def counter(work: Work) -> Answer:
        for number in range(1, CALLS + 1):
            async with work.handler.model_call("m", AT_MOST) as call:
                with calls.open("a") as out:
                    out.write(f"{slot} {work.assignment.attempt_id} {number}\n")
                is_held = len(calls.read_text().splitlines()) == HELD  # noqa: ASYNC240
                while is_held and not go_on.exists():  # noqa: ASYNC110
                    await asyncio.sleep(0.02)  # the test says when
                call.settle(USED)
        return Answer({"by": slot})

    return counter


def main(bootstrap: str, home: str, slot: str, calls: str) -> None:
    """Host the arm until killed."""
    die_with_parent()
    logging.basicConfig(level="WARNING")
    with Connection(engine_settings(Path(home), bootstrap)) as connection:
        connection.ensure_assignment_topic(ARM)
        host = HostSettings(
            bootstrap_servers=bootstrap, instance_id=slot, slot=slot, grace_ms=0, session_timeout_ms=1_500
        )
        run_host(
            host, [counting(slot, Path(calls))], connection.publisher(background=True), connection.codec()
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
