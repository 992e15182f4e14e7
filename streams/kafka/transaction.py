"""The transactional producer of one worker, and the rules for its errors.

- A retriable error: the same call again, within bounds.
- Abort required: abort, then the caller restores from the log.
- Fatal, or any time-out of a transaction request: nobody knows what the broker holds. The producer is thrown
  away; a new one with the same id bumps the epoch, which fences whatever the old one left behind.
- Fenced: another process runs this slot, or a transaction outlived its time-out (a long pause of this process or
  of the broker). The consumer group knows which: the caller asks it, and steps down or renews the producer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final

from confluent_kafka import KafkaException, Producer, TopicPartition

from octolog.domain.errors import BrokerUnavailable, Fenced
from streams.kafka.config import DELIVERY_TIMEOUT_MS, TRANSACTION_TIMEOUT_MS, KafkaConfig
from streams.kafka.errors import Verdict, judge, translated

_RETRIES: Final = 20
_RETRY_PAUSE_S: Final = 0.05
_INIT_TIMEOUT_S: Final = 30.0
_COMMIT_TIMEOUT_S: Final = 15.0
_MAX_RECORD_BYTES: Final = 32 * 1024 * 1024
"""Twice what an input's batch may be: a dead letter holds one, its headers in base64, and the reason."""


class TransactionLost(BrokerUnavailable):
    """The transaction did not commit, or nobody knows: drop the state, restore from the log."""


class ProducerFenced(TransactionLost):
    """The id's epoch was bumped by somebody else: ask the group whose slot it is, then `renew` or step down."""


