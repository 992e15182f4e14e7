"""System calls that Python has no function for, and the machine's numbers for them."""

from __future__ import annotations

import ctypes
import os
import platform
from typing import Any, Final

__all__ = ["ARM64", "X86_64", "call", "number", "prctl", "put_a_name_to"]

X86_64: Final = platform.machine() == "x86_64"
ARM64: Final = platform.machine() == "aarch64"

# From the kernel's syscall tables; those from 424 up are the same everywhere.
_NUMBERS: Final[dict[str, tuple[int, int]]] = {
    "acct": (163, 89), "add_key": (248, 217), "adjtimex": (159, 171), "bpf": (321, 280), "capset": (126, 91),
    "chmod": (90, -1), "chown": (92, -1), "chroot": (161, 51), "clock_adjtime": (305, 266),
    "clock_settime": (227, 112), "clone": (56, 220), "clone3": (435, 435), "delete_module": (176, 106),
    "execveat": (322, 281), "fanotify_init": (300, 262), "fchmod": (91, 52), "fchmodat": (268, 53),
    "fchmodat2": (452, 452), "fchown": (93, 55), "fchownat": (260, 54), "finit_module": (313, 273),
    "fork": (57, -1), "fremovexattr": (199, 16), "fsconfig": (431, 431), "fsetxattr": (190, 7),
    "fsmount": (432, 432), "fsopen": (430, 430), "fspick": (433, 433), "futimesat": (261, -1),
    "init_module": (175, 105), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425), "ioperm": (173, -1), "iopl": (172, -1), "kexec_file_load": (320, 294),
    "kexec_load": (246, 104), "keyctl": (250, 219), "kill": (62, 129), "landlock_add_rule": (445, 445),
    "landlock_create_ruleset": (444, 444), "landlock_restrict_self": (446, 446), "lchown": (94, -1),
    "lremovexattr": (198, 15), "lsetxattr": (189, 6), "memfd_create": (319, 279), "migrate_pages": (256, 238),
    "mknod": (133, -1), "mknodat": (259, 33), "modify_ldt": (154, -1), "mount": (165, 40),
    "mount_setattr": (442, 442), "move_mount": (429, 429), "move_pages": (279, 239), "mq_open": (240, 180),
    "msgget": (68, 186), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    "open_tree": (428, 428), "perf_event_open": (298, 241), "personality": (135, 92),
    "pidfd_getfd": (438, 438), "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424),
    "pivot_root": (155, 41), "prlimit64": (302, 261), "process_madvise": (440, 440),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "ptrace": (101, 117),
    "quotactl": (179, 60), "reboot": (169, 142), "removexattr": (197, 14), "removexattrat": (466, 466),
    "request_key": (249, 218), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "semget": (64, 190), "sethostname": (170, 161), "setdomainname": (171, 162), "setns": (308, 268),
    "settimeofday": (164, 170), "setxattr": (188, 5), "setxattrat": (463, 463), "shmget": (29, 194),
    "socket": (41, 198), "swapoff": (168, 225), "swapon": (167, 224), "syslog": (103, 116),
    "tgkill": (234, 131), "tkill": (200, 130), "truncate": (76, 45), "umount2": (166, 39),
    "unshare": (272, 97), "userfaultfd": (323, 282), "utime": (132, -1), "utimensat": (280, 88),
    "utimes": (235, -1), "vfork": (58, -1), "vhangup": (153, 58),
}  # fmt: skip

_libc: Final = ctypes.CDLL(None, use_errno=True)


def number(name: str) -> int | None:
    """The number of a system call on this machine; None where there is no such call, or no table for it."""
    if name not in _NUMBERS or not (X86_64 or ARM64):
        return None
    found = _NUMBERS[name][0 if X86_64 else 1]
    return None if found < 0 else found


def call(name: str, *arguments: Any) -> int:
    """Make a system call.

    Raises:
        OSError: It failed, or this machine has no such call.
    """
    found = number(name)
    if found is None:
        raise OSError(38, f"no system call {name} on {platform.machine()}")
    # Every argument is as wide as a register; a bare Python int would be passed as a C int.
    wide = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result = int(_libc.syscall(ctypes.c_long(found), *wide))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")
    return result


def prctl(option: int, *arguments: Any) -> None:
    """Change how the kernel treats this process.

    Raises:
        OSError: The kernel refused.
    """
    wide = [ctypes.c_ulong(value) if isinstance(value, int) else value for value in arguments]
    wide += [ctypes.c_ulong(0)] * (4 - len(wide))
    if _libc.prctl(ctypes.c_int(option), *wide) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl {option}: {os.strerror(error)}")


def put_a_name_to(error: OSError) -> str:
    """What a wall that does not hold is explained with."""
    return error.strerror or str(error)
