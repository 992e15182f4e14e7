"""How a schema may change: FULL_TRANSITIVE.

The new schema reads everything that any released one wrote, and every released one reads what the new one
writes. The verdict is Apache Avro's; the walk here only finds the places, because Avro's checker keeps places
and reasons in two unordered sets. Four changes are refused although Avro lets them pass, since a log is read
for ever and by column: a named type moved to another namespace, a changed logical type, bytes for string, and
a removed enum symbol, whose old values would silently read as the default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import avro.errors
import avro.schema
from avro.compatibility import (
    ReaderWriterCompatibilityChecker,
    SchemaCompatibilityType,
    lookup_writer_field,
)
from avro.schema import ArraySchema, EnumSchema, NamedSchema, RecordSchema, Schema, UnionSchema

from schemas.dialect import Violation, dialect_violations, not_avro

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Violation", "dialect_violations", "full_transitive_violations"]

_OPTIONAL_BRANCHES: Final = 2


def full_transitive_violations(subject: str, new: str, released: Mapping[str, str]) -> tuple[Violation, ...]:
    """Return how `new` breaks a released version of its subject, in either direction.

    Args:
        subject: Full name of the record.
        new: JSON text of the self-contained schema.
        released: JSON text of each released schema, by version.
    """
    found: list[Violation] = []
    for version, text in released.items():
        try:
            ours, theirs = avro.schema.parse(new), avro.schema.parse(text)
        except avro.errors.AvroException as error:
            found.append(Violation(subject, "", not_avro(error), version))
            continue
        both = (*_unreadable(ours, theirs), *_unreadable(theirs, ours, back=True))
        found += [Violation(subject, path, reason, version) for path, reason in dict.fromkeys(both)]
    return tuple(found)


def _unreadable(reader: Schema, writer: Schema, *, back: bool = False) -> Iterator[tuple[str, str]]:
    """Yield place and reason of all that `reader` cannot read; `back`: the reader is the released one."""
    walk = _Walk(back=back)
    found = tuple(walk.pair(reader, writer, ""))
    yield from found
    if not found and (reasons := _verdict(reader, writer)):  # Avro's checker has the last word
        yield "", f"{walk.who}: {reasons}"


def _verdict(reader: Schema, writer: Schema) -> str:
    """Return why Avro's checker says that `reader` cannot read `writer`; empty when it can."""
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]  # avro 1.12 leaves it bare
    result = checker.get_compatibility(reader, writer)
    if result.compatibility is not SchemaCompatibilityType.incompatible:
        return ""
    if isinstance(reader, NamedSchema) and isinstance(writer, NamedSchema) and not _same(reader, writer):
        return f"{reader.fullname} is not {writer.fullname}"
    if isinstance(reader, EnumSchema) and isinstance(writer, EnumSchema):
        return f"the reader lacks enum symbols {_symbols(writer, reader)} and has no default for them"
    return "; ".join(sorted(result.messages))


def _same(reader: NamedSchema, writer: NamedSchema) -> bool:
    """Say whether Avro takes two named types of one kind for the same: by their simple names."""
    return reader.type == writer.type and reader.name == writer.name


def _symbols(one: EnumSchema, other: EnumSchema) -> str:
    return ", ".join(sorted(set(one.symbols) - set(other.symbols)))


class _Walk:
    """Goes through both schemas side by side, and asks Avro's checker at every end."""

    def __init__(self, *, back: bool) -> None:
        self._back = back
        self._seen: set[tuple[str, str]] = set()
        self.who = "released readers cannot read new values" if back else "old values cannot be read"

    def pair(self, reader: Schema, writer: Schema, path: str) -> Iterator[tuple[str, str]]:
        if isinstance(reader, UnionSchema) and (inner := _optional(reader)) is not None:
            other = _optional(writer) if isinstance(writer, UnionSchema) else writer
            if other is not None:
                yield from self.pair(inner, other, path)
                return
        if isinstance(reader, ArraySchema) and isinstance(writer, ArraySchema):
            yield from self.pair(cast("Schema", reader.items), cast("Schema", writer.items), f"{path}[]")
        elif isinstance(reader, RecordSchema) and isinstance(writer, RecordSchema) and _same(reader, writer):
            yield from self._stricter(reader, writer, path)
            yield from self._fields(reader, writer, path)
        elif reasons := _verdict(reader, writer):
            yield path, f"{self.who}: {reasons}"
        else:
            yield from self._stricter(reader, writer, path)

    def _fields(self, reader: RecordSchema, writer: RecordSchema, path: str) -> Iterator[tuple[str, str]]:
        names = (str(reader.fullname), str(writer.fullname))
        if names in self._seen:
            return
        self._seen.add(names)
        for field in reader.fields_dict.values():
            place = f"{path}.{field.name}" if path else str(field.name)
            other = lookup_writer_field(writer_schema=writer, reader_field=field)
            if other is not None:
                yield from self.pair(field.type, other.type, place)
            elif not field.has_default:
                yield place, self._missing()

    def _missing(self) -> str:
        if self._back:
            return "removed, but released without a default: the released schema cannot do without it"
        return "new without a default: old values do not have it"

    def _stricter(self, reader: Schema, writer: Schema, path: str) -> Iterator[tuple[str, str]]:
        """Yield what Avro lets pass and we do not; once for both directions."""
        if self._back:
            return
        names = [t.fullname for t in (writer, reader) if isinstance(t, NamedSchema)]
        if len(set(names)) > 1:
            yield path, f"type renamed from {names[0]} to {names[1]}"
        if {reader.type, writer.type} == {"string", "bytes"}:
            yield path, f"type changed from {writer.type} to {reader.type}"
        if (new := reader.get_prop("logicalType")) != (old := writer.get_prop("logicalType")):
            yield path, f"logical type changed from {old} to {new}"
        if (
            isinstance(reader, EnumSchema)
            and isinstance(writer, EnumSchema)
            and (gone := _symbols(writer, reader))
        ):
            yield path, f"enum symbols removed: {gone}; old values would read as {reader.get_prop('default')}"


def _optional(union: UnionSchema) -> Schema | None:
    """Return X of `["null", X]`; None for any other union."""
    branches = [branch for branch in union.schemas if branch.type != "null"]
    return branches[0] if len(branches) == 1 and len(union.schemas) == _OPTIONAL_BRANCHES else None
