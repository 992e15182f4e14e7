"""Runs inside the box, before the script: says in words what the walls around it would refuse without any.

A program cannot remove an audit hook again. It is no wall of its own: who can call the kernel need not ask Python.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

__all__: list[str] = []


def _guard(home: str, realpath: Callable[[Any], str]) -> Callable[[str, tuple[Any, ...]], None]:
    # Names are bound here, because the script can replace those of any module.
    refused = (
        "socket.", "subprocess.", "ctypes.", "os.exec", "os.fork", "os.posix_spawn", "os.system", "os.kill",
        "os.spawn", "pty.", "ftplib.", "smtplib.", "urllib.", "http.client", "signal.pthread_kill",
    )  # fmt: skip
    changes = frozenset({
        "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod", "os.chown",
        "os.truncate", "os.utime", "shutil.rmtree", "shutil.move", "os.setxattr", "os.removexattr",
    })  # fmt: skip
    separator, access_mode, decode = os.sep, 3, os.fsdecode

    def inside(path: Any) -> bool:
        # The walls leave only a few devices open, such as /dev/null, which many a program writes.
        return isinstance(path, int) or (realpath(decode(path)) + separator).startswith(
            (home + separator, "/dev/")
        )

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(refused):
            raise PermissionError(f"the sandbox refuses {event}")
        if event == "open" and arguments[0] is not None:
            mode, flags = arguments[1], arguments[2]
            writes = (isinstance(flags, int) and flags & access_mode) or (
                isinstance(mode, str) and set(mode) & set("wax+")
            )
            if writes and not inside(arguments[0]):
                raise PermissionError("the sandbox refuses to write outside its folder")
        elif event in changes:
            paths = [each for each in arguments[:2] if isinstance(each, str | bytes)]
            if not all(map(inside, paths)):
                raise PermissionError(f"the sandbox refuses {event} outside its folder")

    return hook


def _main() -> None:
    script = sys.argv[1]
    with open(script, encoding="utf-8") as stream:  # noqa: PTH123 -- pathlib is not loaded yet, and costs time
        text = stream.read()
    sys.argv = [os.path.basename(script), *sys.argv[2:]]  # noqa: PTH119 -- as above
    home = os.path.realpath(os.environ["HOME"])
    sys.addaudithook(_guard(home, os.path.realpath))
    code = compile(text, sys.argv[0], "exec", dont_inherit=True)
    exec(code, {"__name__": "__main__", "__builtins__": __builtins__})  # noqa: S102 -- this is its purpose


if __name__ == "__main__":
    _main()
