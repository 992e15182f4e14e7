"""What a host must know before it lets an arm act: keys and revocations, read from the registry's topic.

Nothing is read until the first attempt that carries a policy; a log without policies costs nothing here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from time import time_ns
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from arms import topics
from arms.arm import Fail, Retry
from arms.host.security import security as kafka_security
from arms.host.settings import HostSettings
from octolog.domain.assignment import AttemptAssignment
from octolog.domain.errors import ContractError
from octolog.domain.security import (
    NO_SECURITY,
    CapabilityRevoked,
    Security,
    SecurityPolicyPut,
    SecurityPolicyWithdrawn,
    TokenKeyAnnounced,
    evolve_security,
)
from octolog.domain.values import CapabilityShown
from octolog.safety.tokens import TokenRefused, check_token, key_of, shown
from schemas.codec import Codec

__all__ = ["Guard"]

_log: Final = logging.getLogger(__name__)
_EVENTS: Final = (SecurityPolicyPut, SecurityPolicyWithdrawn, TokenKeyAnnounced, CapabilityRevoked)
_TYPE: Final = "octolog.security."
_CATCH_UP_S: Final = 10.0
_POLL_MS: Final = 200
_RETRY_S: Final = 1.0


class Guard:
    """Judges the capability tokens of assignments; follows the registry's topic once it has to.

    Args:
        settings: The host's: where Kafka is, whether every attempt needs a token, which keys count.
        codec: Decodes the topic's records.
        on_revoked: Called when tokens were revoked, with what is known since.
    """

    def __init__(self, settings: HostSettings, codec: Codec, on_revoked: Callable[[Security], None]) -> None:
        self._settings, self._codec, self._on_revoked = settings, codec, on_revoked
        self._strict = settings.tokens_required
        self._known = asyncio.Event()
        self._follower: asyncio.Task[None] | None = None
        self._position = 0
        self._asked = asyncio.Event()
        self.security: Security = NO_SECURITY

    def concerns(self, assignment: AttemptAssignment) -> bool:
        """Whether an attempt needs a token that `admit` must look at."""
        policy = assignment.policy
        return self._strict or (policy is not None and policy.token_lifetime_ms > 0)

    async def admit(self, assignment: AttemptAssignment) -> None:
        """Let an attempt begin, once its token was found good; `told` says what was seen of it.

        Raises:
            Fail: The token does not allow it.
            Retry: It waited too long, or the keys could not be read.
        """
        await self._catch_up()
        try:
            if assignment.capability_token and key_of(assignment.capability_token) not in self.security.keys:
                await self._catch_up(again=True)  # announced after this host had read to the end
            check_token(assignment, self.security, time_ns() // 1_000_000, self._settings.token_keys)
        except TokenRefused as refused:
            kind = Retry if refused.code == "CAPABILITY_EXPIRED" else Fail
            raise kind(refused.message, refused.code) from None

    def told(self, assignment: AttemptAssignment, *, accepted: bool) -> CapabilityShown:
        """What the attempt's result says of its token."""
        return shown(assignment, time_ns() // 1_000_000, accepted=accepted)

    async def stop(self) -> None:
        """Follow no more."""
        if self._follower is not None:
            self._follower.cancel()
            with suppress(asyncio.CancelledError):
                await self._follower

    async def _catch_up(self, *, again: bool = False) -> None:
        if self._follower is None:
            self._follower = asyncio.get_running_loop().create_task(self._follow())
        if again:
            self._known.clear()
            self._asked.set()
        try:
            await asyncio.wait_for(self._known.wait(), _CATCH_UP_S)
        except TimeoutError:
            raise Retry(
                "the keys of capability tokens could not be read from the log", "UNAVAILABLE"
            ) from None

    async def _follow(self) -> None:
        while True:
            try:
                await self._follow_once()
            except (KafkaError, OSError) as error:
                _log.warning("%s: %r; trying again", topics.ARMS, error)
                await asyncio.sleep(_RETRY_S)

    async def _follow_once(self) -> None:
        place = TopicPartition(topics.ARMS, 0)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.bootstrap_servers,
            client_id=f"octolog-guard-{self._settings.instance_id}",
            isolation_level="read_committed",
            enable_auto_commit=False,
            **kafka_security(self._settings.kafka),
        )
        await consumer.start()
        try:
            consumer.assign([place])
            consumer.seek(place, self._position)
            end = await self._end(consumer, place)
            while True:
                for record in (await consumer.getmany(place, timeout_ms=_POLL_MS)).get(place, ()):
                    self._take(record)
                if self._asked.is_set():
                    self._asked.clear()
                    end = await self._end(consumer, place)
                self._position = await consumer.position(place)
                if self._position >= end:
                    self._known.set()
        finally:
            await consumer.stop()

    async def _end(self, consumer: Any, place: TopicPartition) -> int:
        return int((await consumer.end_offsets([place]))[place])

    def _take(self, record: Any) -> None:
        kind = next((value for name, value in record.headers if name == "ce_type"), None)
        if kind is not None and not kind.startswith(_TYPE.encode()):
            return  # nearly all of the topic is heartbeats
        try:
            event = self._codec.decode(record.value)
        except ContractError:
            return  # the task processor tells of it
        if isinstance(event, _EVENTS):
            self.security = evolve_security(self.security, event)
            if isinstance(event, CapabilityRevoked):
                _log.warning("capability tokens of %s %s are revoked", event.scope.lower(), event.subject)
                self._on_revoked(self.security)
