"""A world of its own for one program: no network, no other processes, and only the files it is shown, read only."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from arms.sandbox.kernel import call

__all__ = ["enter", "show_only"]

# See namespaces(7) and mount(2).
_USER, _MOUNTS, _PIDS, _NETWORK = 0x10000000, 0x00020000, 0x20000000, 0x40000000
_IPC, _HOST_NAME, _CGROUPS = 0x08000000, 0x04000000, 0x02000000
_NOBODY: Final = 65_534
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 8, 4_096, 16_384, 1 << 18
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV, _ATTR_NOEXEC = 1, 2, 4, 8
_MNT_DETACH: Final = 2
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/full", "/dev/urandom", "/dev/random")
_SCRATCH_FILES: Final = 4_096


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def enter(*, network: bool) -> None:
    """Leave the host's users, mounts, processes and, unless `network`, its network; children are in the new world.

    Raises:
        OSError: The kernel or its administrator does not allow it.
    """
    uid, gid = os.geteuid(), os.getegid()
    wanted = _USER | _MOUNTS | _PIDS | _IPC | _HOST_NAME | _CGROUPS
    call("unshare", wanted | (0 if network else _NETWORK))
    # Nobody inside is who we are outside: files are read with our rights, but exec hands out no capability.
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{_NOBODY} {uid} 1")
    _write("/proc/self/gid_map", f"{_NOBODY} {gid} 1")


def show_only(root: str, readable: Iterable[str], scratch: str, *, scratch_bytes: int) -> None:
    """Make `root` the root folder, with `readable` in it, read only, and an empty `scratch` in memory.

    Raises:
        OSError: A mount was refused; the view is then not to be relied on.
    """
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", root, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=755,size=1m")
    bound: list[str] = []
    for path in sorted({*readable, *_DEVICES}, key=lambda each: (each.count("/"), each)):
        _show(root, path, bound)
    place = root + scratch
    Path(place).mkdir(parents=True, exist_ok=True)
    options = f"mode=700,size={scratch_bytes},nr_inodes={_SCRATCH_FILES}"
    _mount("tmpfs", place, "tmpfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, options)
    _set(root, _ATTR_RDONLY | _ATTR_NOSUID, 0, recursive=True)
    _set(place, _ATTR_NOSUID | _ATTR_NODEV | _ATTR_NOEXEC, _ATTR_RDONLY, recursive=False)
    os.chdir(root)
    call("pivot_root", b".", b".")
    call("umount2", b".", _MNT_DETACH)
    os.chdir("/")


def _show(root: str, path: str, bound: list[str]) -> None:
    real = os.path.realpath(path)
    if real != path and not _within(path, bound) and not os.path.lexists(root + path):
        Path(root + path).parent.mkdir(parents=True, exist_ok=True)
        Path(root + path).symlink_to(real)
    if not Path(real).exists() or _within(real, bound):
        return
    place = Path(root + real)
    if Path(real).is_dir():
        place.mkdir(parents=True, exist_ok=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    _mount(real, str(place), None, _MS_BIND | _MS_REC)
    bound.append(real)


def _within(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in folders)


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    call("mount", *texts, flags, None if options is None else options.encode())


def _set(path: str, attr_set: int, attr_clr: int, *, recursive: bool) -> None:
    attributes = _MountAttributes(attr_set, attr_clr, 0, 0)
    flags = _AT_RECURSIVE if recursive else 0
    size = ctypes.sizeof(attributes)
    call("mount_setattr", _AT_FDCWD, os.fsencode(path), flags, ctypes.byref(attributes), size)


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
