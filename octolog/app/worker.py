"""The entry of every child process of a node: `python -m octolog.app.worker KIND NAME`.

The settings come in the environment variable `OCTOLOG_WORKER`, as JSON; the node has resolved them already.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from octolog.app.connection import Connection
from octolog.app.node.crash import redact_crashes
from octolog.app.node.identity import slot
from octolog.app.processes import NODE_VARIABLE, SPARE, StateFile, Stop, die_with_parent
from octolog.app.settings import Settings
from octolog.domain.errors import OctologError
from octolog.safety.logs import RedactingFormatter, redact_event

if TYPE_CHECKING:
    from collections.abc import Callable

_REPORT_S: Final = 0.5


def main(arguments: list[str]) -> int:
    """Run one child until it is told to stop; returns its exit code."""
    die_with_parent()
    if arguments == [SPARE]:
        arguments = _wait_for_orders()
        if not arguments:
            return 0
    kind, name = arguments
    _log_to_stderr()
    settings = Settings.model_validate_json(os.environ[NODE_VARIABLE])
    state = StateFile(settings.run_dir / f"{name}.json")
    state.write(state="starting", kind=kind)
    try:
        _KINDS[kind](settings, name, state)
    except OctologError as error:
        structlog.get_logger("octolog").error("stopped", process=name, reason=str(error))
        state.write(state="failed", kind=kind, detail=str(error))
        return 1
    state.write(state="stopped", kind=kind)
    return 0


def _wait_for_orders() -> list[str]:
    """Kind and name, once the supervisor has said them; empty when it has gone."""
    import streams.runner

    _ = streams.runner
    order = sys.stdin.read()
    if not order:
        return []
    kind, name, log = json.loads(order)
    with Path(log).open("ab") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    return [kind, name]


def _processor(settings: Settings, name: str, state: StateFile) -> None:
    from octolog.app.node.tokens import token_issuer
    from streams.runner import TaskWorker, WorkerSettings

    stop = Stop()
    with Connection(settings) as connection:
        cluster = connection.admin().cluster_id()
        worker = TaskWorker(
            connection.kafka,
            connection.codec(),
            WorkerSettings(
                slot=slot(settings, name.rsplit("-", 1)[1]),
                state_dir=settings.home / "state" / cluster,
                window=settings.window,
                lease_ms=settings.lease_ms,
            ),
            connection.ensure_assignment_topic,
            token_issuer(connection, slot(settings, name)),
        )
        reported_s = 0.0

        def watched() -> bool:
            nonlocal reported_s
            now_s = time.monotonic()
            if now_s - reported_s > _REPORT_S:
                reported_s = now_s
                owned = worker.owned
                state.write(
                    state="ready" if owned else "joining",
                    kind="processor",
                    detail=f"partitions {owned}, {worker.facts} facts, {worker.commits} commits",
                )
            return stop()

        worker.run(watched)


def _knowledge(settings: Settings, name: str, state: StateFile) -> None:
    from octolog.app.knowledge.service import run_knowledge

    run_knowledge(settings, name, state, Stop())


def _memory(settings: Settings, name: str, state: StateFile) -> None:
    from octolog.app.memory.service import run_memory

    run_memory(settings, name, state, Stop())


def _arms(settings: Settings, name: str, state: StateFile) -> None:
    from octolog.app.arms.host import run_arms

    run_arms(settings, name, state)


def _metrics(settings: Settings, _name: str, state: StateFile) -> None:
    from octolog.app.knowledge.metrics import run_metrics

    run_metrics(settings, state, Stop())


_KINDS: Final[dict[str, Callable[[Settings, str, StateFile], None]]] = {
    "processor": _processor,
    "knowledge": _knowledge,
    "memory": _memory,
    "arms": _arms,
    "metrics": _metrics,
}


def _log_to_stderr() -> None:
    redact_crashes()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            redact_event,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
