"""Blobs in a folder: `<ab>/<sha256>`; written to a part file, flushed to disk, and renamed.

Several processes may share the folder, on a file system with `flock`. A part file belongs to whoever holds its
lock; the kernel releases the lock of a dead process, and the next one goes on where it ended. The folder's own lock
keeps the collector from deleting a blob in the moment in which somebody relies on it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final, ParamSpec, TypeVar

from blobs.shelf import CHUNK_BYTES, Stored
from octolog.domain.errors import BlobMissing, Refused, StoreUnavailable

__all__ = ["FolderShelf"]

_PARTS: Final = "parts"
_SUFFIX: Final = ".part"
_NAME_CHARS: Final = 64
_P = ParamSpec("_P")
_R = TypeVar("_R")


def _told(call: Callable[_P, _R]) -> Callable[_P, _R]:
    """The file system's errors as ours."""

    @wraps(call)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return call(*args, **kwargs)
        except OSError as error:
            where = error.filename or "blob store"
            raise StoreUnavailable(f"blob store: {where}: {error.strerror or error}") from error

    return guarded


class FolderShelf:
    """Keeps blobs in a folder (`blobs.shelf.Shelf`).

    Args:
        root: The folder; made when the first blob is kept.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.url = root, str(root)

    @_told
    def write(self, name: str, size_bytes: int, source: BinaryIO) -> None:
        """Keep the bytes; see `Shelf.write`."""
        path = self._path(name)
        (self.root / _PARTS).mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(exist_ok=True)
        with self._locked(fcntl.LOCK_SH):
            if _holds(path, name, size_bytes):
                os.utime(path)
                return
        with self._part(name) as part:
            _fill(part, name, source)
            with self._locked(fcntl.LOCK_SH):
                Path(part.name).replace(path)
        for folder in (path.parent, self.root):
            _sync_folder(folder)

    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes; see `Shelf.chunks`."""
        with self._opened(name) as file:
            while chunk := self._some(file):
                yield chunk

    @_told
    def stored(self) -> Iterator[Stored]:
        """Every blob."""
        found = (path for path in self.root.glob("??/*") if len(path.name) == _NAME_CHARS)
        return iter([_stored(path, path.name) for path in sorted(found) if path.is_file()])

    @_told
    def unfinished(self) -> Iterator[Stored]:
        """Every part file that nobody writes now."""
        parts = sorted((self.root / _PARTS).glob(f"*{_SUFFIX}"))
        return iter([_stored(path, path.name[:_NAME_CHARS], path.name) for path in parts if _is_free(path)])

    @_told
    def remove(self, found: Stored, before_ms: int) -> bool:
        """Delete a blob or a part file; see `Shelf.remove`."""
        path = self.root / _PARTS / found.handle if found.handle else self._path(found.name)
        with self._locked(fcntl.LOCK_EX):
            try:
                if _written_ms(path) >= before_ms or (found.handle and not _is_free(path)):
                    return False
                path.unlink()
            except FileNotFoundError:
                return False
        return True

    @_told
    def probe(self) -> str:
        """Write a file into the folder and take it out again; one that is not there yet is not made."""
        folder = self.root
        while not folder.exists():
            folder = folder.parent
        mark = folder / f".octolog-probe-{os.getpid()}"
        mark.write_bytes(b"")
        mark.unlink()
        return f"folder {self.root}"

    def _path(self, name: str) -> Path:
        return self.root / name[:2] / name

    @_told
    def _opened(self, name: str) -> BinaryIO:
        try:
            return self._path(name).open("rb")
        except FileNotFoundError:
            raise BlobMissing(f"blob {name} is not in {self.url}") from None

    @_told
    def _some(self, file: BinaryIO) -> bytes:
        return file.read(CHUNK_BYTES)

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        with (self.root / _PARTS / "lock").open("ab") as lock:
            fcntl.flock(lock, how)
            yield

    @contextmanager
    def _part(self, name: str) -> Iterator[BinaryIO]:
        """A part file, locked: the one an earlier try left, or one of our own where somebody writes it now."""
        path = self.root / _PARTS / f"{name}{_SUFFIX}"
        while True:
            with path.open("a+b") as part:
                if not _lock(part):
                    path = path.with_name(f"{name}.{os.getpid()}-{id(part)}{_SUFFIX}")
                    continue
                if not _is_still(part, path):
                    continue  # it was renamed between opening and locking: it is a blob now
                yield part
                return


def _fill(part: BinaryIO, name: str, source: BinaryIO) -> None:
    """Make a part file equal to the source: what it holds already is compared, not written again."""
    digest, same = sha256(), True
    part.seek(0)
    while chunk := source.read(CHUNK_BYTES):
        digest.update(chunk)
        if same and part.read(len(chunk)) != chunk:
            same = False
            part.truncate(source.tell() - len(chunk))  # append mode: writes go to the new end
        if not same:
            part.write(chunk)
    if digest.hexdigest() != name:
        part.truncate(0)
        raise Refused("the value changed while it was stored; try again")
    part.truncate(source.tell())
    part.flush()
    os.fsync(part.fileno())


def _holds(path: Path, name: str, size_bytes: int) -> bool:
    """Whether the blob is there and whole; one that is not is written again, which heals it."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size != size_bytes:
                return False
            digest = sha256()
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
            return digest.hexdigest() == name
    except FileNotFoundError:
        return False


def _lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _is_free(path: Path) -> bool:
    try:
        with path.open("rb") as part:
            return _lock(part)
    except FileNotFoundError:
        return False


def _stored(path: Path, name: str, handle: str = "") -> Stored:
    return Stored(name, path.stat().st_size, _written_ms(path), handle)


def _written_ms(path: Path) -> int:
    return path.stat().st_mtime_ns // 1_000_000


def _sync_folder(folder: Path) -> None:
    """Make a rename last over a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
