"""The group's offset never passes an assignment that is not done."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from arms.host.places import Places


def test_nothing_is_committed_before_anything_was_taken() -> None:
    assert Places().to_commit() is None


def test_gaps_between_offsets_are_not_waited_for() -> None:
    places = Places()
    for offset in (3, 4, 9):
        places.take(offset)
    places.finish(3)
    places.finish(4)
    assert places.to_commit() == 9
    places.finish(9)
    assert places.to_commit() == 10


def test_the_same_offset_is_not_committed_twice() -> None:
    places = Places()
    places.take(1)
    places.finish(1)
    places.committed(2)
    assert places.to_commit() is None


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=40).flatmap(
        lambda gaps: st.tuples(st.just(gaps), st.permutations(range(len(gaps))), st.integers(0, len(gaps)))
    )
)
def test_the_offset_to_commit_is_the_first_one_not_done(drawn: tuple[list[int], list[int], int]) -> None:
    gaps, order, done = drawn
    offsets = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    places = Places()
    for offset in offsets:
        places.take(offset)
    finished = {offsets[n] for n in order[:done]}
    for n in order[:done]:
        places.finish(offsets[n])
        places.to_commit()
    left = [offset for offset in offsets if offset not in finished]
    assert places.to_commit() == (left[0] if left else offsets[-1] + 1)
