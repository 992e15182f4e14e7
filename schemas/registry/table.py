"""The fold of the `_schemas` topic: which id is which schema.

The registries that share this format let one process write and the last record win. octolog lets any process
write, so the *first* record in the log wins: it is the one whose id values may already carry. A record that
claims a taken id or a taken version for another schema changes nothing here. But a registry that reads the
topic later, and log compaction, prefer the last record, so the winner is to be written once more behind the
loser: `to_restore` says which.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from octolog.domain.errors import IncompatibleSchema
from schemas.registry.records import SchemaErased, SchemaStored, SubjectDeleted, decode
from schemas.registry.text import schema_text

if TYPE_CHECKING:
    from collections.abc import Mapping

_Version = tuple[str, int]


class SchemaTable:
    """Ids and versions, as of a place in the log."""

    def __init__(self) -> None:
        self._by_id: dict[int, SchemaStored] = {}
        self._versions: dict[_Version, SchemaStored] = {}
        self._ids: dict[str, int] = {}
        self._taken_ids = 0
        self._raw: dict[_Version, tuple[bytes, bytes]] = {}
        self._to_restore: set[_Version] = set()

    def apply(self, key: bytes | None, value: bytes | None) -> None:
        """Take in the next record of the log; anything may be in it, so nothing is refused."""
        match decode(key, value):
            case SchemaStored() as record:
                self._store(record, (key or b"", value or b""))
            case SchemaErased(subject=subject, version=version):
                self._versions.pop((subject, version), None)
                self._to_restore.discard((subject, version))
            case SubjectDeleted(subject=subject, version=last):
                self._delete_up_to(subject, last)
            case None:
                pass

    def find(self, subject: str, text: str) -> int | None:
        """Return the id of a live version of `subject` with this text."""
        live = (r for r in self._subject(subject) if not r.deleted and r.stands_alone)
        return next((r.schema_id for r in live if _comparable(r) == text), None)

    def by_id(self, schema_id: int) -> SchemaStored | None:
        """Return what first took this id; a deleted version still decodes what was written with it."""
        return self._by_id.get(schema_id)

    def live(self) -> tuple[SchemaStored, ...]:
        """Return the live versions, by subject, then version."""
        return tuple(self._versions[key] for key in sorted(self._versions) if not self._versions[key].deleted)

    def plan(self, missing: Mapping[str, str]) -> tuple[SchemaStored, ...]:
        """Return the records that would give each missing schema an id.

        New ids go on from the highest that any record ever claimed.

        Args:
            missing: Text of the schema by subject.
        """
        ids, last, planned = dict(self._ids), self._taken_ids, list[SchemaStored]()
        for subject, text in missing.items():
            if text not in ids:
                last += 1
                ids[text] = last
            version = 1 + max((r.version for r in self._subject(subject)), default=0)
            planned.append(SchemaStored(subject, version, ids[text], text))
        return tuple(planned)

    def to_restore(self) -> tuple[tuple[bytes, bytes], ...]:
        """Return the records, as they were, that a later one overrules for other readers of the topic."""
        return tuple(self._raw[version] for version in sorted(self._to_restore))

    def _subject(self, subject: str) -> list[SchemaStored]:
        return [record for (owner, _), record in self._versions.items() if owner == subject]

    def _store(self, record: SchemaStored, raw: tuple[bytes, bytes]) -> None:
        self._taken_ids = max(self._taken_ids, record.schema_id)
        version, text = (record.subject, record.version), _comparable(record)
        overruled = [
            holder
            for holder in (self._by_id.get(record.schema_id), self._versions.get(version))
            if holder is not None and (_comparable(holder), holder.schema_id) != (text, record.schema_id)
        ]
        if overruled:
            held = {(holder.subject, holder.version) for holder in overruled}
            self._to_restore |= held & self._versions.keys()
            return
        self._by_id.setdefault(record.schema_id, record)
        self._ids.setdefault(text, record.schema_id)
        self._versions[version], self._raw[version] = record, raw
        self._to_restore.discard(version)

    def _delete_up_to(self, subject: str, last: int) -> None:
        for record in self._subject(subject):
            if record.version <= last:
                self._versions[subject, record.version] = replace(record, deleted=True)


def _comparable(record: SchemaStored) -> str:
    """Return the text by which schemas are the same; what octolog cannot read stands for itself."""
    if not record.stands_alone:
        return f"foreign:{record.schema_json}"
    try:
        return schema_text(record.schema_json)
    except IncompatibleSchema:
        return record.schema_json
