"""What a place for blobs can do; it neither names nor checks them: `blobs.store` does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple, Protocol

__all__ = ["CHUNK_BYTES", "Shelf", "Stored"]

CHUNK_BYTES: Final = 1 << 20
"""How much of a blob is held in memory when it is streamed."""


class Stored(NamedTuple):
    """A blob as it lies in its place, or an upload that was not finished.

    Attributes:
        name: Its SHA-256, lowercase hex.
        size_bytes: Its size.
        written_ms: When it was last written, or asked to be, milliseconds since the epoch, the place's clock.
        handle: What the place knows an unfinished upload by; empty for a blob.
    """

    name: str
    size_bytes: int
    written_ms: int
    handle: str = ""


class Shelf(Protocol):
    """A place that keeps blobs.

    Every call raises StoreUnavailable when the place does not answer, and SettingsError when it cannot work.
    """

    url: str

    def write(self, name: str, size_bytes: int, source: BinaryIO) -> None:
        """Keep the bytes of `source`, which is at its beginning; what an earlier try left is taken up.

        A blob that is there already and whole only gets a new time, which keeps it from being collected.

        Raises:
            Refused: The bytes are not those the name was made of.
        """
        ...

    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes, piece by piece.

        Raises:
            BlobMissing: There is no such blob.
        """
        ...

    def stored(self) -> Iterator[Stored]:
        """Every blob."""
        ...

    def unfinished(self) -> Iterator[Stored]:
        """Every upload that was begun and not finished."""
        ...

    def remove(self, found: Stored, before_ms: int) -> bool:
        """Delete a blob, or an unfinished upload; False when it is gone, or was written at `before_ms` or later."""
        ...

    def probe(self) -> str:
        """Look whether the place can be read and written; what it is, for people."""
        ...
