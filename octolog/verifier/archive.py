"""The file of a bundle: every byte that is not a part's own is written again and compared."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Final
from zlib import crc32

from octolog.verifier.report import Fault, Report
from octolog.verifier.zipped import (
    LOCAL_BYTES,
    LOCAL_SIGNATURE,
    Part,
    directory,
    read_local_header,
)

MANIFEST: Final = "manifest.json"
SEAL: Final = "manifest.seal.json"
BLOBS: Final = "blobs"
FORMAT: Final = "octolog bundle 1"
_CHUNK_BYTES: Final = 1 << 20
_LONGEST_HEADER_BYTES: Final = 4_096


class Archive:
    """A bundle's parts.

    Args:
        path: The file.
        report: Takes what is wrong.

    Attributes:
        manifest: What the bundle says of itself; None when it cannot be read.
    """

    def __init__(self, path: Path, report: Report) -> None:
        self._file: BinaryIO = path.open("rb")
        self._size = path.stat().st_size
        self._report = report
        self._places: dict[str, tuple[int, int]] = {}
        self._sums: dict[str, str] = {}
        self.manifest: dict[str, Any] | None = None

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def names(self) -> list[str]:
        """Names of the parts, in order."""
        return list(self._places)

    def read(self, name: str) -> bytes:
        """A whole part."""
        start, size = self._places[name]
        self._file.seek(start)
        return self._file.read(size)

    def window(self, name: str) -> Window:
        """A part, to be read piece by piece."""
        return Window(self._file, *self._places[name])

    def check(self) -> bool:
        """Check the file and the sums of its parts; False when its parts cannot be told apart."""
        whole = self._walk()
        if MANIFEST not in self._places:
            self._fault(MANIFEST, "is not in the file")
            return False
        try:
            manifest = json.loads(self.read(MANIFEST))
            listed = {part["name"]: (part["bytes"], part["sha256"]) for part in manifest["parts"]}
            if manifest["format"] != FORMAT:
                raise ValueError(f"its format is {manifest['format']!r}")
        except (ValueError, KeyError, TypeError) as error:
            self._fault(MANIFEST, f"cannot be read: {error}")
            return False
        self.manifest = manifest
        self._compare(listed)
        self._name_blobs()
        return whole

    def load(self) -> None:
        """Find the parts and the manifest of a file that was checked before."""
        self._walk(summed=False)
        self.manifest = json.loads(self.read(MANIFEST))

    def _compare(self, listed: dict[str, tuple[int, str]]) -> None:
        wanted = [*listed]
        found = [name for name in self._places if name not in (MANIFEST, SEAL)]
        for name in wanted:
            if name not in self._places:
                self._fault(name, "is missing")
            elif (self._places[name][1], self._sums[name]) != listed[name]:
                self._fault(name, f"its SHA-256 is {self._sums[name]}, the manifest says {listed[name][1]}")
            else:
                self._report.parts += 1
        for name in found:
            if name not in listed:
                self._fault(name, "is not in the manifest")
        if sorted(found) == sorted(wanted) and found != wanted:
            first = next(ours for ours, theirs in zip(found, wanted, strict=True) if ours != theirs)
            self._fault(first, "stands in another place than the manifest says")

    def _name_blobs(self) -> None:
        """A large value's name is its SHA-256: what a record refers to by it is this and nothing else."""
        for name in self._places:
            folder, _, digest = name.partition("/")
            if folder != BLOBS:
                continue
            if self._sums[name] == digest:
                self._report.blobs += 1
            else:
                self._fault(name, f"its SHA-256 is {self._sums[name]}, which is not its name")

    def _walk(self, *, summed: bool = True) -> bool:
        """Part after part, then the directory."""
        parts: list[Part] = []
        at, before = 0, "the beginning"
        while True:
            self._file.seek(at)
            head = self._file.read(LOCAL_BYTES)
            if not head.startswith(LOCAL_SIGNATURE):
                break
            known = read_local_header(head, self._file.read(_LONGEST_HEADER_BYTES))
            if known is None:
                return self._broken(at, f"the header of the part after {before} was edited")
            name, crc, size, header_bytes = known
            start = at + header_bytes
            if start + size > self._size:
                return self._broken(
                    self._size, f"the file ends within {name}, {size} bytes from byte {start}"
                )
            if name in self._places:
                return self._broken(at, f"a second part {name}")
            self._places[name] = start, size
            if summed and self._sum(name, start, size) != crc:
                self._fault(name, "its CRC-32 is another than its header says", start)
            parts.append(Part(name, crc, size, at))
            at, before = start + size, name
        return self._directory(parts, at, before)

    def _directory(self, parts: list[Part], at: int, before: str) -> bool:
        self._file.seek(at)
        expected, found = directory(parts, at), self._file.read(self._size - at)
        if expected == found:
            return True
        differs = next((i for i, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b), None)
        if differs is not None:
            self._broken(at + differs, f"what follows {before} is not the directory of the parts before it")
        elif len(found) < len(expected):
            self._broken(self._size, f"the file ends {len(expected) - len(found)} bytes too soon")
        else:
            self._broken(at + len(expected), f"{len(found) - len(expected)} bytes stand behind the end")
        return False

    def _sum(self, name: str, start: int, size: int) -> int:
        digest, crc, left = sha256(), 0, size
        self._file.seek(start)
        while left:
            chunk = self._file.read(min(left, _CHUNK_BYTES))
            digest.update(chunk)
            crc = crc32(chunk, crc)
            left -= len(chunk)
        self._sums[name] = digest.hexdigest()
        return crc

    def _broken(self, byte: int, message: str) -> bool:
        self._report.add(Fault("", message, byte))
        return False

    def _fault(self, part: str, message: str, byte: int | None = None) -> None:
        self._report.add(Fault(part, message, byte))


class Window:
    """Some bytes of a file, read in order.

    Args:
        file: The file; others may read it in between.
        start: Where they begin.
        size: How many they are.
    """

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._at, self.left = file, start, size

    def read(self, size: int) -> bytes:
        """The next bytes; fewer at the end."""
        self._file.seek(self._at)
        found = self._file.read(max(0, min(size, self.left)))
        self._at += len(found)
        self.left -= len(found)
        return found
