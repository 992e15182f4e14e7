"""Two transactional producers in turn: while Kafka ends one transaction, the next is filled.

A transaction's end costs a request and, after it, the moments in which Kafka writes the markers; one begun by the
same producer in these moments is answered CONCURRENT_TRANSACTIONS and waits. So the worker fills the next with
another producer. What makes that safe: the records of a transaction are on the broker before the next begins, so
partitions keep their order; and a transaction is committed only after the one before it is known to be. Where that
one is lost, both are, and the worker restores from the log.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from confluent_kafka import TopicPartition

from octolog.domain.errors import Fenced, Unavailable
from streams.kafka.config import KafkaConfig
from streams.kafka.transaction import TransactionalProducer, fence

_TURNS = ("", "-2")


class TransactionPipeline:
    """The transactional producers of one worker's slot.

    Args:
        config: Where Kafka is.
        owner: The slot's name; its transactional ids derive from it.

    Raises:
        Fenced: When another process took over this slot.
        BrokerUnavailable: When Kafka does not answer within bounds.
    """

    def __init__(self, config: KafkaConfig, owner: str) -> None:
        self._ender = ThreadPoolExecutor(1, thread_name_prefix=f"{owner}-commits")
        with ThreadPoolExecutor(len(_TURNS)) as starting:
            self._turns = list(starting.map(lambda turn: TransactionalProducer(config, owner + turn), _TURNS))
        self._ending: Future[float] | None = None
        self._open = False

    @property
    def ended(self) -> bool:
        """True when the last transaction is over and `settle` has not told how."""
        return self._ending is not None and self._ending.done()

    def begin(self) -> None:
        """Open a transaction; local, needs no broker."""
        self._turns[0].begin()
        self._open = True

    def produce(
        self,
        topic: str,
        key: bytes,
        value: bytes | None,
        partition: int,
        headers: Mapping[str, str | bytes] | None,
    ) -> None:
        """Add a record to the open transaction; `partition` -1 leaves the choice to the key."""
        self._turns[0].produce(topic, key, value, partition, headers)

    def prepare(self, offsets: list[TopicPartition], group: Any) -> None:
        """Bring the open transaction's records, and the inputs' positions, to the broker.

        Raises:
            TransactionLost: When that failed, or nobody knows.
            ProducerFenced: When an id was taken over.
        """
        self._turns[0].prepare(offsets, group)

    def commit(self) -> None:
        """Commit what was prepared, in the background; the one before must be settled."""
        self._ending = self._ender.submit(_commit, self._turns[0])
        self._open = False
        self._turns.reverse()

    def settle(self) -> float:
        """Wait until the last transaction is committed; seconds its commit took, 0.0 when there was none.

        Raises:
            TransactionLost: When it did not commit, or nobody knows; the open one is aborted then.
            ProducerFenced: When its id was taken over; likewise.
        """
        ending, self._ending = self._ending, None
        if ending is None:
            return 0.0
        try:
            return ending.result()
        except (Unavailable, Fenced):
            if self._open:
                self._open = False
                self._turns[0].abort()
            raise

    def abandon(self) -> None:
        """Wait until the last transaction is over, however it ended."""
        self._open = False  # its caller knows it to be lost
        with suppress(Unavailable, Fenced):  # whoever is fenced hears of it at the next transaction
            self.settle()

    def renew(self) -> None:
        """Take the ids back after they were fenced; whoever else holds them is fenced by that.

        Raises:
            Fenced: When another process takes them over at the same time.
            BrokerUnavailable: When Kafka does not answer within bounds.
        """
        self.abandon()
        for producer in self._turns:
            producer.renew()

    def close(self) -> None:
        """End what is being ended, abort what is open, and let go."""
        self.abandon()
        self._ender.shutdown()
        for producer in self._turns:
            producer.close()


def _commit(producer: TransactionalProducer) -> float:
    began_s = time.monotonic()
    producer.commit()
    return time.monotonic() - began_s


def fence_owner(config: KafkaConfig, owner: str) -> None:
    """End whatever a former owner left open, so that its partitions can be read to the end.

    Raises:
        BrokerUnavailable: When Kafka does not answer within bounds.
    """
    for turn in _TURNS:
        fence(config, owner + turn)
