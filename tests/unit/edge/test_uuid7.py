"""Ids that sort by time."""

from __future__ import annotations

import time
from uuid import RFC_4122

from octolog.domain.ids import is_task_id
from octolog.edge import uuid7


def test_an_id_carries_version_variant_and_the_time() -> None:
    before_ms = time.time_ns() // 1_000_000
    made = uuid7()
    assert (made.version, made.variant) == (7, RFC_4122)
    assert before_ms <= made.int >> 80 <= time.time_ns() // 1_000_000
    assert is_task_id(str(made))


def test_ids_made_microseconds_apart_sort_in_that_order() -> None:
    made = []
    for _ in range(200):
        made.append(str(uuid7()))
        passed_ns = time.time_ns()
        while time.time_ns() - passed_ns < 2_000:  # the fraction counts steps of a quarter microsecond
            pass
    assert made == sorted(made)
    assert len(set(made)) == len(made)
