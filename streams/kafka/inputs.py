"""The input side of the task processor: a group member that reads co-partitioned topics."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from octolog.domain.errors import BrokerUnavailable, Fenced, NotFound
from octolog.ports import Positions
from streams.kafka.config import REQUEST_TIMEOUT_S, SESSION_TIMEOUT_MS, KafkaConfig
from streams.kafka.errors import Verdict, judge, translated

# A member of the classic protocol has one fatal error: another took its name. `fatal()` is False for that one.
_FENCED: Final = frozenset(
    {KafkaError.FENCED_INSTANCE_ID, KafkaError._FENCED, KafkaError._FATAL}  # noqa: SLF001 -- no public names
)


class InputConsumer:
    """Reads the same partitions of several topics as one member of a group.

    Membership is static: a restarted worker of the same slot takes its partitions back at once. The range
    assignor gives one member the same partition numbers of every topic.

    Args:
        config: Where Kafka is.
        group: The consumer group.
        slot: This member's name in it, stable over restarts.
        topics: What to read; all of one number of partitions.
        on_assigned: Called with partition numbers before their first record is delivered.
        on_revoked: Called with partition numbers after their last.
    """

    def __init__(
        self,
        config: KafkaConfig,
        group: str,
        slot: str,
        topics: tuple[str, ...],
        on_assigned: Callable[[list[int]], None],
        on_revoked: Callable[[list[int]], None],
    ) -> None:
        self._config, self._group, self._topics = config, group, topics
        self._consumer = Consumer(
            config.consumer(
                group,
                group_instance_id=slot,
                client_id=slot,
                partition_assignment_strategy="range",
                session_timeout_ms=SESSION_TIMEOUT_MS,
                heartbeat_interval_ms=SESSION_TIMEOUT_MS // 6,
                queued_max_messages_kbytes=64 * 1024,
                fetch_wait_max_ms=50,
            )
        )
        self._rebalances = 0

        def assigned(_: Consumer, places: list[TopicPartition]) -> None:
            self._rebalances += 1
            on_assigned(sorted({place.partition for place in places}))

        def revoked(_: Consumer, places: list[TopicPartition]) -> None:
            self._rebalances += 1
            on_revoked(sorted({place.partition for place in places}))

        self._consumer.subscribe(list(topics), on_assign=assigned, on_revoke=revoked, on_lost=revoked)

    def poll(self, timeout_s: float, max_records: int) -> list[Message]:
        """What has come: at least one record, or none after `timeout_s` seconds.

        Raises:
            Fenced: When another process runs this slot.
            BrokerUnavailable: On an error the client does not get over by itself.
        """
        try:
            first = self._consumer.poll(timeout_s)
            if first is None:
                return []
            before = self._rebalances
            found = [first, *self._consumer.consume(max_records - 1, 0)]
            if self._rebalances != before:
                # Some of these may have been read under the old assignment and come again under the new one.
                self.rewind(sorted({place.partition for place in self._consumer.assignment()}))
                return []
        except KafkaException as error:
            if judge(error) is Verdict.STEP_DOWN:
                raise Fenced("another process runs this slot") from error
            raise translated(error, "reading inputs") from error
        return [message for message in found if _usable(message)]

    def after(self, messages: list[Message], owner: str) -> list[TopicPartition]:
        """The positions after these messages, last processed + 1, signed with the owner's transactional id."""
        last: Positions = {}
        for message in messages:
            last[message.topic() or "", message.partition() or 0] = message.offset() or 0
        return [
            TopicPartition(topic, partition, offset + 1, metadata=owner)
            for (topic, partition), offset in last.items()
        ]

    def mark(self, topic: str, offset: int, owner: str) -> TopicPartition:
        """A position in a topic of one partition that is read outside the group, for the same transaction."""
        return TopicPartition(topic, 0, offset, metadata=owner)

    def marked(self, topic: str) -> int:
        """The position that `mark` left last; 0 when there is none."""
        return self.positions(topic, [0])[0]

    def group_metadata(self) -> Any:
        """What a transaction needs to commit this group's positions; fresh at every call."""
        return self._consumer.consumer_group_metadata()

    def former_owners(self, partitions: list[int]) -> set[str]:
        """Transactional ids that committed positions of these partitions before.

        Asked by a client that also hears of positions beside an open transaction: the others wait for its end,
        and the owner's name is wanted to end it.
        """
        asked = [TopicPartition(topic, partition) for topic in self._topics for partition in partitions]
        with closing(
            Consumer({**self._config.consumer(self._group), "isolation.level": "read_uncommitted"})
        ) as anyone:
            try:
                found = anyone.committed(asked, timeout=REQUEST_TIMEOUT_S)
            except KafkaException as error:
                raise translated(error, "asking for former owners") from error
        return {tp.metadata for tp in found if tp.metadata}

    def rewind(self, partitions: list[int]) -> None:
        """Read these partitions again from their committed positions."""
        for tp in self._committed(partitions):
            offset = tp.offset if tp.offset >= 0 else OFFSET_BEGINNING
            try:
                self._consumer.seek(TopicPartition(tp.topic, tp.partition, offset))
            except KafkaException as error:
                raise translated(error, "going back to the committed position") from error

    def positions(self, topic: str, partitions: list[int]) -> dict[int, int]:
        """The committed position of each of these partitions of one topic; 0 where there is none."""
        if not partitions:
            return {}
        found = self._ask_committed([TopicPartition(topic, number) for number in partitions])
        return {tp.partition: max(0, tp.offset) for tp in found}

    def lag(self, partitions: list[int]) -> int:
        """Records not processed yet, by the last known ends; control records count."""
        behind = 0
        for tp in self._committed(partitions):
            _, end = self._consumer.get_watermark_offsets(TopicPartition(tp.topic, tp.partition), cached=True)
            behind += max(0, end - max(0, tp.offset))
        return behind

    def close(self) -> None:
        """Leave; a static member's partitions stay reserved for its slot until the session ends."""
        self._consumer.close()

    def _committed(self, partitions: list[int]) -> list[TopicPartition]:
        return self._ask_committed(
            [TopicPartition(topic, partition) for topic in self._topics for partition in partitions]
        )

    def _ask_committed(self, asked: list[TopicPartition]) -> list[TopicPartition]:
        try:
            return self._consumer.committed(asked, timeout=REQUEST_TIMEOUT_S)
        except KafkaException as error:
            raise translated(error, "asking for committed positions") from error


def _usable(message: Message) -> bool:
    error = message.error()
    if error is None:
        return True
    if error.code() in _FENCED:
        raise Fenced("another process runs this slot")
    if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        raise NotFound(f"{error.str()}; run `octolog topics apply`")
    if error.fatal():
        raise BrokerUnavailable(f"Kafka, while reading inputs: {error.str()}")
    return False
