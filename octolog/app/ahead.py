"""Stages of a pipeline: what one makes in a thread of its own while the next one takes what was made before."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from queue import Queue
from typing import Any, Final, TypeVar

_T = TypeVar("_T")
_END: Final = object()


@contextmanager
def ahead(items: Iterable[_T], most: int = 1) -> Iterator[Iterator[_T]]:
    """Take `items` in a thread, at most so many ahead of who asks for them.

    An error of theirs is raised where the item would have come. At the end of the context the thread has ended, and
    the generator behind `items` is closed.
    """
    made: Queue[Any] = Queue(most)
    left = threading.Event()
    thread = threading.Thread(target=_make, args=(items, made, left), name="ahead", daemon=True)
    thread.start()
    try:
        yield _taken(made)
    finally:
        left.set()
        while thread.is_alive():  # it may wait for room
            while not made.empty():
                made.get()
            thread.join(0.01)


def _make(items: Iterable[Any], made: Queue[Any], left: threading.Event) -> None:
    try:
        for item in items:
            made.put((item, None))
            if left.is_set():
                break
        made.put((_END, None))
    except BaseException as error:  # noqa: BLE001 -- raised again where the items are taken
        made.put((_END, error))
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()


def _taken(made: Queue[Any]) -> Iterator[Any]:
    while True:
        item, error = made.get()
        if error is not None:
            raise error
        if item is _END:
            return
        yield item
