"""What a notary signs, as text: anyone can write it again, in any language."""

from __future__ import annotations

from hashlib import sha256


def key_id(public_key: bytes) -> str:
    """The name of a public key: its SHA-256, lowercase hex."""
    return sha256(public_key).hexdigest()


def checkpoint_note(topic: str, partition: int, size: int, end_offset: int, root: bytes, at_ms: int) -> bytes:
    """The note of a checkpoint: six lines, each ended by a newline."""
    lines = ("octolog checkpoint 1", f"{topic}/{partition}", size, end_offset, root.hex(), at_ms)
    return _text(lines)


def key_note(public_key: bytes, previous_key_id: str | None, at_ms: int) -> bytes:
    """The note that announces a key."""
    return _text(("octolog key 1", public_key.hex(), previous_key_id or "-", at_ms))


def manifest_note(manifest: bytes) -> bytes:
    """The note of a bundle: the SHA-256 of its manifest."""
    return _text(("octolog bundle 1", sha256(manifest).hexdigest()))


def _text(lines: tuple[object, ...]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
