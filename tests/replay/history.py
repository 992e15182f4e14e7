"""A history as lines of JSON: what came in, and what followed. Fields at their default are left out."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from octolog.domain.errors import UndecodableRecord
from octolog.domain.upkeep import DeadLetter
from octolog.ports import LogRecord
from schemas import catalog
from schemas.codec import Codec, RecordedFact
from streams.topics import ARMS, DEAD_LETTERS, TASKS
from tests.replay.log import Decided, World

FOLDER: Final = Path(__file__).with_name("histories")


def lines_of(world: World) -> list[str]:
    """The whole story: settings first, then every record in the order it was written."""
    head = {"decided": {"window": world.decided.window, "lease_ms": world.decided.lease_ms}}
    return [_text(head), *(_text(_line(record, world.codec)) for record in world.story)]


def replayed(lines: list[str]) -> World:
    """A new world that was given the inputs of a story, and nothing else of it."""
    head, *rest = (json.loads(line) for line in lines)
    world = World(Decided(**head["decided"]))
    for line in rest:
        world.now_ms = line.get("at_ms", world.now_ms)
        if "arm" in line:
            world.arm_bytes(*_content(line["arm"], world.codec))
        elif "input" in line:
            world.send_bytes(line["topic"], *_content(line["input"], world.codec), wait_ms=0)
    return world


def _line(record: LogRecord, codec: Codec) -> dict[str, Any]:
    if record.topic == TASKS:
        recorded: RecordedFact = codec.decode(record.value)
        link = {"link": msgspec.to_builtins(recorded.link) | {"prev_hash": recorded.link.prev_hash.hex()}}
        return {"fact": _plain(recorded.fact) | link | {"hash": recorded.hash.hex()}, "offset": record.offset}
    if record.topic == DEAD_LETTERS:
        letter: DeadLetter = codec.decode(record.value)
        place = {"topic": letter.source_topic, "offset": letter.source_offset}
        return {"refused": {**place, "error": letter.error, "reason": letter.reason}}
    what = "arm" if record.topic == ARMS else "input"
    return {
        what: _shown(record, codec),
        "topic": record.topic,
        "offset": record.offset,
        "at_ms": record.timestamp_ms,
    }


def _shown(record: LogRecord, codec: Codec) -> dict[str, Any]:
    """The record in words where its bytes and its key can be had back from them, else in hex."""
    try:
        value = codec.decode(record.value)
    except UndecodableRecord:
        value = None
    if value is not None:
        shown = {"key": (record.key or b"").decode(), **_plain(value)}
        if _content(shown, codec) == (record.key, record.value):
            return shown
    return {
        name: None if part is None else part.hex()
        for name, part in (("key_hex", record.key), ("hex", record.value))
    }


def _content(shown: dict[str, Any], codec: Codec) -> tuple[bytes | None, bytes | None]:
    if "hex" in shown:
        key, value = shown["key_hex"], shown["hex"]
        return (None if key is None else bytes.fromhex(key)), (
            None if value is None else bytes.fromhex(value)
        )
    rest = {name: value for name, value in shown.items() if name not in ("key", "type")}
    return shown["key"].encode(), codec.encode(msgspec.convert(rest, catalog.RECORDS[shown["type"]]))


def _plain(record: Any) -> dict[str, Any]:
    return {"type": record.schema_name, **_without_defaults(record)}


def _without_defaults(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_without_defaults(item) for item in value]
    if not is_dataclass(value):
        return value
    return {
        field.name: _without_defaults(getattr(value, field.name))
        for field in fields(value)
        if getattr(value, field.name)
        != (field.default_factory() if field.default_factory is not MISSING else field.default)
    }


def _text(line: dict[str, Any]) -> str:
    return json.dumps(line, separators=(",", ":"), ensure_ascii=False)
