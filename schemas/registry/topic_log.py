"""Schema ids kept in octolog's own `_schemas` topic, for when no registry is set.

The topic has one partition and is compacted. Any process may write it: it appends, reads back to the end, and
what stands first in the log counts (see `table.py`). Who lost a race takes a new id and appends again; of
those that race, one wins each round. Kafka itself is behind the port `SchemaTopic`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from octolog.domain.errors import Unavailable, UndecodableRecord
from schemas.registry.ids import RegisteredSchema
from schemas.registry.records import encode_full_transitive, encode_schema
from schemas.registry.table import SchemaTable
from schemas.registry.text import checked_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# A round is lost only to another writer that won it; more losses than this mean a topic that does not keep
# what it takes.
MAX_ROUNDS: Final = 32


class TopicRecord(NamedTuple):
    """One record of the topic, as it lies there."""

    offset: int
    key: bytes | None
    value: bytes | None


class SchemaTopic(Protocol):
    """The `_schemas` topic: one partition, `cleanup.policy=compact`."""

    def read_from(self, offset: int) -> Iterable[TopicRecord]:
        """Return the records at `offset` and after, up to the end of the log as it is when the call begins.

        Offsets may have gaps. A record that `append` confirmed before, to whichever process, is always among
        them.

        Raises:
            Unavailable: The log does not answer within its bounds.
        """
        ...

    def append(self, records: Sequence[tuple[bytes, bytes]]) -> None:
        """Write keys and values in this order, and return once all replicas in sync have them.

        Raises:
            Unavailable: It is not known whether they were written.
        """
        ...


class TopicSchemaIds:
    """`SchemaIds` on a `SchemaTopic`; safe for threads, and for several processes on one topic."""

    def __init__(self, topic: SchemaTopic) -> None:
        self._topic = topic
        self._table = SchemaTable()
        self._next_offset = 0
        self._lock = threading.Lock()

    def register(self, subject: str, schema: str | Mapping[str, object]) -> int:
        """Return the id of `schema` under `subject`; see `SchemaIds.register`."""
        return self.register_all({subject: schema})[subject]

    def register_all(self, schemas: Mapping[str, str | Mapping[str, object]]) -> dict[str, int]:
        """Return the id of each schema by its subject, for one append and two reads in all.

        Raises:
            IncompatibleSchema: A schema is invalid, or is no record of the subject's name.
            Unavailable: The topic does not answer, or does not keep what it takes.
        """
        texts = {subject: checked_text(subject, schema) for subject, schema in schemas.items()}
        with self._lock:
            if self._missing(texts):
                self._write(texts)
            return {subject: self._id(subject, text) for subject, text in texts.items()}

    def by_id(self, schema_id: int) -> tuple[str, str]:
        """Return `(subject, schema_json)`; see `SchemaIds.by_id`.

        An unknown id costs a look at the end of the log.
        """
        with self._lock:
            record = self._table.by_id(schema_id)
            if record is None:
                self._catch_up()
                record = self._table.by_id(schema_id)
        if record is None:
            raise UndecodableRecord(
                f"schema id {schema_id} is not in the _schemas topic; the value is foreign or damaged"
            )
        if not record.stands_alone:
            raise UndecodableRecord(
                f"schema id {schema_id} ({record.subject}) is no self-contained Avro schema"
            )
        return record.subject, record.schema_json

    def all(self) -> tuple[RegisteredSchema, ...]:
        """Return every live version as of now; see `SchemaIds.all`."""
        with self._lock:
            self._catch_up()
            live = self._table.live()
        return tuple(
            RegisteredSchema(r.subject, r.version, r.schema_id, r.schema_json) for r in live if r.stands_alone
        )

    def _missing(self, texts: Mapping[str, str]) -> dict[str, str]:
        return {subject: text for subject, text in texts.items() if self._table.find(subject, text) is None}

    def _id(self, subject: str, text: str) -> int:
        found = self._table.find(subject, text)
        if found is None:  # _write returns only when nothing is missing
            raise AssertionError(subject)
        return found

    def _write(self, texts: Mapping[str, str]) -> None:
        """Append what is missing, behind the winners that a race left overruled, until the log has it all.

        A writer that lost may find its schema written by another; it still restores whom it overruled.
        """
        for _ in range(MAX_ROUNDS):
            self._catch_up()
            planned = self._table.plan(self._missing(texts))
            records = [*self._table.to_restore(), *(encode_schema(record) for record in planned)]
            records += [encode_full_transitive(record.subject) for record in planned if record.version == 1]
            if not records:
                return
            self._topic.append(records)
        raise Unavailable("the _schemas topic does not keep what is written; check its cleanup.policy")

    def _catch_up(self) -> None:
        for offset, key, value in self._topic.read_from(self._next_offset):
            self._table.apply(key, value)
            self._next_offset = offset + 1
