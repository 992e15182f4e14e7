"""Whether an attempt is still this host's, asked of the log and the group where its lease may have run out.

A host that stood still (stopped, swapped out, a frozen machine) may wake when its attempt was given up long ago. It
asks before it spends: the group, whether it still reads the partition that the attempt came from, and the facts,
whether the attempt ended or a new sign of life was taken for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from arms import topics
from arms.host.held import Held
from arms.host.intake import Intake
from arms.host.security import security
from arms.host.settings import HostSettings
from arms.host.signs import Signs
from arms.limits import LeaseUnknown
from octolog.domain.errors import ContractError
from octolog.domain.facts import AttemptEnded, LeaseRenewed
from octolog.ports import LogRecord
from schemas.codec import Codec

__all__ = ["Holding"]

_LONGEST_S: Final = 60.0
_MARGIN_MS: Final = 1_000
_POLL_MS: Final = 100
_LEAST_PAUSE_S: Final = 0.2
TAKEN_OVER: Final = "another host took over"


class Holding:
    """Finds out what became of attempts while this host was silent.

    Args:
        settings: The host's.
        codec: Decodes facts.
        signs: Sends signs of life.
        intake: Knows the group; None until it is started.
    """

    def __init__(
        self, settings: HostSettings, codec: Codec, signs: Signs, intake: Callable[[], Intake | None]
    ) -> None:
        self._settings, self._codec, self._signs, self._intake = settings, codec, signs, intake

    async def lost(self, held: Held) -> str | None:
        """Why the attempt is no longer this host's; None: it is.

        Raises:
            LeaseUnknown: Neither the group nor the log could say in time.
        """
        if held.is_over or not held.places:
            return TAKEN_OVER
        if self._is_sure(held):
            return None
        async with held.asking:  # calls side by side ask once
            return None if self._is_sure(held) else await self._in_time(held)

    def _is_sure(self, held: Held) -> bool:
        return held.stalls == self._signs.stalls() and held.lease.is_sure()

    async def _in_time(self, held: Held) -> str | None:
        remaining_s = None if held.handler is None else held.handler.remaining_s
        limit_s = _LONGEST_S if remaining_s is None else min(_LONGEST_S, remaining_s)
        try:
            async with asyncio.timeout(limit_s):
                return await self._found_out(held)
        except (KafkaError, OSError, TimeoutError) as error:
            raise LeaseUnknown(
                f"whether the attempt is still held here is not known after {limit_s:.0f} s: {error!r}"
            ) from error

    async def _found_out(self, held: Held) -> str | None:
        intake, stalls = self._intake(), self._signs.stalls()
        if intake is not None and held.places and not await intake.confirm(held.places[0][0]):
            return TAKEN_OVER
        held.stalls = stalls
        if held.lease.is_sure():
            return None
        first = await self._sign(held)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.bootstrap_servers,
            isolation_level="read_committed",
            enable_auto_commit=False,
            **security(self._settings.kafka),
        )
        try:
            await consumer.start()
            # A tree's reports and facts lie in partitions of one number.
            place = TopicPartition(topics.TASKS, first.partition)
            consumer.assign([place])
            start = (await consumer.offsets_for_times({place: held.lease.sure_ms - _MARGIN_MS}))[place]
            if start is None:
                await consumer.seek_to_end(place)
            else:
                consumer.seek(place, start.offset)
            return await self._read(held, consumer)
        finally:
            with suppress(KafkaError):
                await consumer.stop()

    async def _read(self, held: Held, consumer: Any) -> str | None:
        """Follow the facts to the end of the attempt, or to a renewal by a sign that was sent just now."""
        pause_s = max(_LEAST_PAUSE_S, held.assignment.lease_ms / 4_000)  # a sign sooner than that is no fact
        again_s = monotonic() + pause_s
        while not held.is_over:
            for batch in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                for record in batch:
                    if (verdict := self._verdict(held, record.value)) is not None:
                        return verdict or None
            if monotonic() >= again_s:
                await self._sign(held)
                again_s = monotonic() + pause_s
        return TAKEN_OVER

    def _verdict(self, held: Held, value: bytes) -> str | None:
        """Why it is lost; empty: it is held; None: this fact does not say."""
        try:
            fact = getattr(self._codec.decode(value), "fact", None)
        except ContractError:
            return None
        if isinstance(fact, AttemptEnded) and fact.attempt_id == held.assignment.attempt_id:
            return fact.error or "the attempt ended"
        if (
            isinstance(fact, LeaseRenewed)
            and fact.attempt_id == held.assignment.attempt_id
            and fact.instance_id == self._settings.instance_id
            and held.lease.proven(fact.at_ms)
        ):
            return "" if held.lease.is_sure() else None
        return None

    async def _sign(self, held: Held) -> LogRecord:
        """Send a sign of life; where it lies, once it is in the log."""
        there: asyncio.Future[LogRecord] = asyncio.get_running_loop().create_future()

        def arrived(record: LogRecord) -> None:
            if not there.done():
                there.set_result(record)

        self._signs.heartbeat(held, arrived)
        return await there
