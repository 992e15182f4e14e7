"""Landlock: the process gives up every right on files but those named; needs no privilege, see landlock(7)."""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable
from typing import Final

from arms.sandbox.kernel import call, prctl

__all__ = ["abi", "restrict"]

# Access rights by bit: execute, write file, read file, read folder, then removing, making, moving, truncating, ioctl.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_MAKE_CHAR, _MAKE_BLOCK = 1 << 6, 1 << 11
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_ON_FILES: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
# Before ABI 3 a file could be truncated by who may only read it; such a wall is none.
_LEAST_ABI: Final = 3
_ALL_BY_ABI: Final = ((5, (1 << 16) - 1), (3, (1 << 15) - 1))
_NET_ABI, _SCOPE_ABI = 4, 6
_TCP_BIND_AND_CONNECT: Final = 3
_NO_ABSTRACT_SOCKETS_NO_SIGNALS: Final = 3
_GET_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_NO_NEW_PRIVS: Final = 38
_DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/full", "/dev/urandom", "/dev/random")


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def abi() -> int:
    """The version of Landlock that the kernel offers; 0: none that can be relied on."""
    try:
        found = call("landlock_create_ruleset", None, 0, _GET_VERSION)
    except OSError:
        return 0
    return found if found >= _LEAST_ABI else 0


def restrict(
    readable: Iterable[str], executable: Iterable[str], scratch: str, *, network: bool = False
) -> int:
    """Give up all rights on files but these, for this process and all that come of it.

    Args:
        readable: Files and folders that may be read.
        executable: Files that may be executed.
        scratch: Folder where anything may be done, except to execute.
        network: Leave TCP alone.

    Returns:
        The ABI in force.

    Raises:
        OSError: The kernel offers no Landlock, or refused.
    """
    version = abi()
    if not version:
        raise OSError(38, "the kernel offers no Landlock of ABI 3 or later")
    everything = next(rights for least, rights in _ALL_BY_ABI if version >= least)
    net = 0 if network else _TCP_BIND_AND_CONNECT
    wanted = _Ruleset(everything, net, _NO_ABSTRACT_SOCKETS_NO_SIGNALS)
    size = 24 if version >= _SCOPE_ABI else 16 if version >= _NET_ABI else 8
    rules = call("landlock_create_ruleset", ctypes.byref(wanted), size, 0)
    try:
        for path in readable:
            _allow(rules, path, _READ_FILE | _READ_DIR)
        for path in executable:
            _allow(rules, path, _EXECUTE | _READ_FILE)
        for path in _DEVICES:
            _allow(rules, path, _READ_FILE | _WRITE_FILE)
        _allow(rules, scratch, everything & ~(_EXECUTE | _MAKE_CHAR | _MAKE_BLOCK))
        prctl(_NO_NEW_PRIVS, 1)
        call("landlock_restrict_self", rules, 0)
    finally:
        os.close(rules)
    return version


def _allow(rules: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= _ON_FILES
        rule = _Beneath(rights, place)
        call("landlock_add_rule", rules, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(place)
