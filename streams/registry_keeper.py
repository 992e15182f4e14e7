"""The keeper of the registry: tells `octolog.arms` how arms are, and says their circuit breakers' changes aloud.

One in a cluster writes: the member of its group that holds the topic's one partition, with a transactional id that
fences whoever held it before. It folds the topic from its beginning and acts when it has read it to the end, so
after a restart or a change of keeper each change is still told once.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from typing import Any, Final, Protocol, TypeAlias

from octolog.domain.arm import (
    ArmBreakerChanged,
    ArmCapability,
    ArmEvent,
    ArmHealthChanged,
    ArmHeartbeat,
    ArmRated,
    ArmRegistered,
    BreakerState,
)
from octolog.domain.breaker import WHOLE, due_ms
from octolog.domain.errors import UndecodableRecord
from octolog.domain.health import HealthWatch, HeartbeatWatch, Record, Seen, rating
from octolog.domain.ids import ArmId
from octolog.domain.registry import Registry
from octolog.ports import LogRecord
from schemas.codec import Codec
from streams.kafka.config import KafkaConfig
from streams.kafka.inputs import InputConsumer
from streams.kafka.reader import KafkaLogReader, record_of
from streams.kafka.transaction import TransactionalProducer
from streams.registry_table import RegistryTable
from streams.topics import ARMS

__all__ = ["Prober", "RegistryKeeper"]

GROUP: Final = "octolog-registry-keeper"
_POLL_S: Final = 0.25
_BATCH: Final = 1_000
_STANDSTILL_S: Final = 5.0
RATE_EVERY_S: Final = 60.0
_Told: TypeAlias = ArmHealthChanged | ArmBreakerChanged | ArmRated
_log: Final = logging.getLogger(__name__)


class Prober(Protocol):
    """Looks at arms that have a URL for it."""

    def look(self, arms: Iterable[ArmCapability], soon: Callable[[ArmId], bool]) -> None:
        """Begin to look at those whose turn it is; `soon` says who shall not wait for the ordinary turn."""

    def seen(self) -> list[tuple[ArmCapability, Seen]]:
        """What the looks that have ended saw."""
        ...


class RegistryKeeper:
    """Follows the registry, and writes what follows from silence, probes, counts and time.

    Args:
        kafka: Where Kafka is.
        codec: Encodes and decodes.
        member: This process's name in the group; unique while it runs.
        prober: Looks at arms by URL.
        confirmations: Probes in a row that must say the same.
        records: How arms' attempts went, asked every `rate_every_s` seconds; None: arms are not rated.
    """

    def __init__(
        self,
        kafka: KafkaConfig,
        codec: Codec,
        member: str,
        prober: Prober,
        *,
        confirmations: int = 2,
        records: Callable[[], Mapping[ArmId, Record]] | None = None,
        rate_every_s: float = RATE_EVERY_S,
    ) -> None:
        self._records, self._rate_every_s, self._rated_s = records, rate_every_s, 0.0
        self._kafka, self._codec, self._member, self._prober = kafka, codec, member, prober
        self._confirmations = confirmations
        self._producer: TransactionalProducer | None = None
        self._begin()

    @property
    def leads(self) -> bool:
        """True while this is the one that writes, and has read all there is."""
        return self._producer is not None and self._caught_up

    def run(self, stop: Callable[[], bool]) -> None:
        """Keep the registry until `stop()`.

        Raises:
            BrokerUnavailable: When Kafka does not answer; `run` may be called again.
            Fenced: When another process has this member's name.
        """
        consumer = InputConsumer(self._kafka, GROUP, self._member, (ARMS,), self._assigned, self._revoked)
        try:
            looked_s = time.monotonic()
            while not stop():
                messages = consumer.poll(_POLL_S, _BATCH)
                now_s = time.monotonic()
                if now_s - looked_s > _STANDSTILL_S:
                    self._beats.stood_still(_now_ms())
                looked_s = now_s
                self._take([record_of(message) for message in messages])
                if self._producer is not None and not self._caught_up:
                    self._catch_up()
                if self.leads:
                    self._act()
        finally:
            self._revoked([0])
            consumer.close()

    def _begin(self) -> None:
        self._table = RegistryTable(self._codec, lambda _: None, lambda _record, _error: None)
        self._beats, self._watch = HeartbeatWatch(), HealthWatch(self._confirmations)
        self._unsaid: dict[tuple[ArmId, int], ArmBreakerChanged] = {}
        self._under_way: Counter[tuple[type[Any], ArmId]] = Counter()
        self._caught_up = False

    def _assigned(self, numbers: list[int]) -> None:
        if not numbers:
            return
        self._begin()
        self._producer = TransactionalProducer(self._kafka, GROUP)

    def _revoked(self, _: list[int]) -> None:
        if self._producer is not None:
            self._producer.close()
            self._producer = None

    def _catch_up(self) -> None:
        """Read all there is; what the group's consumer brings of it is passed over."""
        with closing(KafkaLogReader(self._kafka)) as reader:
            for batch in reader.read({(ARMS, 0): 0}, until=reader.ends([ARMS])):
                self._take(batch)
        self._caught_up = True

    def _take(self, records: list[LogRecord]) -> None:
        for record in records:
            before = self._table.registry
            if record.offset < before.offset:
                continue
            self._table.apply([record])
            with suppress(UndecodableRecord):  # the task processor says so
                self._notice(self._codec.decode(record.value), before, record.offset)

    def _notice(self, event: ArmEvent, before: Registry, offset: int) -> None:
        now_ms = _now_ms()
        match event:
            case ArmHeartbeat(arm_id=arm_id):
                self._beats.heard(arm_id, now_ms)
            case ArmRegistered(capability=capability):
                self._beats.registered(capability.arm_id, now_ms)
            case ArmHealthChanged(arm_id=arm_id):
                self._beats.changed(arm_id)
                self._under_way[ArmHealthChanged, arm_id] -= 1
            case ArmBreakerChanged(arm_id=arm_id, cause_offset=cause):
                self._unsaid.pop((arm_id, cause), None)
                self._under_way[ArmBreakerChanged, arm_id] -= 1
            case ArmRated(arm_id=arm_id):
                self._under_way[ArmRated, arm_id] -= 1
            case _:
                pass
        if not isinstance(event, ArmBreakerChanged):
            self._note_breakers(before, offset)

    def _note_breakers(self, before: Registry, offset: int) -> None:
        """What a count, or a registration, did to a breaker is said aloud later."""
        now = self._table.registry
        if now.arms is before.arms:
            return
        for arm_id, arm in now.arms.items():
            was = before.arms.get(arm_id)
            if was is not None and was.breaker is not arm.breaker:
                breaker = now.breakers.get(arm_id, WHOLE)
                reason = breaker.reason or "nothing speaks against it any more"
                said = ArmBreakerChanged(arm_id, arm.breaker, was.breaker, offset, reason)
                self._unsaid[arm_id, offset] = said

    def _act(self) -> None:
        told: list[_Told] = [*self._of_health(), *self._of_breakers(), *self._of_results()]
        producer = self._producer
        if not told or producer is None:
            return
        producer.begin()
        for event in told:
            producer.produce(ARMS, event.arm_id.encode(), self._codec.encode(event), 0, None)
            self._under_way[type(event), event.arm_id] += 1
        producer.prepare([], None)
        producer.commit()
        for event in told:
            _log.info("%s", event)

    def _of_health(self) -> Iterable[ArmHealthChanged]:
        registry, now_ms = self._table.registry, _now_ms()
        present = {arm_id: arm for arm_id, arm in registry.arms.items() if not arm.retired}
        probed = [arm.capability for arm in present.values() if arm.capability.health_check_url]
        self._prober.look(probed, self._watch.doubted)
        for capability, seen in self._prober.seen():
            arm = present.get(capability.arm_id)
            if (
                arm is not None
                and arm.capability == capability
                and self._may(ArmHealthChanged, capability.arm_id)
            ):
                change = self._watch.probed(capability, arm.health, seen)
                if change is not None:
                    yield change
        for arm_id, arm in present.items():
            if not arm.capability.health_check_url and self._may(ArmHealthChanged, arm_id):
                change = self._beats.look(arm_id, arm.health, now_ms)
                if change is not None:
                    yield change

    def _of_breakers(self) -> Iterable[ArmBreakerChanged]:
        registry, now_ms = self._table.registry, int(time.time() * 1_000)
        for said in self._unsaid.values():
            if self._may(ArmBreakerChanged, said.arm_id):
                yield said
        for arm_id, breaker in registry.breakers.items():
            due = due_ms(breaker, registry.arms[arm_id].capability)
            quiet = self._may(ArmBreakerChanged, arm_id) and not any(key[0] == arm_id for key in self._unsaid)
            if due is not None and now_ms >= due and quiet:
                reason = "its time is over; probes decide"
                yield ArmBreakerChanged(
                    arm_id, BreakerState.HALF_OPEN, BreakerState.OPEN, breaker.cause_offset, reason
                )

    def _of_results(self) -> Iterable[ArmRated]:
        now_s = time.monotonic()
        if self._records is None or (self._rated_s and now_s - self._rated_s < self._rate_every_s):
            return
        self._rated_s = now_s
        for arm_id, record in self._records().items():
            arm = self._table.registry.arms.get(arm_id)
            if arm is not None and not arm.retired and self._may(ArmRated, arm_id):
                said = rating(arm.capability, arm.success_rate, record)
                if said is not None:
                    yield said

    def _may(self, kind: type[Any], arm_id: ArmId) -> bool:
        """False while what was written of the arm has not been read back."""
        return self._under_way[kind, arm_id] <= 0


def _now_ms() -> int:
    return int(time.monotonic() * 1_000)
