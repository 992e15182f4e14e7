"""What a process that died spent on an attempt before this host took it: the log says, where every call is announced.

An attempt that was assigned before this host read its partition may have been begun by another process. Its announced
calls, and what they are known to have used, count against its allowance here, and their numbers are taken. One that
nobody called a model for, which is nearly every one, goes on as if nothing had been. One whose process died between its
result and the offset that acknowledges it is over.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from time import time
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from arms import topics
from arms.host.held import Held
from arms.host.security import security
from arms.host.settings import HostSettings
from arms.limits import EarlierRunUnknown
from octolog.domain.errors import ContractError
from octolog.domain.reports import CallUsage, ExecutionResult, ModelCallIntended, ResourceUsed
from schemas.codec import Codec

__all__ = ["EarlierRuns"]

_READ_S: Final = 30.0
_MARGIN_MS: Final = 1_000


class EarlierRuns:
    """Reads octolog.resources and octolog.results when asked first, and again where that did not reach far enough.

    Args:
        settings: The host's.
        codec: Decodes.
    """

    def __init__(self, settings: HostSettings, codec: Codec) -> None:
        self._settings, self._codec = settings, codec
        self._reading = asyncio.Lock()
        self._calls: dict[str, dict[int, CallUsage]] = defaultdict(dict)
        self._over: set[str] = set()
        self._known_ms = (0, 0)

    async def of(self, held: Held) -> tuple[list[CallUsage], bool]:
        """Calls made for an attempt before its partition came to this host, and whether its result is there already.

        Of a call whose outcome nobody knows, it is the most that it can have used.

        Raises:
            EarlierRunUnknown: The log could not be read in time; the attempt is tried anew, with what is left.
        """
        attempt = held.assignment
        since_ms = max((places.since_ms for places, _ in held.places), default=0)
        async with self._reading:
            from_ms, until_ms = self._known_ms
            if not (from_ms <= attempt.assigned_ms and since_ms < until_ms):
                await self._read(min(attempt.assigned_ms, from_ms or attempt.assigned_ms))
        made = self._calls.get(attempt.attempt_id, {})
        return list(made.values()), attempt.attempt_id in self._over

    async def _read(self, from_ms: int) -> None:
        until_ms = int(time() * 1_000)
        consumer = AIOKafkaConsumer(
            topics.RESOURCES,
            topics.RESULTS,
            bootstrap_servers=self._settings.bootstrap_servers,
            isolation_level="read_committed",
            enable_auto_commit=False,
            **security(self._settings.kafka),
        )
        try:
            await asyncio.wait_for(self._follow(consumer, from_ms - _MARGIN_MS), _READ_S)
        except (KafkaError, OSError, TimeoutError) as error:
            raise EarlierRunUnknown(
                f"what an earlier run of the attempt spent could not be read: {error!r}"
            ) from error
        finally:
            with suppress(KafkaError):
                await consumer.stop()
        self._known_ms = from_ms, until_ms

    async def _follow(self, consumer: Any, from_ms: int) -> None:
        await consumer.start()
        places = list(consumer.assignment())
        starts = await consumer.offsets_for_times(dict.fromkeys(places, from_ms))
        ends = await consumer.end_offsets(places)
        left = {place for place in places if starts[place] is not None and starts[place].offset < ends[place]}
        for place in places:
            consumer.seek(place, starts[place].offset if place in left else ends[place])
        while left:
            batches = await consumer.getmany(timeout_ms=200)
            for report in self._reports(batches):
                self._count(report)
            left = {place for place in left if await consumer.position(place) < ends[place]}

    def _reports(self, batches: dict[Any, list[Any]]) -> Iterator[Any]:
        for records in batches.values():
            for record in records:
                with suppress(ContractError):  # what cannot be read is the processor's affair
                    yield self._codec.decode(record.value)

    def _count(self, report: Any) -> None:
        if isinstance(report, ModelCallIntended):
            call = CallUsage(report.call_number, report.model, report.at_most, is_known=False)
            self._calls[report.attempt_id].setdefault(report.call_number, call)
        elif isinstance(report, ResourceUsed):
            call = CallUsage(
                report.call_number,
                report.model,
                report.used,
                is_known=True,
                price_version=report.price_version,
            )
            self._calls[report.attempt_id][report.call_number] = call
        elif isinstance(report, ExecutionResult):
            self._over.add(report.attempt_id)
