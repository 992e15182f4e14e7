"""What is made ahead comes in order, errors come where the item would have, and nobody is left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from octolog.app.ahead import ahead


def test_items_come_in_order_and_are_made_before_they_are_asked_for() -> None:
    made = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        made.set()
        yield 2

    with ahead(items()) as given:
        assert made.wait(60), "the second is made though nobody has asked for the first"
        assert list(given) == [1, 2]


def test_an_error_comes_where_the_item_would_have() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("the log is gone")

    with ahead(items()) as given:
        assert next(given) == 1
        with pytest.raises(ValueError, match="the log is gone"):
            next(given)


def test_who_stops_early_leaves_no_thread_and_an_ended_generator() -> None:
    ended = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            ended.set()

    before = threading.active_count()
    with ahead(endless()) as given:
        next(given)
    assert ended.is_set()
    assert threading.active_count() == before


def test_two_stages_end_together_when_the_last_one_fails() -> None:
    def doubled(items: Iterator[int]) -> Iterator[int]:
        for item in items:
            yield 2 * item

    def fail_after_the_first() -> None:
        with ahead(iter(range(1_000))) as first, ahead(doubled(first)) as second:
            assert next(second) == 0
            raise RuntimeError("the store is gone")

    before = threading.active_count()
    with pytest.raises(RuntimeError, match="the store is gone"):
        fail_after_the_first()
    assert threading.active_count() == before
