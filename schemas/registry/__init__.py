"""Schema ids: the 4 bytes before every value that say which schema wrote it.

Subjects are full record names (Confluent's RecordNameStrategy). A schema is registered self-contained: nested
named types stand at their first use, so that any consumer can read a value with that one schema. Ids come
from octolog's own `_schemas` topic (`TopicSchemaIds`), or from a registry by URL (`HttpSchemaIds`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from schemas.registry.ids import RegisteredSchema, SchemaIds
from schemas.registry.memory import MemorySchemaTopic
from schemas.registry.text import full_name, schema_text
from schemas.registry.topic_log import SchemaTopic, TopicRecord, TopicSchemaIds

if TYPE_CHECKING:
    from schemas.registry.http import HttpSchemaIds

__all__ = [
    "HttpSchemaIds",
    "MemorySchemaTopic",
    "RegisteredSchema",
    "SchemaIds",
    "SchemaTopic",
    "TopicRecord",
    "TopicSchemaIds",
    "full_name",
    "schema_text",
]


def __getattr__(name: str) -> Any:
    """Import the HTTP client when a registry is set: it takes a third of a second to load."""
    if name == "HttpSchemaIds":
        from schemas.registry.http import HttpSchemaIds

        return HttpSchemaIds
    raise AttributeError(name)