class TransactionalProducer:
    """One transactional id, one transaction at a time.

    Args:
        config: Where Kafka is.
        transactional_id: Stable for the worker's slot, so that a restart fences its dead self at once.

    Raises:
        Fenced: When another process took over this id.
        BrokerUnavailable: When Kafka does not answer within bounds.
    """

    def __init__(self, config: KafkaConfig, transactional_id: str) -> None:
        self._config = config
        self.transactional_id = transactional_id
        # Positions go beside the records: neither waits for the other.
        self._aside = ThreadPoolExecutor(1, thread_name_prefix=f"{transactional_id}-positions")
        self._producer = self._fresh()

    def renew(self) -> None:
        """Take the id back after it was fenced; whoever else holds it is fenced by that.

        Raises:
            Fenced: When another process takes it over at the same time.
            BrokerUnavailable: When Kafka does not answer within bounds.
        """
        self._producer = self._fresh()

    def begin(self) -> None:
        """Open a transaction; local, needs no broker."""
        self._call("beginning a transaction", self._producer.begin_transaction)

    def produce(
        self,
        topic: str,
        key: bytes,
        value: bytes | None,
        partition: int,
        headers: Mapping[str, str | bytes] | None,
    ) -> None:
        """Add a record to the open transaction; `partition` -1 leaves the choice to the key."""
        properties: dict[str, Any] = {} if partition < 0 else {"partition": partition}
        if headers is not None:
            properties["headers"] = headers
        try:
            while True:
                try:
                    self._producer.produce(topic, value, key, **properties)
                except BufferError:
                    self._producer.poll(0.02)
                else:
                    return
        except KafkaException as error:
            raise self._lost(error, f"writing to {topic}") from error

    def prepare(self, offsets: list[TopicPartition], group: Any) -> None:
        """Bring records and the inputs' positions, last processed + 1, to the broker: all but the commit.

        Raises:
            TransactionLost: When that failed, or nobody knows.
            ProducerFenced: When its id was taken over.
        """
        told = self._aside.submit(self._send_offsets, offsets, group) if offsets else None
        self._producer.flush(_COMMIT_TIMEOUT_S)  # what it leaves unsent, the commit says
        if told is not None:
            told.result()

    def commit(self) -> None:
        """Commit the open transaction.

        Raises:
            TransactionLost: When it did not commit, or nobody knows.
            ProducerFenced: When its id was taken over.
        """
        self._call("committing", lambda: self._producer.commit_transaction(_COMMIT_TIMEOUT_S))

    def abort(self) -> None:
        """Abort what is open; where that cannot be said to have worked, go on with a fresh producer."""
        try:
            self._producer.abort_transaction(_COMMIT_TIMEOUT_S)
        except KafkaException as error:
            if judge(self._cause(error)) is Verdict.STEP_DOWN:
                raise ProducerFenced(f"{self.transactional_id} was taken over, while aborting") from error
            self._producer = self._fresh()

    def close(self) -> None:
        """Abort what is open, within bounds, and let go."""
        with suppress(KafkaException):  # nothing open, or nothing to be done: the id's next owner fences it
            self._producer.abort_transaction(2.0)
        self._aside.shutdown()
        del self._producer  # librdkafka frees it with the last reference

    def _send_offsets(self, offsets: list[TopicPartition], group: Any) -> None:
        self._call(
            "sending offsets",
            lambda: self._producer.send_offsets_to_transaction(offsets, group, _COMMIT_TIMEOUT_S),
        )

    def _call(self, doing: str, request: Callable[[], object]) -> None:
        for _ in range(_RETRIES):
            try:
                request()
            except KafkaException as error:
                if judge(error) is not Verdict.RETRY:
                    raise self._lost(error, doing) from error
                time.sleep(_RETRY_PAUSE_S)
            else:
                return
        self._producer = self._fresh()
        raise TransactionLost(f"Kafka kept failing while {doing}")

    def _lost(self, error: KafkaException, doing: str) -> Exception:
        """Leave the producer usable for a next transaction, and say what the caller must do."""
        verdict = judge(self._cause(error))
        if verdict is Verdict.STEP_DOWN:
            return ProducerFenced(f"{self.transactional_id} was taken over, while {doing}")
        if verdict is Verdict.ABORT:
            try:
                self._producer.abort_transaction(_COMMIT_TIMEOUT_S)
            except KafkaException as second:
                if judge(self._cause(second)) is Verdict.STEP_DOWN:
                    return ProducerFenced(f"{self.transactional_id} was taken over, while aborting")
            else:
                return TransactionLost(f"aborted while {doing}: {error.args[0].str()}")
        self._producer = self._fresh()
        return TransactionLost(f"{doing}: {error.args[0].str()}")

    def _cause(self, error: KafkaException) -> KafkaException:
        """Why the producer gave up for good: that is raised once, out of a poll; other calls say "fatal" alone."""
        try:
            self._producer.poll(0)
        except KafkaException as cause:
            return cause
        return error

    def _fresh(self) -> Producer:
        properties = self._config.producer(
            transactional_id=self.transactional_id,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            message_timeout_ms=DELIVERY_TIMEOUT_MS,
            # Large transactions leave in few large batches (1 ms: two to three times the broker's work at full speed);
            # with 20 ms a small one took 5 ms longer from submit to fact.
            linger_ms=5,
            batch_size=1_000_000,
            message_max_bytes=_MAX_RECORD_BYTES,
            # Kafka answers CONCURRENT_TRANSACTIONS while it ends the transaction before; the default waits 100 ms.
            retry_backoff_ms=2,
        )
        deadline = time.monotonic() + _INIT_TIMEOUT_S
        while True:
            producer = Producer(properties)
            try:
                producer.init_transactions(5.0)
            except KafkaException as error:
                if judge(error) is Verdict.STEP_DOWN:
                    raise Fenced(f"{self.transactional_id}: another process runs this slot") from error
                if time.monotonic() > deadline:
                    raise translated(error, "starting the transactional producer") from error
            else:
                return producer


def fence(config: KafkaConfig, transactional_id: str) -> None:
    """End whatever a former owner left open under its id, so that its partitions can be read to the end.

    Raises:
        BrokerUnavailable: When Kafka does not answer within bounds.
    """
    with suppress(Fenced):  # its slot came back at this moment, and has ended what its predecessor left
        TransactionalProducer(config, transactional_id).close()
