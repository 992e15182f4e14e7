"""The parts of an audit bundle, and putting them together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any, BinaryIO, Final
from zlib import crc32

from octolog.domain.errors import UndecodableRecord
from octolog.domain.proof import avro
from octolog.domain.proof.avro import RAW, TOMBSTONE, BundledRecord, record_digest
from octolog.ports import LogRecord
from octolog.verifier.archive import MANIFEST, SEAL
from octolog.verifier.records import container_part, index_part
from octolog.verifier.signatures import canonical
from octolog.verifier.zipped import Part, directory, local_header
from schemas import catalog
from schemas.blocks import WIRE_HEADER_BYTES
from schemas.codec import Codec, RecordedFact
from schemas.personal import redacted
from schemas.registry import SchemaIds
from schemas.rewrite import rewritten
from streams.notary.keys import KeyRing

_CHUNK_BYTES: Final = 1 << 20
_MAIN: Final = '''"""Checks the bundle that this file is in, or another one: `python BUNDLE [--json] [--key ID]`."""

import sys

from octolog.verifier.verify import main

sys.exit(main())
'''
_README: Final = """An octolog audit bundle: facts about tasks, what caused them, and what proves them.

Check it:        python THIS_FILE            (Python 3.11 or newer; nothing else, no network)
The same, safer: octolog audit verify FILE   (or a verifier that you got from somebody you trust:
                                             this one came with what it checks)

log/TOPIC/PARTITION.avro         every record: offset, time, key, schema, size, digest
records/TOPIC/PARTITION/ID.avro  its values, one Avro container for each schema; any Avro reader opens them
schemas/ID.avsc                  the schemas they were written with
blobs/SHA256                     large values that records refer to, where they were asked for
proofs.json                      for single tasks: how each fact leads to the root a checkpoint signs
manifest.json                    what is in here, with the SHA-256 of each part
manifest.seal.json               who vouches for the manifest
octolog/, verify.py              the verifier

