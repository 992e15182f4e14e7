"""The process between octolog and a confined program: raises the walls, becomes its keeper, reports how it ended.

It reads one JSON document on standard input, the `Order` of `box`, and writes one to the descriptor named there.
It runs in an interpreter of its own because the walls are raised on the caller itself, and because code between fork
and exec of a process with threads may not do what is needed here.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, Final, NoReturn

from arms.sandbox import landlock, namespaces, seccomp
from arms.sandbox.kernel import prctl, put_a_name_to
from arms.sandbox.walls import missing

__all__ = ["main"]

_PARENT_DEATH_SIGNAL, _CHILD_SUBREAPER, _DROP_BOUNDING = 1, 36, 24
_CAPABILITIES: Final = 64
_NOT_STARTED: Final = 127
_INTERPRETERS: Final = (  # an ELF program is started by way of its loader
    "/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1", "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
)  # fmt: skip


class _Late(BaseException):
    """The wall clock ran out."""


def main() -> NoReturn:
    """Do what the order on standard input says."""
    order = json.load(sys.stdin)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    os.set_inheritable(order["report"], False)  # noqa: FBT003 -- the program must not write its own report
    _die_with(order["parent"])
    walls: dict[str, str] = {}
    _raise_wall(
        order, walls, "namespaces", lambda: namespaces.enter(network=order["network"]), also=("files",)
    )
    if walls["namespaces"]:
        prctl(_CHILD_SUBREAPER, 1)
    else:
        inner = os.fork()
        if inner:
            os.waitpid(inner, 0)
            os._exit(0)
        _die_with(0)
        _raise_wall(
            order,
            walls,
            "files",
            lambda: namespaces.show_only(
                order["root"], order["readable"], order["scratch"], scratch_bytes=order["scratch_bytes"]
            ),
        )
    _keep(order, walls)


def _raise_wall(
    order: dict[str, Any],
    walls: dict[str, str],
    name: str,
    wall: Callable[[], object],
    also: tuple[str, ...] = (),
) -> None:
    """Raise a wall if it is wanted; note an empty text when it holds, else why it does not."""
    if name in order["without"]:
        walls[name] = "left out"
    else:
        try:
            wall()
            walls[name] = ""
        except OSError as error:
            walls[name] = put_a_name_to(error) or "refused"
    if walls[name]:
        walls.update(dict.fromkeys(also, walls[name]))


def _keep(order: dict[str, Any], walls: dict[str, str]) -> NoReturn:
    """Start the program, wait for it no longer than allowed, end all that came of it, report."""
    said, say = os.pipe()
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(said)
        _become(order, walls, say)
    os.close(say)
    with os.fdopen(said) as stream:
        raised = stream.read().splitlines()  # ends when the program is executed: the descriptor closes then
    status, late = _wait(child, order["wall_s"])
    took_ms = round((time.monotonic() - started) * 1_000)
    _end_all(own_world=not walls["namespaces"])
    report = {
        "duration_ms": took_ms,
        "status": status,
        "timed_out": late,
        **json.loads(raised[-1] if raised else "{}"),
    }
    with os.fdopen(order["report"], "w") as stream:
        json.dump(report, stream)
    os._exit(0)


def _wait(child: int, wall_s: float) -> tuple[int, bool]:
    def ring(_signal: int, _frame: object) -> None:
        raise _Late

    signal.signal(signal.SIGALRM, ring)
    late = False
    try:
        signal.setitimer(signal.ITIMER_REAL, wall_s)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        signal.setitimer(signal.ITIMER_REAL, 0)
    except _Late:
        late = True
        os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, late


def _end_all(*, own_world: bool) -> None:
    """Kill and bury what the program left behind; everything it started is below this process."""
    while True:
        with contextlib.suppress(ProcessLookupError):
            if own_world:
                os.kill(-1, signal.SIGKILL)
            else:
                for child in _children():
                    os.kill(child, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children() -> list[int]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 -- pathlib costs an import
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as stat:  # noqa: PTH123 -- as above
            if int(stat.read().rpartition(b")")[2].split()[1]) == os.getpid():
                found.append(int(name))
    return found


def _become(order: dict[str, Any], walls: dict[str, str], say: int) -> NoReturn:
    """Raise the remaining walls and execute the program."""
    problem = ""
    try:
        _die_with(0)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.chdir(order["cwd"])
        _limit(order, own_world=not walls["namespaces"])
        executable, argv = order["argv"][0], order["argv"]
        executables = (os.path.realpath(executable), *_INTERPRETERS)
        _raise_wall(
            order,
            walls,
            "landlock",
            lambda: landlock.restrict(
                order["readable"], executables, order["scratch"], network=order["network"]
            ),
        )
        _drop_privileges()
        _raise_wall(
            order,
            walls,
            "seccomp",
            lambda: seccomp.restrict(network=order["network"], own_files=not walls["files"]),
        )
        problem = missing(walls) if order["strict"] else ""
        if not problem:
            _say(say, walls, "")
            os.execve(executable, argv, order["env"])  # noqa: S606 -- argv, never a shell
    except OSError as error:
        problem = f"{order['argv'][0]}: {put_a_name_to(error)}"
    _say(say, walls, problem)
    os._exit(_NOT_STARTED)


def _say(say: int, walls: dict[str, str], problem: str) -> None:
    os.write(say, (json.dumps({"problem": problem, "walls": walls}) + "\n").encode())


def _limit(order: dict[str, Any], *, own_world: bool) -> None:
    cpu_s = order["cpu_s"]
    limits = [
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_AS, order["memory_bytes"]),
        (resource.RLIMIT_FSIZE, order["file_bytes"]),
        (resource.RLIMIT_NOFILE, order["open_files"]),
        (resource.RLIMIT_CORE, 0),
    ]
    if own_world:  # elsewhere this counts every process of the user
        limits.append((resource.RLIMIT_NPROC, order["threads"]))
    for what, wanted in limits:
        hard = resource.getrlimit(what)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(what, (value, value))


def _drop_privileges() -> None:
    """No capability, in no set; exec can give none back."""
    for capability in range(_CAPABILITIES):
        with contextlib.suppress(OSError):  # one that the kernel does not know, or nothing to drop
            prctl(_DROP_BOUNDING, capability)
    prctl(38, 1)  # no new privileges: a set-user-id bit means nothing any more


def _die_with(parent: int) -> None:
    """Be killed when the parent dies; at once if `parent`, its id, is gone already."""
    with contextlib.suppress(OSError):
        prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if parent and os.getppid() != parent:
        os._exit(_NOT_STARTED)


if __name__ == "__main__":
    main()
