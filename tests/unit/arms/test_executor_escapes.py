"""Every way out that `tests/data/executor_escapes.yaml` lists, tried, and its effect looked at."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from arms.builtin.executor import execute
from arms.executor.commands import COMMANDS
from arms.executor.policy import ExecutorPolicy, Forbidden
from arms.sandbox import box as box_module
from arms.sandbox.box import BASE_PYTHON, DEFAULT_LIMITS, PYTHON_FILES, Box, detect, run
from arms.sandbox.walls import missing

TABLE: dict[str, list[dict[str, Any]]] = yaml.safe_load(
    (Path(__file__).parents[2] / "data/executor_escapes.yaml").read_text()
)
SECRET = "SECRET-7f3a9c"
CANARY = "CANARY-51d02e"
# What a wall answers with. A NameError or SyntaxError would be the table's mistake.
HELD_BY = ("OSError", "PermissionError", "FileNotFoundError", "ProcessLookupError", "MemoryError", "gaierror",
           "FileExistsError", "BlockingIOError", "ConnectionRefusedError", "ValueError")  # fmt: skip
HARNESS = """
import platform
X86 = platform.machine() == "x86_64"
def syscall(*numbers):
    import ctypes, os
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(*map(ctypes.c_long, numbers))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
def escape():
{body}
try:
    print("ESCAPED", escape(), flush=True)
except BaseException as error:
    print("held", type(error).__name__, error, flush=True)
