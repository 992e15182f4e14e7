"""Several writers of one `_schemas` topic: every id given out means one schema, for all readers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octolog.domain.errors import Unavailable
from schemas.registry import MemorySchemaTopic, TopicRecord, TopicSchemaIds
from tests.unit.schemas.schema_topic import A2, A, B, as_a_registry_reads, record, stored


class Raced:
    """A topic on which somebody else writes between our reading and our writing."""

    def __init__(self, topic: MemorySchemaTopic, other: Callable[[], None]) -> None:
        self._topic, self._others = topic, [other]

    def read_from(self, offset: int) -> tuple[TopicRecord, ...]:
        return self._topic.read_from(offset)

    def append(self, records: Sequence[tuple[bytes, bytes]]) -> None:
        while self._others:
            self._others.pop()()
        self._topic.append(records)


@pytest.mark.parametrize(("theirs", "expected"), [(("t.B", B), 2), (("t.A", A2), 2), (("t.A", A), 1)])
def test_who_lost_a_race_takes_a_new_id_and_the_winner_keeps_its_own(
    theirs: tuple[str, str], expected: int
) -> None:
    topic = MemorySchemaTopic()
    won: list[int] = []
    ours = TopicSchemaIds(Raced(topic, lambda: won.append(TopicSchemaIds(topic).register(*theirs))))
    assert (ours.register("t.A", A), won) == (expected, [1])
    for compacted in (False, True):
        if compacted:
            topic.compact()
        texts, versions = as_a_registry_reads(topic)
        fresh = TopicSchemaIds(topic)
        assert fresh.by_id(1) == theirs
        assert fresh.by_id(expected) == ("t.A", A)
        assert (texts[1], texts[expected]) == (theirs[1], A)
        assert {(s.subject, s.version): s.schema_id for s in fresh.all()} == versions


def test_a_loser_that_died_before_it_could_yield_is_overruled_by_the_next_writer() -> None:
    topic = MemorySchemaTopic()
    TopicSchemaIds(topic).register("t.A", A)
    topic.append([stored("t.A", 1, 1, A2)])  # wrote with what it knew before, and died
    assert as_a_registry_reads(topic)[0][1] == A2
    assert TopicSchemaIds(topic).register("t.A", A) == 1
    assert TopicSchemaIds(topic).by_id(1) == ("t.A", A)
    topic.compact()
    assert as_a_registry_reads(topic) == ({1: A}, {("t.A", 1): 1})


_names = st.sampled_from(["t.A", "t.B", "t.C"])
_schemas = st.builds(lambda name, field: (name, record(name, field)), _names, st.sampled_from("xyz"))


@given(st.lists(st.lists(_schemas, min_size=1, max_size=3), min_size=1, max_size=5))
def test_however_writers_race_every_id_given_out_means_one_schema_for_all_readers(
    writers: list[list[tuple[str, str]]],
) -> None:
    topic = MemorySchemaTopic()
    given_out: list[tuple[int, tuple[str, str]]] = []

    def write(left: list[list[tuple[str, str]]]) -> None:
        """Register what the first of `left` has, while all others of `left` come in between."""
        if left:
            ids = TopicSchemaIds(Raced(topic, lambda: write(left[1:])))
            given_out.extend((ids.register(*schema), schema) for schema in left[0])

    write(writers)
    before = {schema_id: TopicSchemaIds(topic).by_id(schema_id) for schema_id, _ in given_out}
    topic.compact()
    texts, versions = as_a_registry_reads(topic)
    fresh = TopicSchemaIds(topic)
    for schema_id, schema in given_out:
        assert before[schema_id] == fresh.by_id(schema_id) == schema
        assert texts[schema_id] == schema[1]
        assert fresh.register(*schema) == schema_id
    assert {(s.subject, s.version): s.schema_id for s in fresh.all()} == versions


def test_a_topic_that_keeps_nothing_is_reported_and_not_tried_for_ever() -> None:
    class Deaf(MemorySchemaTopic):
        def append(self, records: Sequence[tuple[bytes, bytes | None]]) -> None:
            pass

    with pytest.raises(Unavailable, match="does not keep what is written"):
        TopicSchemaIds(Deaf()).register("t.A", A)
