"""A bounded read gives what lies before its bounds, each record once, however the consumer cuts it up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from confluent_kafka import KafkaError

from octolog.ports import Positions
from streams.kafka.reader import KafkaLogReader

TOPIC = "facts"
ENDED = KafkaError(KafkaError._PARTITION_EOF)


@dataclass
class Said:
    """What a consumer hands out: a record, or the word that a partition ended there."""

    at: int
    place: int = 0
    why: KafkaError | None = None

    def error(self) -> KafkaError | None:
        return self.why

    def topic(self) -> str:
        return TOPIC

    def partition(self) -> int:
        return self.place

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_000 + self.at

    def key(self) -> bytes:
        return b"key"

    def value(self) -> bytes:
        return b"value"


def end(at: int, place: int = 0) -> Said:
    return Said(at, place, ENDED)


def span(first: int, last: int, place: int = 0) -> list[Said]:
    return [Said(at, place) for at in range(first, last)]


def read(polls: list[list[Said]], until: Positions, batch: int = 100) -> list[list[tuple[int, int]]]:
    """Partition and offset of the records in each batch that a read up to `until` gives."""
    reader: Any = object.__new__(KafkaLogReader)
    reader._batch = batch
    given = iter(polls)
    reader._poll = lambda most: next(given)
    batches = [[(r.partition, r.offset) for r in found] for found in reader._bounded(dict(until))]
    assert next(given, None) is None, "it ended before it was told all"
    return batches


@pytest.mark.parametrize(
    "polls",
    [
        [span(0, 10)],
        [span(0, 4), span(4, 10)],
        [span(0, 13)],
        [[*span(0, 10), end(10)]],
        [[*span(0, 10), end(10), *span(10, 13), end(13)]],
        [[*span(0, 10), end(10), *span(10, 13)]],
        [[*span(0, 5), end(5), *span(5, 10)]],
        [[*span(0, 7), end(10)]],  # marks of transactions at the end, which are never delivered
        [span(0, 7), [], [end(10)]],
    ],
    ids=["all", "parts", "more", "end", "went-on", "went-on-untold", "end-between", "marks", "marks-later"],
)
def test_what_lies_before_the_bound_comes_once(polls: list[list[Said]]) -> None:
    wanted = [at for at in polls[0] if at.why is None] + [
        at for poll in polls[1:] for at in poll if at.why is None
    ]
    found = [record for batch in read(polls, {(TOPIC, 0): 10}) for record in batch]
    assert found == [(0, said.at) for said in wanted if said.at < 10]


def test_a_partition_that_goes_on_behind_its_bound_gives_nothing_more_while_another_is_read() -> None:
    polls = [[*span(0, 3), end(3)], [*span(3, 6), *span(0, 2, 1)], [end(6), *span(2, 4, 1)]]
    found = [record for batch in read(polls, {(TOPIC, 0): 3, (TOPIC, 1): 4}) for record in batch]
    assert found == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (1, 3)]


def test_batches_are_filled_before_they_are_given_and_given_when_nothing_comes() -> None:
    polls = [span(0, 2), span(2, 4), [], span(4, 6)]
    given = read(polls, {(TOPIC, 0): 6}, batch=3)
    assert [len(batch) for batch in given] == [4, 2]
    assert [len(batch) for batch in read([span(0, 2), [], span(2, 3)], {(TOPIC, 0): 3})] == [2, 1]