"""


@dataclass(frozen=True)
class World:
    """What stands around the box."""

    outside: Path
    workspace: Path
    boxes: Path
    listeners: tuple[socket.socket, ...]
    names: dict[str, str]
    victim: subprocess.Popen[bytes]

    def tree(self) -> list[tuple[Any, ...]]:
        paths = sorted([*self.outside.rglob("*"), *self.workspace.rglob("*")])
        return [(str(p), *self._about(p)) for p in paths]

    def _about(self, path: Path) -> tuple[Any, ...]:
        about = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        return (
            about.st_mode,
            about.st_uid,
            about.st_mtime_ns,
            about.st_nlink,
            content,
            os.listxattr(path, follow_symlinks=False),
        )

    def fill(self, value: Any) -> Any:
        if isinstance(value, str):
            return value.format(**self.names)
        return [self.fill(each) for each in value] if isinstance(value, list) else value

    def callers(self) -> int:
        """Connections that came since the last look."""
        found = 0
        for listener in self.listeners:
            with contextlib.suppress(BlockingIOError):
                while True:
                    if listener.type == socket.SOCK_DGRAM:
                        listener.recv(100)
                    else:
                        listener.accept()[0].close()
                    found += 1
        return found

    def left_behind(self) -> list[str]:
        """Processes of a box that still run."""
        mark = f"HOME={self.boxes}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if mark in path.read_bytes():
                    found.append(path.parent.name)
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    base = tmp_path_factory.mktemp("world").resolve()
    outside, workspace, boxes = base / "outside", base / "workspace", base / "boxes"
    for folder in (outside, workspace / "sub", boxes):
        folder.mkdir(parents=True)
    (outside / "secret.txt").write_text(SECRET)
    (workspace / "inside.txt").write_text("one\ntwo\n")
    (workspace / "link").symlink_to(outside / "secret.txt")
    (workspace / "linked-folder").symlink_to(outside)
    # A socket's path may have 107 bytes, fewer than a test's folder.
    with (
        tempfile.TemporaryDirectory() as short,
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_UNIX) as abstract,
        (outside / "secret.txt").open() as secret,
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"]) as victim,
    ):
        port, path = tcp.getsockname()[1], f"{short}/s"
        udp.bind(("127.0.0.1", port))
        unix.bind(path)
        abstract.bind("\0" + path)
        unix.listen()
        abstract.listen()
        for each in (tcp, udp, unix, abstract):
            each.setblocking(False)
        os.set_inheritable(secret.fileno(), True)
        names = {
            "fd": str(secret.fileno()), "outside": str(outside), "pid": str(os.getpid()), "port": str(port),
            "socket": path, "victim": str(victim.pid), "workspace": str(workspace),
        }  # fmt: skip
        yield World(outside, workspace, boxes, (tcp, udp, unix, abstract), names, victim)
        victim.kill()


@pytest.fixture(autouse=True)
def canaries(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCTOLOG_CANARY", CANARY)
    monkeypatch.setattr(tempfile, "tempdir", str(world.boxes))


@contextlib.contextmanager
def nothing_happens(world: World) -> Iterator[list[bytes]]:
    """Fail if, after the block, anything outside the box is not as it was, or what was printed holds a secret."""
    before, printed = world.tree(), list[bytes]()
    yield printed
    assert world.tree() == before
    assert world.callers() == 0
    assert world.victim.poll() is None
    assert world.left_behind() == []
    assert not any(canary.encode() in text for canary in (SECRET, CANARY) for text in printed)
    assert list(world.boxes.iterdir()) == []


def policy(world: World) -> ExecutorPolicy:
    return ExecutorPolicy(commands=tuple(COMMANDS), workspaces=(world.workspace,))


def named(rows: list[dict[str, Any]]) -> Any:
    return [pytest.param(row, id=row["id"]) for row in rows]


needs_walls = pytest.mark.skipif(bool(missing(detect())), reason=f"this kernel confines nothing: {detect()}")


def test_the_table_holds_more_ways_out_than_are_asked_for() -> None:
    ids = [row["id"] for rows in TABLE.values() for row in rows]
    assert len(ids) == len(set(ids)) >= 40


@pytest.mark.parametrize("row", named(TABLE["refused"]))
def test_it_is_refused_before_anything_is_started(
    row: dict[str, Any], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    asked = {name: world.fill(value) for name, value in row.items() if name not in {"id", "code", "repeat"}}
    asked = {
        "action": "shell",
        "args": ["x"] * row.get("repeat", 0),
        "workspace": str(world.workspace),
    } | asked
    with nothing_happens(world), pytest.raises(Forbidden) as caught:
        execute(policy(world), asked)
    assert caught.value.code == row["code"]
    assert len(str(caught.value)) < 1_000


@needs_walls
@pytest.mark.parametrize("row", named(TABLE["harmless"]))
def test_what_a_shell_would_act_on_is_printed_as_it_is(row: dict[str, Any], world: World) -> None:
    arguments = world.fill(row["args"])
    with nothing_happens(world) as printed:
        answer = execute(policy(world), {"action": "shell", "command": "echo", "args": arguments})
        printed.append(answer.output["stderr"].encode())
    assert answer.output["stdout"] == " ".join(arguments) + "\n"


@needs_walls
@pytest.mark.parametrize("row", named(TABLE["contained"]))
def test_it_is_contained(row: dict[str, Any], world: World) -> None:
    held = {name for name, why in detect().items() if not why}
    if not set(row.get("walls", ())) <= held:
        pytest.skip(f"needs {row['walls']}")
    limits = replace(
        DEFAULT_LIMITS, wall_s=1.0 if row.get("ends") == "late" else 60.0, cpu_s=row.get("cpu_s", 10)
    )
    with nothing_happens(world) as printed:
        ran = run(
            (BASE_PYTHON, "-I", "-B", "-c", script(row, world)),
            Box((*PYTHON_FILES, world.workspace), limits=limits),
        )
        printed += [ran.stdout, ran.stderr]
    check_end(row, ran.stdout.decode(), ran)


@pytest.mark.skipif(
    any(detect()[name] for name in ("landlock", "seccomp")), reason="needs Landlock and seccomp"
)
def test_where_there_are_no_namespaces_the_other_walls_hold_alone(world: World) -> None:
    """As in a container, or where the administrator keeps user namespaces to himself."""
    rows = [row for row in TABLE["contained"] if not {"ends", "walls", "exhausts"} & set(row)]
    box = Box((*PYTHON_FILES, world.workspace), without=frozenset({"namespaces"}))
    with nothing_happens(world) as printed:
        ran = run((BASE_PYTHON, "-I", "-B", "-c", "\n".join(script(row, world) for row in rows)), box)
        printed += [ran.stdout, ran.stderr]
    outputs = ran.stdout.decode().splitlines()
    assert len(outputs) == len(rows), ran
    for row, output in zip(rows, outputs, strict=True):
        check_end(row, output, ran)


def check_end(row: dict[str, Any], output: str, ran: box_module.Ran) -> None:
    match row.get("ends"):
        case "killed":
            assert ran.exit_code < 0 or "held OSError" in output, ran
            assert not ran.timed_out
        case "late":
            assert ran.timed_out, ran
        case "cut":
            assert ran.stdout_truncated
            assert len(ran.stdout) == DEFAULT_LIMITS.output_bytes
        case _:
            assert output.startswith("held "), ran
            assert output.split()[1] in HELD_BY, ran
            if "syscall(" in row["code"]:  # by a filter, not because its arguments make no sense
                assert "not permitted" in output or "not implemented" in output, ran


@pytest.mark.parametrize("row", named([row for row in TABLE["contained"] if row.get("alone")]))
def test_without_the_box_it_works(row: dict[str, Any], world: World, tmp_path: Path) -> None:
    done = subprocess.run(
        [BASE_PYTHON, "-I", "-B", "-c", script(row, world)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "ESCAPED" in done.stdout
    world.callers()
    (world.outside / "made").unlink(missing_ok=True)


def script(row: dict[str, Any], world: World) -> str:
    body = world.fill(row["code"])
    return HARNESS.replace("{body}", "".join(f"    {line}\n" for line in body.splitlines()))
