"""Reading the log outside any group: for restores, replays, projections and the command line."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from octolog.domain.errors import BrokerUnavailable, NotFound, OctologError
from octolog.ports import LogRecord, Positions
from streams.kafka.config import REQUEST_TIMEOUT_S, KafkaConfig
from streams.kafka.errors import Refusals, asked, transient, translated

BATCH: Final = 20_000
_IDLE_S: Final = 0.2
_QUEUED_MB: Final = 128
_LEADER_PAUSE_S: Final = 0.05
_MISSING: Final = frozenset(
    {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}  # noqa: SLF001 -- no public name
)
_SILENCE_S: Final = 30.0
"""A bounded read that hears nothing for so long gives up: the broker is away, or the end cannot be reached."""


class KafkaLogReader:
    """A consumer that assigns itself what it is asked to read, committed records only.

    Args:
        config: Where Kafka is.
        batch: Most records handed out together.

    Raises:
        BrokerUnavailable: When Kafka does not answer within bounds.
    """

    def __init__(self, config: KafkaConfig, *, batch: int = BATCH) -> None:
        self._refusals = Refusals()
        properties = config.consumer(
            "octolog-reader",
            enable_partition_eof=True,
            queued_max_messages_kbytes=_QUEUED_MB * 1024,
            # A partition with so many records queued rests for a second: the bound above is the one that should hold.
            queued_min_messages=1_000_000,
            fetch_queue_backoff_ms=10,
            fetch_message_max_bytes=8 << 20,
            fetch_wait_max_ms=50,
        )
        self._consumer = Consumer({**properties, "error_cb": self._refusals.hear})
        self._batch = batch

    def ends(self, topics: Sequence[str]) -> Positions:
        """The offset after the last committed record of every partition of `topics`."""
        return {
            (topic, partition): self._bounds(topic, partition)[1]
            for topic in topics
            for partition in self._partitions(topic)
        }

    def begins(self, topics: Sequence[str]) -> Positions:
        """The offset of the first record kept of every partition of `topics`."""
        return {
            (topic, partition): self._bounds(topic, partition)[0]
            for topic in topics
            for partition in self._partitions(topic)
        }

    def end(self, topic: str, partition: int) -> int:
        """The offset after the last committed record of one partition."""
        return self._bounds(topic, partition)[1]

    def at_time(self, topics: Sequence[str], timestamp_ms: int) -> Positions:
        """For every partition, the first offset at or after a time; its end when there is none."""
        asked = [TopicPartition(t, p, timestamp_ms) for t in topics for p in self._partitions(t)]
        ends = self.ends(topics)  # first: what is written between the two questions must not be skipped
        try:
            found = self._consumer.offsets_for_times(asked, timeout=REQUEST_TIMEOUT_S)
        except KafkaException as error:
            raise self._translated(error, "looking up a time") from error
        return {
            (tp.topic, tp.partition): tp.offset if tp.offset >= 0 else ends[tp.topic, tp.partition]
            for tp in found
        }

    def read(self, start: Positions, *, until: Positions | None = None) -> Iterator[list[LogRecord]]:
        """Batches from `start`; ends at `until`, or follows the log when None, with an empty list when idle."""
        self._assign(start, until)
        try:
            if until is None:
                yield from self._follow()
            else:
                yield from self._bounded(
                    {key: end for key, end in until.items() if start.get(key, end) < end}
                )
        finally:
            self._consumer.unassign()

    def close(self) -> None:
        """Release the connection."""
        self._consumer.close()

    def _follow(self) -> Iterator[list[LogRecord]]:
        while True:
            yield records(self._poll(self._batch))

    def _bounded(self, open_ends: Positions) -> Iterator[list[LogRecord]]:
        silent_s, batch = 0.0, list[LogRecord]()
        while open_ends:
            messages = self._poll(self._batch - len(batch))
            found = records(messages)
            reached = _reached(messages, found)
            if any(offset > open_ends.get(place, 0) for place, offset in reached.items()):
                found = [r for r in found if r.offset < open_ends.get((r.topic, r.partition), 0)]
            batch += found
            for place, offset in reached.items():
                if offset >= open_ends.get(place, offset + 1):
                    del open_ends[place]
            if batch and (len(batch) >= self._batch or not messages or not open_ends):
                yield batch
                batch = []
            silent_s = 0.0 if messages else silent_s + _IDLE_S
            if silent_s > _SILENCE_S:
                raise BrokerUnavailable(f"no record came for {_SILENCE_S:.0f} s; is Kafka running?")

    def _translated(self, error: KafkaException, doing: str) -> OctologError:
        self._hear(0)
        return translated(error, doing, self._refusals)

    def _hear(self, timeout_s: float) -> None:
        if not self._consumer.assignment():  # only then no record can come out of this poll
            self._consumer.poll(timeout_s)

    def _poll(self, most: int) -> list[Message]:
        first = self._consumer.poll(_IDLE_S)
        if first is None:
            return []
        return [first, *self._consumer.consume(most - 1, 0)] if most > 1 else [first]

    def _assign(self, start: Positions, until: Positions | None) -> None:
        wanted = [
            TopicPartition(topic, partition, offset)
            for (topic, partition), offset in start.items()
            if until is None or offset < until.get((topic, partition), 0)
        ]
        self._consumer.assign(wanted)

    def _bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """First and next offset; asks again while a topic just made has no leader yet."""
        deadline = time.monotonic() + REQUEST_TIMEOUT_S
        while True:
            try:
                found = self._consumer.get_watermark_offsets(
                    TopicPartition(topic, partition), timeout=REQUEST_TIMEOUT_S
                )
            except KafkaException as error:
                if not transient(error) or time.monotonic() > deadline:
                    raise self._translated(error, f"asking for the end of {topic}") from error
                time.sleep(_LEADER_PAUSE_S)
                continue
            if found is None:
                raise BrokerUnavailable(f"Kafka does not say where {topic} ends")
            return found

    def _partitions(self, topic: str) -> list[int]:
        try:
            listed = asked(
                lambda s: self._consumer.list_topics(topic, timeout=s),
                REQUEST_TIMEOUT_S,
                self._refusals,
                self._hear,
            )
            found = listed.topics[topic]
        except KafkaException as error:
            raise self._translated(error, f"looking for {topic}") from error
        if found.error is not None and found.error.code() not in _MISSING:
            raise BrokerUnavailable(f"Kafka, while looking for {topic}: {found.error.str()}")
        if found.error is not None or not found.partitions:
            raise NotFound(f"topic {topic} does not exist; run `octolog topics apply`")
        return sorted(found.partitions)


def record_of(message: Message) -> LogRecord:
    """A message as a record."""
    return LogRecord(
        message.topic(),  # type: ignore[arg-type]  # set on every record
        message.partition(),  # type: ignore[arg-type]
        message.offset(),  # type: ignore[arg-type]
        message.timestamp()[1],
        message.key(),
        message.value(),
    )


def records(messages: list[Message]) -> list[LogRecord]:
    """Messages as records; what a consumer reports in passing is left out.

    Raises:
        BrokerUnavailable: On an error the client does not get over by itself.
    """
    found = []
    for message in messages:
        error = message.error()
        if error is None:
            found.append(record_of(message))
        elif error.fatal():
            raise BrokerUnavailable(f"Kafka, while reading: {error.str()}")
    return found


def _reached(messages: list[Message], found: list[LogRecord]) -> Positions:
    """The next offset of each partition after these messages, of which `found` are the records.

    The last offsets of a partition are often control records, which are never delivered: there, only the
    consumer's word that the partition ended tells how far it is.
    """
    reached = {(record[0], record[1]): record[2] + 1 for record in found}
    if len(found) < len(messages):
        for message in messages:
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 -- no public name
                place = message.topic() or "", message.partition() or 0
                # It may have gone on after it was told to end: records stand behind the word, in the same messages.
                reached[place] = max(reached.get(place, 0), message.offset() or 0)
    return reached
