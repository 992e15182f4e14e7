"""seccomp: system calls that the program has no business to make fail with "Operation not permitted".

No new process (threads may be made), no socket, no signal to another process, no change of the system. Where the
program has no view of files of its own, changing modes, owners, times and attributes is refused as well, because
Landlock does not mind those.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

from arms.sandbox.kernel import ARM64, X86_64, number, prctl

__all__ = ["filter_program", "restrict"]

_NEVER: Final = (
    "acct", "add_key", "adjtimex", "bpf", "chroot", "clock_adjtime", "clock_settime", "delete_module",
    "execveat", "fanotify_init", "finit_module", "fork", "fsconfig", "fsmount", "fsopen", "fspick",
    "init_module", "io_uring_enter", "io_uring_register", "io_uring_setup", "ioperm", "iopl",
    "kexec_file_load", "kexec_load", "keyctl", "memfd_create", "migrate_pages", "mknod", "mknodat",
    "modify_ldt", "mount", "mount_setattr", "move_mount", "move_pages", "mq_open", "msgget",
    "name_to_handle_at", "open_by_handle_at", "open_tree", "perf_event_open", "personality", "pidfd_getfd",
    "pidfd_open", "pidfd_send_signal", "pivot_root", "process_madvise", "process_vm_readv",
    "process_vm_writev", "ptrace", "quotactl", "reboot", "request_key", "rt_sigqueueinfo",
    "rt_tgsigqueueinfo", "semget", "sethostname", "setdomainname", "setns", "settimeofday", "shmget",
    "swapoff", "swapon", "syslog", "tkill", "umount2", "unshare", "userfaultfd", "vfork", "vhangup",
)  # fmt: skip
_CHANGES: Final = (
    "chmod", "chown", "fchmod", "fchmodat", "fchmodat2", "fchown", "fchownat", "fremovexattr", "fsetxattr",
    "futimesat", "lchown", "lremovexattr", "lsetxattr", "removexattr", "removexattrat", "setxattr",
    "setxattrat", "truncate", "utime", "utimensat", "utimes",
)  # fmt: skip
_TO_ITSELF: Final = (
    "kill",
    "tgkill",
    "prlimit64",
)  # their first argument says to whom; 0 is oneself for prlimit64

# Classic BPF, see linux/filter.h and linux/seccomp.h.
_LOAD, _JUMP_EQ, _JUMP_GE, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCH_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_EPERM, _ENOSYS = 1, 38
_ARCH_X86_64, _ARCH_ARM64 = 0xC000003E, 0xC00000B7
_X32_BIT: Final = 0x40000000
_CLONE_THREAD: Final = 0x00010000
_SET_SECCOMP, _MODE_FILTER, _NO_NEW_PRIVS = 22, 2, 38


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def restrict(*, network: bool, own_files: bool) -> None:
    """Refuse those calls for this process and all that come of it.

    Args:
        network: Sockets may be made.
        own_files: The process has a view of files of its own, read only but for its scratch folder.

    Raises:
        OSError: The kernel offers no seccomp, or this machine's numbers are not known here.
    """
    if not (X86_64 or ARM64):
        raise OSError(38, "the system call numbers of this machine are not known")
    code = filter_program(os.getpid(), network=network, own_files=own_files)
    program = _Program(len(code) // 8, code)
    prctl(_NO_NEW_PRIVS, 1)
    prctl(_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program))


def filter_program(pid: int, *, network: bool, own_files: bool) -> bytes:
    """The filter as the kernel takes it, for the process `pid`."""
    names = [*_NEVER, *(() if network else ("socket",)), *(() if own_files else _CHANGES)]
    lines = [
        _line(_LOAD, _ARCH_AT),
        _line(_JUMP_EQ, _ARCH_X86_64 if X86_64 else _ARCH_ARM64, 1, 0),
        _line(_RETURN, _KILL),
        _line(_LOAD, _NUMBER_AT),
    ]
    if X86_64:  # the same calls under other numbers
        lines += [_line(_JUMP_GE, _X32_BIT, 0, 1), _line(_RETURN, _ERRNO | _EPERM)]
    for found in filter(None, map(number, names)):
        lines += [_line(_JUMP_EQ, found, 0, 1), _line(_RETURN, _ERRNO | _EPERM)]
    # clone3 hides its flags behind a pointer: "no such call" makes the C library fall back to clone.
    lines += [_line(_JUMP_EQ, _known("clone3"), 0, 1), _line(_RETURN, _ERRNO | _ENOSYS)]
    lines += [
        _line(_JUMP_EQ, _known("clone"), 0, 4),
        _line(_LOAD, _FIRST_ARGUMENT_AT),
        _line(_JUMP_SET, _CLONE_THREAD, 1, 0),
        _line(_RETURN, _ERRNO | _EPERM),
        _line(_RETURN, _ALLOW),
    ]
    for name in _TO_ITSELF:
        lines += [
            _line(_JUMP_EQ, _known(name), 0, 5),
            _line(_LOAD, _FIRST_ARGUMENT_AT),
            _line(_JUMP_EQ, pid, 2, 0),
            _line(_JUMP_EQ, 0 if name == "prlimit64" else pid, 1, 0),
            _line(_RETURN, _ERRNO | _EPERM),
            _line(_RETURN, _ALLOW),
        ]
    lines.append(_line(_RETURN, _ALLOW))
    return b"".join(lines)


def _known(name: str) -> int:
    found = number(name)
    if found is None:
        raise OSError(38, f"no system call {name} here")
    return found


def _line(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
