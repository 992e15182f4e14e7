"""Runs one Python example where it can do little harm.

A fresh interpreter in an empty temporary folder, with an empty environment, bounded time, memory and file size. An
audit hook, which code cannot remove again, refuses the network, other programs, native code and writing outside the
folder; where the kernel allows it the process also gets a network of its own, with nothing in it. This stops
accidents and simple malice in documents people review; it is no defence against an exploit of the interpreter.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from arms.review.parsers import Problem

__all__ = ["RUN_TIMEOUT_S", "run_python"]

RUN_TIMEOUT_S: Final = 5
_MEMORY_MAX_BYTES: Final = 1 << 30
_FILE_MAX_BYTES: Final = 10_000_000
_OUTPUT_MAX_CHARS: Final = 100_000
_NEW_USER_AND_NET: Final = 0x10000000 | 0x40000000  # CLONE_NEWUSER | CLONE_NEWNET, see namespaces(7)
_SCRIPT: Final = "example.py"
# `os.O_ACCMODE` is 3 on every POSIX system; the guard must not depend on names that the example could replace.
_GUARD: Final = """
import sys as _sys, os as _os, importlib.util as _u
def _guard(home, realpath, fspath, sep):
    refused = ("socket.", "subprocess.", "ctypes.", "os.exec", "os.fork", "os.posix_spawn", "os.system", "os.kill",
               "os.spawn", "pty.", "ftplib.", "smtplib.", "urllib.", "http.client", "signal.pthread_kill")
    changes = {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod", "os.chown",
               "os.truncate", "os.utime", "shutil.rmtree", "shutil.move", "os.setxattr", "os.removexattr"}
    def inside(path):
        if isinstance(path, int):
            return True
        return (realpath(_text(path)) + sep).startswith(home + sep)
    def _text(path):
        path = fspath(path)
        return path.decode("utf-8", "surrogateescape") if isinstance(path, bytes) else path
    def hook(event, args):
        if event.startswith(refused):
            raise PermissionError("the sandbox refuses " + event)
        if event == "open" and args[0] is not None:
            mode, flags = args[1], args[2]
            writes = (isinstance(flags, int) and flags & 3) or (isinstance(mode, str) and set(mode) & set("wax+"))
            if writes and not inside(args[0]):
                raise PermissionError("the sandbox refuses to write outside its folder")
        elif event in changes and not all(inside(a) for a in args[:2] if isinstance(a, (str, bytes))):
            raise PermissionError("the sandbox refuses " + event + " outside its folder")
    return hook
_sys.addaudithook(_guard(_os.path.realpath(_os.getcwd()), _os.path.realpath, _os.fspath, _os.sep))
_code = compile(open("example.py", encoding="utf-8").read(), "example.py", "exec", dont_inherit=True)
exec(_code, {"__name__": "__main__", "__builtins__": __builtins__})
"""


def run_python(code: str, timeout_s: float = RUN_TIMEOUT_S) -> Problem | None:
    """Run a program to its end.

    Args:
        code: The whole program.
        timeout_s: Wall clock, in seconds, after which it and its children are killed.

    Returns:
        None when it ends well (also by `sys.exit(0)`), else the line that failed and the last line of the error.
    """
    with tempfile.TemporaryDirectory(prefix="octolog-example-") as folder:
        Path(folder, _SCRIPT).write_text(code, encoding="utf-8")
        with tempfile.TemporaryFile() as errors:
            with subprocess.Popen(
                [sys.executable, "-I", "-B", "-c", _GUARD],
                cwd=folder,
                env={"HOME": folder, "LC_ALL": "C.UTF-8", "PATH": os.defpath, "TMPDIR": folder},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
                preexec_fn=_limit,  # noqa: PLW1509 -- limits cannot be set from outside; the child execs at once
            ) as process:
                try:
                    process.wait(timeout_s)
                except subprocess.TimeoutExpired:
                    return Problem(1, f"not finished after {timeout_s:g} s")
                finally:
                    _kill_group(process)
            errors.seek(0)
            return _failure(process.returncode, errors.read(_OUTPUT_MAX_CHARS).decode(errors="replace"))


def _limit() -> None:
    for what, limit in (
        (resource.RLIMIT_CPU, RUN_TIMEOUT_S),
        (resource.RLIMIT_AS, _MEMORY_MAX_BYTES),
        (resource.RLIMIT_FSIZE, _FILE_MAX_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (limit, limit))
    unshare = getattr(
        os, "unshare", None
    )  # Python 3.12; without it, or the right to it, the audit hook stands alone
    if unshare is not None:
        with contextlib.suppress(OSError):
            unshare(_NEW_USER_AND_NET)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _failure(returncode: int, errors: str) -> Problem | None:
    if returncode == 0:
        return None
    lines = [line for line in errors.split("\n") if line.strip()]
    places = re.findall(r'File "example\.py", line (\d+)', errors)
    if not lines or returncode < 0:
        return Problem(1, f"ended by signal {-returncode}" if returncode < 0 else f"exit status {returncode}")
    return Problem(int(places[-1]) if places else 1, lines[-1].replace("`", "'")[:200])
