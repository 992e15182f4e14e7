"""Blobs by content: named by their SHA-256, bounded, and checked at every read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

from blobs.shelf import CHUNK_BYTES, Shelf
from octolog.domain.errors import BlobChanged, BlobMissing, BlobTooLarge, Refused
from octolog.domain.values import BlobRef

__all__ = ["DEFAULT_MAX_BYTES", "Blobs"]

DEFAULT_MAX_BYTES: Final = 256 * 1024 * 1024
JSON: Final = "application/json"
_NAME: Final = re.compile(r"[0-9a-f]{64}")
_SHOWN: Final = 12
"""Digits of a digest that messages about a value that cannot be kept repeat."""


class Blobs:
    """The blob store (`octolog.ports.BlobStore`). Callable from any thread.

    Args:
        shelf: Where the bytes lie.
        max_bytes: Longest value that is kept, or read.
    """

    def __init__(self, shelf: Shelf, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.shelf, self.max_bytes = shelf, max_bytes

    def put(self, data: bytes, media_type: str = JSON) -> BlobRef:
        """Keep a value; when this returns, it is there for good. The same value twice is kept once.

        Raises:
            BlobTooLarge: It is longer than `max_bytes`.
            StoreUnavailable: The store does not answer; a repeat goes on where this ended.
        """
        self._bound(len(data), "the value")
        return self._put(sha256(data).hexdigest(), len(data), BytesIO(data), media_type)

    def put_file(self, path: Path, media_type: str = "application/octet-stream") -> BlobRef:
        """Keep a file's content, read piece by piece.

        Raises:
            BlobTooLarge: It is longer than `max_bytes`.
            StoreUnavailable: The store does not answer; a repeat goes on where this ended.
            Refused: The file cannot be read, or changes while it is.
        """
        try:
            file = path.open("rb")
        except OSError as error:
            raise Refused(f"{path}: {error.strerror or error}") from None
        with file:
            digest, size = sha256(), 0
            while chunk := file.read(CHUNK_BYTES):
                size += len(chunk)
                self._bound(size, str(path))
                digest.update(chunk)
            file.seek(0)
            return self._put(digest.hexdigest(), size, file, media_type)

    def read(self, ref: BlobRef) -> bytes:
        """A whole value, checked.

        Raises:
            BlobMissing: The store has no such blob.
            BlobChanged: What the store has is not what the record refers to.
            BlobTooLarge: It is longer than `max_bytes`.
            StoreUnavailable: The store does not answer.
        """
        self._bound(ref.size_bytes, f"blob {ref.sha256}")
        return b"".join(self.chunks(ref))

    def chunks(self, ref: BlobRef) -> Iterator[bytes]:
        """A value piece by piece; raises as `read`, BlobChanged possibly after the last piece: hold it until then."""
        if _NAME.fullmatch(ref.sha256) is None:
            raise BlobMissing(f"blob {ref.sha256[:64]!r}: is no SHA-256 in lowercase hex, so no blob's name")
        digest, size = sha256(), 0
        for chunk in self.shelf.chunks(ref.sha256):
            size += len(chunk)
            if size > ref.size_bytes:
                raise self._changed(ref, f"has more than the {ref.size_bytes} bytes the record says")
            digest.update(chunk)
            yield chunk
        if size < ref.size_bytes:
            raise self._changed(ref, f"has {size} bytes, the record says {ref.size_bytes}")
        if digest.hexdigest() != ref.sha256:
            raise self._changed(ref, f"its bytes have SHA-256 {digest.hexdigest()}")

    def save(self, ref: BlobRef, path: Path) -> None:
        """Write a value into a file, which appears only once it is checked; bounded memory.

        Raises:
            BlobMissing, BlobChanged, StoreUnavailable: As `chunks`.
            Refused: The file cannot be written.
        """
        fresh = path.with_name(f".{path.name}.{ref.sha256[:_SHOWN]}.part")
        try:
            with fresh.open("wb") as out:
                for chunk in self.chunks(ref):
                    out.write(chunk)
            fresh.replace(path)
        except OSError as error:
            raise Refused(f"{path}: {error.strerror or error}") from None
        finally:
            fresh.unlink(missing_ok=True)

    def check(self, ref: BlobRef) -> None:
        """Read a value to its end and keep nothing; raises as `chunks`."""
        for _ in self.chunks(ref):
            pass

    def _put(self, name: str, size_bytes: int, source: BinaryIO, media_type: str) -> BlobRef:
        self.shelf.write(name, size_bytes, source)
        return BlobRef(name, size_bytes, media_type)

    def _bound(self, size_bytes: int, what: str) -> None:
        if size_bytes > self.max_bytes:
            raise BlobTooLarge(
                f"{what} has {size_bytes} bytes or more; at most {self.max_bytes} are kept (OCTOLOG_BLOB_MAX_BYTES)"
            )

    def _changed(self, ref: BlobRef, why: str) -> BlobChanged:
        return BlobChanged(f"blob {ref.sha256} in {self.shelf.url} is not what was stored: {why}")
