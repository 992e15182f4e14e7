"""A notary's keys: Ed25519, in files that only their owner may read. The only home of `cryptography`."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from filelock import FileLock

from octolog.domain.audit import Checkpoint, NotaryKeyAnnounced
from octolog.domain.errors import SettingsError
from octolog.domain.proof.notes import checkpoint_note, key_id, key_note, manifest_note

_CURRENT: Final = "current"
_LOCK_S: Final = 30.0
_OWNER_ONLY: Final = 0o600


class KeyRing:
    """The keys of one home, oldest first.

    Args:
        folder: Where they lie; made on first use.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def current(self, at_ms: int) -> str:
        """The id of the key that signs now; makes the first one.

        Args:
            at_ms: When, milliseconds since the epoch; enters the announcement of a key made now.

        Raises:
            SettingsError: When the folder cannot be used.
        """
        return self._marked() or self._made(at_ms, rotate=False)

    def rotate(self, at_ms: int) -> str:
        """Make a new key, announced by the one before; returns its id.

        Raises:
            SettingsError: When the folder cannot be used.
        """
        return self._made(at_ms, rotate=True)

    def announcements(self) -> tuple[NotaryKeyAnnounced, ...]:
        """What the log must be told of the keys, oldest first."""
        found: list[NotaryKeyAnnounced] = []
        name: str | None = self._marked()
        while name is not None:
            said = json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
            for part in ("public_key", "signature"):
                said[part] = bytes.fromhex(said[part])
            found.append(NotaryKeyAnnounced(**said))
            name = said["previous_key_id"]
        return tuple(reversed(found))

    def has(self, name: str) -> bool:
        """True for a key of this home."""
        return (self.folder / f"{name}.secret").is_file()

    def checkpoint(
        self, topic: str, partition: int, *, size: int, end_offset: int, root: bytes, peaks: bytes, at_ms: int
    ) -> Checkpoint:
        """A checkpoint, signed by the current key."""
        name = self.current(at_ms)
        note = checkpoint_note(topic, partition, size, end_offset, root, at_ms)
        signature = self.secret(name).sign(note)
        return Checkpoint(topic, partition, size, end_offset, root, peaks, at_ms, name, signature)

    def sign_manifest(self, manifest: bytes, name: str) -> bytes:
        """A bundle's manifest, signed by a key of this home.

        Raises:
            SettingsError: When the key cannot be read.
        """
        return self.secret(name).sign(manifest_note(manifest))

    def _marked(self) -> str | None:
        try:
            return (self.folder / _CURRENT).read_text(encoding="ascii").strip() or None
        except FileNotFoundError:
            return None

    def _made(self, at_ms: int, *, rotate: bool) -> str:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with FileLock(self.folder / ".lock", timeout=_LOCK_S):
                before = self._marked()
                return before if before is not None and not rotate else self._make(before, at_ms)
        except OSError as error:
            raise SettingsError(f"cannot keep keys in {self.folder}: {error}") from error

    def _make(self, before: str | None, at_ms: int) -> str:
        secret = Ed25519PrivateKey.generate()
        public = secret.public_key().public_bytes_raw()
        name, note = key_id(public), key_note(public, before, at_ms)
        signer = secret if before is None else self.secret(before)
        said = NotaryKeyAnnounced(name, public, at_ms, before, signer.sign(note))
        plain = asdict(said) | {"public_key": public.hex(), "signature": said.signature.hex()}
        self._write(f"{name}.secret", secret.private_bytes_raw().hex())
        self._write(f"{name}.json", json.dumps(plain, sort_keys=True))
        self._write(_CURRENT, name)
        return name

    def _write(self, name: str, text: str) -> None:
        fresh = self.folder / f"{name}.new"
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY), "w") as out:
            out.write(f"{text}\n")
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(self.folder / name)

    def secret(self, name: str) -> Ed25519PrivateKey:
        """A key of this home.

        Raises:
            SettingsError: When it cannot be read.
        """
        path = self.folder / f"{name}.secret"
        try:
            return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(path.read_text(encoding="ascii")))
        except (OSError, ValueError) as error:
            raise SettingsError(f"the notary's key {path} cannot be read: {error}") from error


def is_signed(public_key: bytes, note: bytes, signature: bytes) -> bool:
    """Whether a note was signed; as `octolog.domain.proof.ed25519.is_signed`, many times quicker."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, note)
    except (InvalidSignature, ValueError):
        return False
    return True
