"""What a program is run with, how it went, and what holds on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

from arms.sandbox.walls import WALLS
from octolog.domain.errors import OctologError

__all__ = [
    "BASE_PYTHON",
    "DEFAULT_LIMITS",
    "PYTHON_FILES",
    "Box",
    "Limits",
    "NotConfined",
    "Ran",
    "Wall",
    "detect",
    "run",
]

Wall = Literal["namespaces", "files", "landlock", "seccomp"]

# What a program needs to be loaded at all. Nothing of /etc but what the loader and the clock read.
_SYSTEM_FILES: Final = (
    "/bin", "/lib", "/lib32", "/lib64", "/libx32", "/sbin", "/usr", "/etc/alternatives", "/etc/ld.so.cache",
    "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime", "/nix/store",
)  # fmt: skip
BASE_PYTHON: Final = str(Path(getattr(sys, "_base_executable", sys.executable)).resolve())
"""The interpreter itself, not a virtual environment's link to it."""
PYTHON_FILES: Final = tuple(map(Path, dict.fromkeys((sys.base_prefix, sys.base_exec_prefix))))
"""Where its library lies."""
_ROOT: Final = str(Path(__file__).resolve().parents[2])
_START: Final = "import sys; sys.path.insert(0, sys.argv[1]); from arms.sandbox.launch import main; main()"
# The keeper ends the program on time; this is for a keeper that cannot.
_GRACE_S: Final = 5.0
_CHUNK_BYTES: Final = 65_536


class NotConfined(OctologError):
    """This machine offers too few walls; the program was not started."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The most a program may use.

    Attributes:
        wall_s: Time until it and all that came of it are killed, seconds.
        cpu_s: Processor time, seconds.
        memory_bytes: Address space.
        file_bytes: Size of one file it writes.
        scratch_bytes: All it writes into its scratch folder, which lies in memory.
        open_files: Descriptors.
        threads: Of it; counted only where it has a world of its own.
        output_bytes: Kept of each of its two outputs; the rest is read and dropped.
    """

    wall_s: float = 30.0
    cpu_s: int = 10
    memory_bytes: int = 512 * 1024**2
    file_bytes: int = 10_000_000
    scratch_bytes: int = 64 * 1024**2
    open_files: int = 64
    threads: int = 64
    output_bytes: int = 64_000


DEFAULT_LIMITS: Final = Limits()
"""Half a gigabyte and ten seconds of one processor: the sandbox of the executor's specification, and less time."""


