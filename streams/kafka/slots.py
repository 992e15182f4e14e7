"""Whose slot is it? What a fenced member asks before it steps down."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from octolog.domain.errors import Unavailable
from streams.kafka.admin import KafkaAdmin
from streams.kafka.config import SESSION_TIMEOUT_MS

_GHOST_S: Final = SESSION_TIMEOUT_MS / 1_000 + 4
_ASK_S: Final = 0.25
_PATIENCE_S: Final = 60.0
"""Bound of all this when Kafka is away; whoever started this process starts another then."""


def becomes_free(admin: KafkaAdmin, group: str, slot: str, stop: Callable[[], bool]) -> bool:
    """True once the group has no member of this name; False when it keeps one longer than a session lasts.

    A member may be fenced by its own ghost. A request to join that a broker answers late, when its sender has given
    it up and asked again, makes a member that is nobody; the name is the ghost's then. But a ghost sends no
    heartbeats, and the group drops it when its session ends. A process that lives stays.

    The fenced member must have been closed, and nobody of this process may join meanwhile.
    """
    began_s = time.monotonic()
    until_s = began_s + _GHOST_S
    while time.monotonic() < until_s and not stop():
        try:
            if slot not in admin.static_members(group):
                return True
        except (
            Unavailable
        ):  # a group that nobody can ask tells nothing: what counts is silence while it answers
            until_s = min(time.monotonic() + _GHOST_S, began_s + _PATIENCE_S)
        time.sleep(_ASK_S)
    return False
