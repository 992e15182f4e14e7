"""A bundle of a whole log as a log: so that what it says can be decided again without Kafka."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from octolog.domain.errors import NotFound, Refused, UndecodableRecord
from octolog.ports import LogRecord, Positions
from octolog.verifier.archive import Archive
from octolog.verifier.records import Schemas, read_records
from octolog.verifier.report import Report
from schemas.codec import Codec
from schemas.registry.ids import RegisteredSchema
from streams.replay import Report as Verdict
from streams.replay import verify
from streams.topics import ARMS, CHECKPOINTS, DEAD_LETTERS, INPUTS, MEMORY, TASKS

_BATCH: Final = 10_000


def decide_again(path: Path, *, processes: int = 1) -> Verdict:
    """Decide every fact of a bundle again from the inputs in it.

    Args:
        path: A bundle of a whole log, with nothing left out, that was found right.
        processes: How many processes share its partitions.

    Raises:
        Refused: For a bundle of one task, or a redacted one.
        NotFound: When the file holds no facts.
    """
    source = BundleSource(path)
    with closing(source.archive()) as archive:
        manifest = archive.manifest or {}
    if manifest.get("scope", {}).get("task") is not None or manifest.get("redacted"):
        raise Refused("only a bundle of the whole log, not redacted, can be decided again")
    # Bundles of versions before this name no topics, and hold no memories.
    return verify(source, processes=processes, memories=MEMORY in manifest.get("topics", ()), copy=True)


@dataclass(frozen=True, slots=True)
class BundleSource:
    """A log in a bundle.

    Attributes:
        path: The file.
    """

    path: Path

    def archive(self) -> Archive:
        """The file, opened."""
        archive = Archive(self.path, Report())
        archive.load()
        return archive

    def reader(self) -> _Reader:
        """Reads its records."""
        return _Reader(self.archive())

    def codec(self) -> Codec:
        """Encodes and decodes with its schemas."""
        return Codec(_Ids(self.archive()))


class _Reader:
    """A log reader on a bundle."""

    def __init__(self, archive: Archive) -> None:
        self._archive, self._schemas = archive, Schemas(archive)
        log: dict[str, dict[str, int]] = (archive.manifest or {}).get("log", {})
        self._ends: Positions = {}
        for name, said in log.items():
            topic, _, number = name.rpartition("/")
            self._ends[topic, int(number)] = said["last_offset"] + 1
        for partition in [partition for topic, partition in self._ends if topic == TASKS]:
            for topic in INPUTS:
                self._ends.setdefault((topic, partition), 0)
        for topic in (ARMS, DEAD_LETTERS, CHECKPOINTS, MEMORY):
            self._ends.setdefault((topic, 0), 0)

    def ends(self, topics: Sequence[str]) -> Positions:
        """The offset after the last record of every partition of `topics`."""
        found = {place: end for place, end in self._ends.items() if place[0] in topics}
        if not found:
            raise NotFound(f"the bundle has no {', '.join(topics)}")
        return found

    def read(self, start: Positions, *, until: Positions | None = None) -> Iterator[list[LogRecord]]:
        """Batches up to `until`, or to the end."""
        for (topic, partition), first in start.items():
            end = (until or self._ends).get((topic, partition), 0)
            found = read_records(self._archive, self._schemas, topic, partition, Report())
            records = (
                LogRecord(topic, partition, r.entry.offset, r.entry.timestamp_ms, r.entry.key, r.value)
                for r in found
                if first <= r.entry.offset < end
            )
            while batch := list(islice(records, _BATCH)):
                yield batch

    def at_time(self, topics: Sequence[str], timestamp_ms: int) -> Positions:
        """For every partition, the first offset at or after a time; its end when there is none."""
        found = self.ends(topics)
        for place, end in found.items():
            for batch in self.read({place: 0}, until={place: end}):
                later = next((r.offset for r in batch if r.timestamp_ms >= timestamp_ms), None)
                if later is not None:
                    found[place] = later
                    break
        return found

    def close(self) -> None:
        """Close the file."""
        self._archive.close()


class _Ids:
    """Schema ids of a bundle. A schema it lacks gets an id that no record of it has."""

    def __init__(self, archive: Archive) -> None:
        self._schemas = Schemas(archive)
        said: dict[str, str] = (archive.manifest or {}).get("schemas", {})
        self._subjects = {int(schema_id): subject for schema_id, subject in said.items()}
        self._by_text = {self._schemas.text(schema_id): schema_id for schema_id in self._subjects}
        archive.close()

    def register(self, subject: str, schema: str | Mapping[str, object]) -> int:
        """The id of a schema."""
        text = str(schema)
        if text not in self._by_text:
            made = max([0, *self._subjects]) + 1
            self._subjects[made], self._by_text[text] = subject, made
        return self._by_text[text]

    def by_id(self, schema_id: int) -> tuple[str, str]:
        """Subject and text of an id.

        Raises:
            UndecodableRecord: When the bundle has none of that id.
        """
        text = next((text for text, known in self._by_text.items() if known == schema_id), None)
        if text is None:
            raise UndecodableRecord(f"schema id {schema_id} is not in the bundle")
        return self._subjects[schema_id], text

    def all(self) -> tuple[RegisteredSchema, ...]:
        """Every schema, each as the first version of its subject."""
        return tuple(
            RegisteredSchema(self._subjects[schema_id], 1, schema_id, text)
            for text, schema_id in self._by_text.items()
        )
