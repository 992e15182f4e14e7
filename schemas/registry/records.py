"""The records of the `_schemas` topic, in the format of the schema registries.

Keys are compact JSON with keytype, subject, version and magic in that order (karapace
`src/karapace/core/key_format.py`, canonical mode); log compaction compares their bytes, so the order is part
of the format. Values follow karapace `schema_registry.py` (`send_schema_message`), which are the fields of
Confluent's `SchemaValue`: `schemaType` only when it is not Avro, `references` only when there are some.
octolog writes neither.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, cast

SCHEMA_MAGIC: Final = 1
CONFIG_MAGIC: Final = 0
_AVRO: Final = "AVRO"
# Confluent marks subjects of other contexts so; they number their ids apart from ours.
_OTHER_CONTEXT: Final = ":."


@dataclass(frozen=True, slots=True)
class SchemaStored:
    """A `SCHEMA` record: this subject's version has this schema and this id.

    Attributes:
        stands_alone: Avro without references: readable with nothing else at hand.
    """

    subject: str
    version: int
    schema_id: int
    schema_json: str
    deleted: bool = False
    stands_alone: bool = True


@dataclass(frozen=True, slots=True)
class SchemaErased:
    """A `SCHEMA` key without a value: a version deleted for good."""

    subject: str
    version: int


@dataclass(frozen=True, slots=True)
class SubjectDeleted:
    """A `DELETE_SUBJECT` record: every version up to this one is deleted."""

    subject: str
    version: int


RegistryRecord = SchemaStored | SchemaErased | SubjectDeleted


def encode_schema(record: SchemaStored) -> tuple[bytes, bytes]:
    """Return key and value of a `SCHEMA` record."""
    key = {"keytype": "SCHEMA", "subject": record.subject, "version": record.version, "magic": SCHEMA_MAGIC}
    value = {
        "subject": record.subject,
        "version": record.version,
        "id": record.schema_id,
        "schema": record.schema_json,
        "deleted": record.deleted,
    }
    return _dump(key), _dump(value)


def encode_full_transitive(subject: str) -> tuple[bytes, bytes]:
    """Return key and value of a `CONFIG` record that asks a registry attached later for FULL_TRANSITIVE."""
    key = {"keytype": "CONFIG", "subject": subject, "magic": CONFIG_MAGIC}
    return _dump(key), _dump({"compatibilityLevel": "FULL_TRANSITIVE"})


def decode(key: bytes | None, value: bytes | None) -> RegistryRecord | None:
    """Return what a record of the topic says about schemas.

    None means nothing: `CONFIG`, `NOOP` and keytypes unknown to octolog, other contexts, and what is no JSON;
    the registries skip the last as well, for one bad record must not cost the ids of all others.
    """
    try:
        fields = _object(key)
        keytype, subject = fields.get("keytype"), str(fields.get("subject", ""))
        if keytype not in {"SCHEMA", "DELETE_SUBJECT"} or subject.startswith(_OTHER_CONTEXT):
            return None
        content = _object(value)
        if keytype == "DELETE_SUBJECT":
            return SubjectDeleted(str(content["subject"]), _int(content["version"])) if content else None
        return _stored(content) if content else SchemaErased(subject, _int(fields["version"]))
    except (ValueError, KeyError, TypeError):
        return None


def _stored(value: dict[str, object]) -> SchemaStored:
    return SchemaStored(
        subject=str(value["subject"]),
        version=_int(value["version"]),
        schema_id=_int(value["id"]),
        schema_json=str(value["schema"]),
        deleted=bool(value.get("deleted", False)),
        stands_alone=value.get("schemaType", _AVRO) in {_AVRO, None} and not value.get("references"),
    )


def _object(raw: bytes | None) -> dict[str, object]:
    """Parse a JSON object; nothing, and JSON's null, are an empty one."""
    parsed: object = json.loads(raw) if raw else None
    if parsed is None:
        return {}
    if not isinstance(parsed, dict):
        raise TypeError("not a JSON object")
    return cast("dict[str, object]", parsed)


def _int(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("not an integer")
    return value


def _dump(value: dict[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
