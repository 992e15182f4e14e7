"""A notary that signs what a world holds, into the world's own checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from octolog.domain.audit import AuditEvent
from octolog.ports import LogRecord
from streams.notary.keys import KeyRing
from streams.notary.notary import Notary
from streams.topics import CHECKPOINTS, TASKS
from tests.replay.log import CODEC, START_MS, World


class Published:
    """A publisher into a world's topic of checkpoints."""

    def __init__(self, world: World) -> None:
        self._world = world
        world.records.setdefault((CHECKPOINTS, 0), [])

    def publish(self, topic: str, key: str, value: bytes, **_: Any) -> None:
        records = self._world.records[topic, 0]
        records.append(LogRecord(topic, 0, len(records), self._world.now_ms, key.encode(), value))

    def flush(self, timeout_s: float) -> None:
        pass

    def close(self) -> None:
        pass

    def said(self) -> list[AuditEvent]:
        return [CODEC.decode(record.value) for record in self._world.records[CHECKPOINTS, 0]]


def notary(world: World, folder: Path) -> tuple[Notary, Published]:
    published = Published(world)
    return Notary(world.source, published, KeyRing(folder), clock_s=lambda: START_MS / 1_000), published


def sign(world: World, folder: Path, *, every: int = 1_000) -> Published:
    found, published = notary(world, folder)
    facts = world.records[TASKS, 0]
    for start in range(0, len(facts), every):
        found.take(facts[start : start + every])
        found.sign_due(all_of_them=True)
    return published
