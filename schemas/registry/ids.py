"""The port through which schemas get their ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class RegisteredSchema:
    """One version of one subject.

    Attributes:
        subject: The record's full name, e.g. `octolog.task.TaskSubmitted` (RecordNameStrategy).
        version: Counts from 1 within the subject.
        schema_id: The 4-byte id that the values carry; the same text has the same id under every subject.
        schema_json: The self-contained schema: nested named types stand at their first use.
    """

    subject: str
    version: int
    schema_id: int
    schema_json: str


class SchemaIds(Protocol):
    """Where schema ids come from: octolog's own `_schemas` topic, or a registry by URL."""

    def register(self, subject: str, schema: str | Mapping[str, object]) -> int:
        """Return the id of `schema` under `subject`, taking a new one if it has none yet.

        Args:
            subject: The record's full name.
            schema: The self-contained Avro schema, as JSON text or as parsed JSON.

        Raises:
            IncompatibleSchema: The schema is invalid, is no record of that name, or the registry refuses it.
            Unavailable: The registry or the topic does not answer within its bounds.
        """
        ...

    def by_id(self, schema_id: int) -> tuple[str, str]:
        """Return `(subject, schema_json)` of an id.

        Raises:
            UndecodableRecord: Nobody registered that id, or it is no Avro record that stands alone.
            Unavailable: The registry or the topic does not answer within its bounds.
        """
        ...

    def all(self) -> tuple[RegisteredSchema, ...]:
        """Return every live version of every Avro subject, by subject, then version.

        Raises:
            Unavailable: The registry or the topic does not answer within its bounds.
        """
        ...
