"""Following one tree live: its facts as they are committed, and the state they leave."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from octolog.app.connection import Connection
from octolog.domain.errors import Unavailable
from octolog.domain.facts import Fact
from octolog.domain.ids import TaskId
from octolog.domain.task.evolve import evolve
from octolog.domain.task.state import Tree, absent
from octolog.ports import Positions
from schemas.codec import RecordedFact
from streams.topics import TASKS


@dataclass(frozen=True, slots=True)
class Seen:
    """A fact, and the tree after it.

    Attributes:
        fact: What happened.
        tree: The state; the same object at every step.
        offset: Where the fact lies.
    """

    fact: Fact
    tree: Tree
    offset: int


def follow_tree(
    connection: Connection, root_id: TaskId, start: Positions, timeout_s: float
) -> Iterator[Seen | None]:
    """Yield every fact of a tree from `start` until it is closed; None when nothing came for a moment.

    Raises:
        Unavailable: When the tree is not closed after `timeout_s` seconds.
    """
    codec = connection.codec()
    tree = absent(root_id)
    key = root_id.encode()
    deadline = time.monotonic() + timeout_s
    for batch in connection.reader().read(start):
        found = False
        for record in batch:
            if record.key != key or not isinstance(recorded := codec.decode(record.value), RecordedFact):
                continue
            evolve(tree, recorded.fact)
            found = True
            yield Seen(recorded.fact, tree, record.offset)
        if tree.closed:
            return
        if time.monotonic() > deadline:
            raise Unavailable(
                f"{root_id} is not finished after {timeout_s:.0f} s; see `octolog task show {root_id}`"
            )
        if not found:
            yield None


def ends_of_tasks(connection: Connection) -> Positions:
    """The end of the audit log now: take it before submitting, and nothing of the tree is missed."""
    return connection.reader().ends([TASKS])
