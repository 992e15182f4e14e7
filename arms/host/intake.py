"""Reads assignments and commits what is done: aiokafka's consumer, at read_committed, with explicit offsets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import monotonic
from typing import Any, Final

from aiokafka import (
    AIOKafkaConsumer,
    ConsumerRebalanceListener,
    TopicPartition,
)
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    TopicAlreadyExistsError,
)

from arms.host.places import Places
from arms.host.security import security
from arms.host.settings import HostSettings
from octolog.domain.errors import BrokerUnavailable

__all__ = ["Intake", "make_topics"]

_log: Final = logging.getLogger(__name__)
_RETENTION_MS: Final = 604_800_000  # as deploy/topics.yaml
_FETCH_WAIT_MS: Final = 100
_POLL_MS: Final = 200
_BATCH: Final = 500  # about 12 ms of decoding: longer would be felt as latency
_START_S: Final = 30.0
_COMMIT_S: Final = 2.0
_CATCH_UP_S: Final = 5.0


async def make_topics(settings: HostSettings, topics: Iterable[str]) -> None:
    """Make the assignment topics that do not exist yet.

    Raises:
        BrokerUnavailable: Kafka does not answer, or refuses.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers, **security(settings.kafka))
    configs = {"message.timestamp.type": "LogAppendTime", "retention.ms": str(_RETENTION_MS)}
    try:
        await asyncio.wait_for(admin.start(), _START_S)
        missing = sorted(set(topics) - set(await admin.list_topics()))
        if missing:
            wanted = [
                NewTopic(name, settings.partitions, settings.replication_factor, topic_configs=configs)
                for name in missing
            ]
            with suppress(TopicAlreadyExistsError):
                await admin.create_topics(wanted)
    except (KafkaError, OSError, TimeoutError) as error:
        raise BrokerUnavailable(f"{settings.bootstrap_servers}: {error!r}") from error
    finally:
        await admin.close()


class Intake(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """The consumer of one host.

    Args:
        settings: The host's.
        topics: Assignment topics.
        on_revoked: Called with the places of partitions that another host reads from now on.
    """

    def __init__(
        self, settings: HostSettings, topics: Iterable[str], on_revoked: Callable[[list[Places]], None]
    ) -> None:
        self._topics, self._on_revoked = list(topics), on_revoked
        self._places: dict[TopicPartition, Places] = {}
        self._paused = False
        self._behind_since: float | None = None
        self._settings = settings
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.bootstrap_servers,
            group_id=settings.group_id,
            group_instance_id=settings.slot,
            client_id=f"octolog-arms-{settings.instance_id}",
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_interval_ms=min(3_000, settings.session_timeout_ms // 3),
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            metadata_max_age_ms=30_000,
            **security(settings.kafka),
        )

    async def start(self) -> None:
        """Join the group.

        Raises:
            BrokerUnavailable: Kafka does not answer.
        """
        self._consumer.subscribe(self._topics, listener=self)
        try:
            await asyncio.wait_for(self._consumer.start(), _START_S)
        except (KafkaError, OSError, TimeoutError) as error:
            await self._consumer.stop()
            raise BrokerUnavailable(f"{self._settings.bootstrap_servers}: {error!r}") from error

    async def read(self, *, full: bool) -> list[tuple[Places, list[Any]]]:
        """What came, per partition; with `full`, nothing is fetched and only the group is kept up.

        Returns:
            The places of the partition, and its records in order; their offsets are taken already.
        """
        self._hold_back(full=full)
        try:
            batches = await self._consumer.getmany(timeout_ms=_POLL_MS, max_records=_BATCH)
        except KafkaError as error:
            _log.warning("reading assignments: %r; trying again", error)
            await asyncio.sleep(1)
            return []
        result = []
        for partition, records in batches.items():
            places = self._places.get(partition)
            if places is None:  # revoked while the records were on their way: the new owner reads them
                continue
            for record in records:
                places.take(record.offset)
            result.append((places, records))
        return result

    async def caught_up(self) -> bool:
        """True once what lay in the log at the start was read, or after 5 s.

        An attempt that was revoked while the host was away is then known as such before it would be started.
        """
        if self._behind_since is None:
            return True
        if monotonic() - self._behind_since < _CATCH_UP_S:
            for partition in self._consumer.assignment():
                end = self._consumer.last_stable_offset(partition)
                if end is None or await self._consumer.position(partition) < end:
                    return False
        self._behind_since = None
        return True

    async def commit(self) -> None:
        """Commit how far each partition is done."""
        offsets = {}
        for partition, places in self._places.items():
            offset = places.to_commit()
            if offset is not None:
                offsets[partition] = offset
        if not offsets:
            return
        try:
            await asyncio.wait_for(self._consumer.commit(offsets), _COMMIT_S)
        except (CommitFailedError, IllegalStateError) as error:
            _log.info("not committed, the group rebalances: %s", error)
        except (KafkaError, TimeoutError) as error:
            _log.warning("not committed, tried again soon: %r", error)
        else:
            for partition, offset in offsets.items():
                if partition in self._places:
                    self._places[partition].committed(offset)

    async def confirm(self, places: Places) -> bool:
        """Whether this host still reads a partition, as the group's coordinator says: it takes a commit, or does not.

        Raises:
            KafkaError: It says neither.
        """
        partition = next((known for known, mine in self._places.items() if mine is places), None)
        offset = places.reached()
        if partition is None or offset is None:
            return False
        try:
            await self._consumer.commit({partition: offset})
        except (CommitFailedError, IllegalStateError) as error:
            _log.info("%s: read by another host: %s", partition, error)
            return False
        return self._places.get(partition) is places

    async def stop(self) -> None:
        """Commit and leave."""
        await self.commit()
        await self._consumer.stop()

    async def on_partitions_revoked(  # pyright: ignore[reportIncompatibleMethodOverride]  # aiokafka awaits it
        self, revoked: Iterable[TopicPartition]
    ) -> None:
        """Called by aiokafka before a rebalance: commit what is done, forget the rest."""
        await self.commit()
        gone = [self._places.pop(partition) for partition in list(revoked) if partition in self._places]
        if gone:
            self._on_revoked(gone)

    async def on_partitions_assigned(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, assigned: Iterable[TopicPartition]
    ) -> None:
        """Called by aiokafka after a rebalance."""
        for partition in assigned:
            self._places[partition] = Places()
        self._paused = False
        self._behind_since = monotonic()

    def _hold_back(self, *, full: bool) -> None:
        if full != self._paused:
            partitions = self._consumer.assignment()
            (self._consumer.pause if full else self._consumer.resume)(*partitions)
            self._paused = full
