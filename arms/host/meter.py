"""A handler's reports, on their way into the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, TypeAlias

from arms import topics
from arms.host.held import Held
from arms.host.outbox import Outbox
from octolog.domain.assignment import AttemptAssignment
from octolog.domain.reports import ContextRecalled, HandlerMetrics, ModelCallIntended, ResourceUsed
from octolog.ports import LogRecord

__all__ = ["AttemptMeter"]

_log: Final = logging.getLogger(__name__)
_Report: TypeAlias = ModelCallIntended | ResourceUsed | HandlerMetrics | ContextRecalled


class AttemptMeter:
    """The meter of one attempt."""

    def __init__(self, assignment: AttemptAssignment, outbox: Outbox, held: Held) -> None:
        self._assignment, self._outbox, self._held = assignment, outbox, held

    async def intended(self, record: ModelCallIntended) -> None:
        """Return once the announcement is in the log."""
        await self._logged(record, f"{record.attempt_id}:call:{record.call_number}:intended")

    async def recalled(self, record: ContextRecalled) -> None:
        """Return once it is in the log what memory gave."""
        await self._logged(record, f"{record.attempt_id}:recalled")

    def used(self, record: ResourceUsed) -> None:
        """Report what a call used; of one that was not made nothing, where its number may be another host's by now."""
        if self._held.is_over and not record.used.calls:
            return
        self._send(record, f"{record.attempt_id}:call:{record.call_number}:used")

    def ended(self, record: HandlerMetrics) -> None:
        """Report what the handler counted."""
        self._send(record, f"{record.attempt_id}:handler")

    def warned(self, text: str) -> None:
        """Log it, and say it with the next heartbeat."""
        _log.warning("%s %s: %s", self._assignment.arm_id, self._assignment.attempt_id, text)
        self._held.note = text

    async def _logged(self, record: _Report, event_id: str) -> None:
        there: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def arrived(there_is: LogRecord) -> None:
            self._held.lease.heard(there_is.timestamp_ms)
            if not there.done():
                there.set_result(None)

        self._send(record, event_id, arrived)
        await there

    def _send(self, record: _Report, event_id: str, then: Callable[[LogRecord], None] | None = None) -> None:
        self._outbox.send(
            topics.RESOURCES,
            record.root_task_id,
            record,
            event_id=event_id,
            source=record.arm_id,
            trace=self._held.trace,
            then=then,
        )