A value in the log is a zero byte, the schema's id in four bytes, and the datum. A fact's hash, its last 32 bytes,
is SHA-256 over its record's full name, a zero byte, and the datum without the hash. Checkpoints sign the root of a
Merkle tree (RFC 6962) over those hashes, in the order of the facts' positions.
"""


class PartitionWriter:
    """The records of one partition: an index, and a container for each schema.

    Args:
        topic: Its topic.
        partition: Its number.
        folder: Where the parts are collected.
        codec: Tells records from other bytes.
        redact: Leave personal data out.
    """

    def __init__(self, topic: str, partition: int, folder: Path, codec: Codec, *, redact: bool) -> None:
        self._topic, self._partition, self._folder = topic, partition, folder
        self._codec, self._redact = codec, redact
        self._index = _ContainerWriter(folder / index_part(topic, partition), avro.INDEX_SCHEMA)
        self._containers: dict[int, _ContainerWriter] = {}
        self._count, self._first, self._last = 0, -1, -1

    def add(self, record: LogRecord) -> None:
        """Append the next record."""
        schema_id, value, is_redacted = self._typed(record.value)
        datum = b""
        if schema_id == RAW:
            datum = avro.long(len(value or b"")) + (value or b"")
        elif value is not None:
            datum = value[WIRE_HEADER_BYTES:]
        if schema_id != TOMBSTONE:
            self._container(schema_id).add(datum)
        place = self._topic, self._partition, record.offset
        digest = record_digest(place, record.timestamp_ms, record.key, value, redacted=is_redacted)
        entry = BundledRecord(
            record.offset, record.timestamp_ms, record.key, schema_id, len(datum), digest, is_redacted
        )
        self._index.add(entry.encode())
        self._first = record.offset if self._first < 0 else self._first
        self._count, self._last = self._count + 1, record.offset

    def summary(self) -> dict[str, int]:
        """Records, first and last offset."""
        return {"records": self._count, "first_offset": self._first, "last_offset": self._last}

    def close(self) -> None:
        """Write what is left."""
        for container in (self._index, *self._containers.values()):
            container.close()

    def _typed(self, value: bytes | None) -> tuple[int, bytes | None, bool]:
        """Schema id, the value as it goes into the bundle, and whether it lacks something."""
        if value is None:
            return TOMBSTONE, None, False
        try:
            decoded = self._codec.decode(value)
        except UndecodableRecord:
            return (RAW, b"", True) if self._redact else (RAW, value, False)
        if self._redact and (left := redacted(decoded)) is not decoded:
            fact = left.fact if isinstance(left, RecordedFact) else left
            schema_id = self._codec.ids.register(fact.schema_name, catalog.schema_json(fact.schema_name))
            header = b"\0" + schema_id.to_bytes(4, "big")
            return schema_id, header + rewritten(left)[WIRE_HEADER_BYTES:], True
        return int.from_bytes(value[1:WIRE_HEADER_BYTES], "big"), value, False

    def _container(self, schema_id: int) -> _ContainerWriter:
        known = self._containers.get(schema_id)
        if known is None:
            schema = avro.RAW_SCHEMA
            if schema_id != RAW:
                schema = self._codec.ids.by_id(schema_id)[1]
                path = self._folder / f"schemas/{schema_id}.avsc"
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(schema.encode())
            path = self._folder / container_part(self._topic, self._partition, schema_id)
            known = self._containers[schema_id] = _ContainerWriter(path, schema)
        return known


class _ContainerWriter:
    """An Avro container, written forward."""

    def __init__(self, path: Path, schema: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb")
        self._file.write(avro.container_header(schema))
        self._marker = avro.sync_marker(schema)
        self._held: list[bytes] = []
        self._size = 0

    def add(self, datum: bytes) -> None:
        self._held.append(datum)
        self._size += len(datum)
        if len(self._held) == avro.BLOCK_RECORDS or self._size >= avro.BLOCK_BYTES:
            self._flush()

    def close(self) -> None:
        if self._held:
            self._flush()
        self._file.close()

    def _flush(self) -> None:
        self._file.write(avro.block(self._held, self._marker))
        self._held.clear()
        self._size = 0


@dataclass(frozen=True, slots=True)
class _Sums:
    size: int
    crc: int
    sha256: str


def write_archive(
    out: Path, folder: Path, manifest: dict[str, Any], ids: SchemaIds, keys: KeyRing | None
) -> tuple[int, str, str | None]:
    """Put the parts in `folder` together, with the verifier and the manifest.

    Returns:
        Size in bytes and SHA-256 of the file, and the id of the key that sealed it.
    """
    for name, text in _verifier():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    names.sort(key=lambda name: (name not in ("README.txt", "__main__.py"), name))
    sums = {name: _sums(folder / name) for name in names}
    manifest["schemas"] = {
        name.removeprefix("schemas/").removesuffix(".avsc"): ids.by_id(int(Path(name).stem))[0]
        for name in names
        if name.startswith("schemas/")
    }
    manifest["parts"] = [
        {"name": name, "bytes": found.size, "sha256": found.sha256} for name, found in sums.items()
    ]
    known = keys.announcements()[-1:] if keys is not None else ()
    manifest["sealed_by"] = known[0].key_id if known else None
    text = canonical(manifest)
    heads = [(MANIFEST, text)]
    if keys is not None and known:
        seal = {
            "key_id": known[0].key_id,
            "public_key": known[0].public_key.hex(),
            "signature": keys.sign_manifest(text, known[0].key_id).hex(),
        }
        heads.append((SEAL, canonical(seal)))
    for name, content in heads:
        (folder / name).write_bytes(content)
        sums[name] = _sums(folder / name)
    names[1:1] = [name for name, _ in heads]  # after the README: the first things to look at
    fresh = folder / "bundle.new"
    with fresh.open("wb") as archive:
        digest = _write(archive, folder, names, sums)
    size = fresh.stat().st_size
    fresh.replace(out)
    return size, digest, manifest["sealed_by"]


def _write(archive: BinaryIO, folder: Path, names: list[str], sums: dict[str, _Sums]) -> str:
    digest, at, parts = sha256(), 0, list[Part]()

    def put(data: bytes) -> None:
        nonlocal at
        archive.write(data)
        digest.update(data)
        at += len(data)

    for name in names:
        known = sums[name]
        parts.append(Part(name, known.crc, known.size, at))
        put(local_header(name, known.crc, known.size))
        for chunk in _chunks(folder / name):
            put(chunk)
    put(directory(parts, at))
    return digest.hexdigest()


def _verifier() -> Iterator[tuple[str, bytes]]:
    """The verifier's own files, and what a reader of the archive sees first."""
    yield "README.txt", _README.encode()
    yield "__main__.py", _MAIN.encode()
    yield "verify.py", _MAIN.encode()
    for package in ("octolog", "octolog.domain"):
        yield f"{package.replace('.', '/')}/__init__.py", b'"""As much of octolog as a verifier needs."""\n'
    for package in ("octolog.domain.proof", "octolog.verifier"):
        for entry in files(package).iterdir():
            if entry.name.endswith(".py"):
                yield f"{package.replace('.', '/')}/{entry.name}", entry.read_bytes()


def _sums(path: Path) -> _Sums:
    digest, crc, size = sha256(), 0, 0
    for chunk in _chunks(path):
        digest.update(chunk)
        crc = crc32(chunk, crc)
        size += len(chunk)
    return _Sums(size, crc, digest.hexdigest())


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
