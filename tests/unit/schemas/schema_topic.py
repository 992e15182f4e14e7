"""A `_schemas` topic in memory, and how its records are read and written there."""

from __future__ import annotations

import json
from typing import Final

from schemas.registry import MemorySchemaTopic, schema_text


def record(name: str, *fields: str) -> str:
    return schema_text(
        {"type": "record", "name": name, "fields": [{"name": f, "type": "int"} for f in fields]}
    )


A: Final = record("t.A", "x")
A2: Final = record("t.A", "x", "y")
B: Final = record("t.B", "x")


def lines(topic: MemorySchemaTopic, keytype: str = "SCHEMA") -> list[tuple[str, str]]:
    kept = [(r.key or b"", r.value or b"") for r in topic.read_from(0)]
    return [(k.decode(), v.decode()) for k, v in kept if json.loads(k)["keytype"] == keytype]


def as_a_registry_reads(topic: MemorySchemaTopic) -> tuple[dict[int, str], dict[tuple[str, int], int]]:
    """Karapace's reader (`InMemoryDatabase.insert_schema_version`): the last record wins, by id and by version."""
    texts: dict[int, str] = {}
    versions: dict[tuple[str, int], int] = {}
    for _, value in lines(topic):
        entry = json.loads(value)
        texts[entry["id"]] = entry["schema"]
        versions[entry["subject"], entry["version"]] = entry["id"]
    return texts, versions


def stored(subject: str, version: int, schema_id: int, schema: str, **more: object) -> tuple[bytes, bytes]:
    key = {"keytype": "SCHEMA", "subject": subject, "version": version, "magic": 1}
    value = {"subject": subject, "version": version, "id": schema_id, "schema": schema, "deleted": False}
    return json.dumps(key, separators=(",", ":")).encode(), json.dumps(value | more).encode()
