"""A clock that a test turns by hand."""

from __future__ import annotations


class Clock:
    """Seconds, from 100 on, that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s
