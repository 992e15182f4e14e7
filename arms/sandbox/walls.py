"""The walls by name: an empty text says that a wall holds, any other why it does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["WALLS", "missing", "sentence"]

WALLS: Final[Mapping[str, str]] = {
    "namespaces": "no network, no view of other processes (namespaces)",
    "files": "a read-only view of few files (mounts)",
    "landlock": "no right on other files (Landlock)",
    "seccomp": "no sockets, no new processes (seccomp)",
}
"""Every wall, and what it keeps a program from."""


def missing(walls: Mapping[str, str]) -> str:
    """Why a program is not confined; empty when files, network and processes are behind one wall at least."""
    files = not walls["files"] or not (walls["landlock"] or walls["seccomp"])
    if files and not (walls["namespaces"] and walls["seccomp"]):
        return ""
    return "; ".join(f"{name}: {why}" for name, why in walls.items() if why)


def sentence(walls: Mapping[str, str]) -> str:
    """What holds, and what does not, in words."""
    held = [about for name, about in WALLS.items() if not walls.get(name, "unknown")]
    lost = [f"{name} ({walls[name]})" for name in WALLS if walls.get(name)]
    text = ", ".join(held) or "nothing"
    return text + (f"; not on this machine: {', '.join(lost)}" if lost else "")