@dataclass(frozen=True, slots=True)
class Box:
    """The walls around one program.

    Attributes:
        readable: Files and folders it may read, beside those of the system.
        files: Written for it before it starts, by name; it may read them in the folder `{files}`.
        environment: Added to the few variables it is given.
        limits: The most it may use.
        network: It may use the host's network.
        strict: Do not start it where files, network or processes would be unconfined.
        without: Walls left out; for tests that each holds without the others.
    """

    readable: tuple[Path, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = DEFAULT_LIMITS
    network: bool = False
    strict: bool = True
    without: frozenset[Wall] = frozenset()


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program went.

    Attributes:
        stdout: The beginning of its output.
        stderr: The beginning of its error output.
        exit_code: Its own; the negative number of the signal that ended it.
        duration_ms: From its start to its end, milliseconds.
        stdout_truncated: There was more.
        stderr_truncated: There was more.
        timed_out: It was killed because its time was over.
        walls: Which held, with an empty text, and why others did not.
    """

    stdout: bytes
    stderr: bytes
    exit_code: int
    duration_ms: int
    stdout_truncated: bool
    stderr_truncated: bool
    timed_out: bool
    walls: Mapping[str, str]


def run(argv: Sequence[str], box: Box, *, cwd: str | None = None) -> Ran:
    """Run a program to its end, or to the end of its time.

    Args:
        argv: The program by its absolute path, and its arguments; `{files}` and `{scratch}` in them are replaced by
            where the box's files and its scratch folder lie.
        box: The walls.
        cwd: Folder it starts in; None: its scratch folder.

    Raises:
        NotConfined: The machine's kernel offers too little and the box is strict, or the program cannot be started.
    """
    with tempfile.TemporaryDirectory(prefix="octolog-box-") as made:
        place = Path(made).resolve()
        for name in ("root", "files", "scratch"):
            (place / name).mkdir()
        for name, content in box.files.items():
            (place / "files" / name).write_bytes(content)
        ran, problem = _launch(_order(argv, box, place, cwd), box)
    if problem:
        raise NotConfined(f"{argv[0]} was not started: {problem}")
    return ran


@lru_cache(maxsize=1)
def detect() -> Mapping[str, str]:
    """Which walls hold on this machine, found by raising them: an empty text, or why not. Kept for the process."""
    program = shutil.which("true", path=os.defpath) or "/bin/true"
    try:
        return run((program,), Box(strict=False, limits=Limits(wall_s=10))).walls
    except (OSError, OctologError) as error:
        return dict.fromkeys(WALLS, str(error))


def _order(argv: Sequence[str], box: Box, place: Path, cwd: str | None) -> dict[str, Any]:
    files, scratch = str(place / "files"), str(place / "scratch")
    environment = {"HOME": scratch, "LC_ALL": "C.UTF-8", "PATH": os.defpath, "TMPDIR": scratch}
    readable = (*_SYSTEM_FILES, files, *map(str, box.readable))
    limits = box.limits
    return {
        "argv": [text.replace("{files}", files).replace("{scratch}", scratch) for text in argv],
        "cpu_s": limits.cpu_s,
        "cwd": cwd or scratch,
        "env": environment | dict(box.environment),
        "file_bytes": limits.file_bytes,
        "memory_bytes": limits.memory_bytes,
        "network": box.network,
        "open_files": limits.open_files,
        "parent": os.getpid(),
        "readable": [path for path in dict.fromkeys(readable) if Path(path).exists()],
        "root": str(place / "root"),
        "scratch": scratch,
        "scratch_bytes": limits.scratch_bytes,
        "strict": box.strict,
        "threads": limits.threads,
        "wall_s": limits.wall_s,
        "without": sorted(box.without),
    }


def _launch(order: dict[str, Any], box: Box) -> tuple[Ran, str]:
    told, tell = os.pipe()
    try:
        process = subprocess.Popen(
            [BASE_PYTHON, "-I", "-S", "-B", "-c", _START, _ROOT],
            env={},
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(tell,),
            start_new_session=True,
        )
    except BaseException:
        os.close(told)
        raise
    finally:
        os.close(tell)
    with process, os.fdopen(told, "rb") as report:
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
                stdin.write(json.dumps(order | {"report": tell}).encode())
        out, err, said = _Kept(box.limits.output_bytes), _Kept(box.limits.output_bytes), _Kept(_CHUNK_BYTES)
        try:
            _collect({process.stdout: out, process.stderr: err, report: said}, box.limits.wall_s + _GRACE_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return _told(out, err, said)


def _told(out: _Kept, err: _Kept, said: _Kept) -> tuple[Ran, str]:
    try:
        report = json.loads(bytes(said.data))
    except ValueError:
        reason = bytes(err.data).decode(errors="replace").strip().rpartition("\n")[2]
        return Ran(b"", b"", -1, 0, False, False, False, {}), reason or "its keeper was killed"  # noqa: FBT003
    ran = Ran(
        bytes(out.data),
        bytes(err.data),
        report["status"],
        report["duration_ms"],
        out.truncated,
        err.truncated,
        report["timed_out"],
        report.get("walls", {}),
    )
    return ran, report.get("problem", "its keeper was killed")


class _Kept:
    """The beginning of a stream."""

    def __init__(self, most_bytes: int) -> None:
        self.data, self.truncated, self._most = bytearray(), False, most_bytes

    def take(self, chunk: bytes) -> None:
        room = self._most - len(self.data)
        self.data += chunk[:room]
        self.truncated = self.truncated or len(chunk) > room


def _collect(streams: Mapping[Any, _Kept], most_s: float) -> None:
    """Read every stream to its end, or until the time is over."""
    deadline = time.monotonic() + most_s
    with selectors.DefaultSelector() as selector:
        for stream, kept in streams.items():
            selector.register(stream, selectors.EVENT_READ, kept)
        while selector.get_map() and (left_s := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left_s):
                chunk = os.read(key.fd, _CHUNK_BYTES)
                key.data.take(chunk)
                if not chunk:
                    selector.unregister(key.fileobj)
