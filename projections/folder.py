"""A folder with a store that one process at a time may have open."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from octolog.domain.errors import StoreUnavailable

__all__ = ["take"]

_LOCK: Final = "lock"
_LOCK_S: Final = 5.0


def take(folder: Path) -> FileLock:
    """Have a folder to oneself, made when it is not there, until the lock is released.

    Raises:
        StoreUnavailable: When another process has it open, or it cannot be made.
    """
    lock = FileLock(folder / _LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(_LOCK_S)
    except Timeout:
        raise StoreUnavailable(
            f"{folder} is open in another process; ask the running node, or stop it first"
        ) from None
    except OSError as error:
        raise StoreUnavailable(f"{folder}: {error.strerror or error}") from None
    return lock
