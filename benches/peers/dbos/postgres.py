"""A throwaway PostgreSQL server for one run: own data folder, own port, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_COMMAND_TIMEOUT_S: Final = 60
_DEBIAN_HOME: Final = Path(
    "/usr/lib/postgresql"
)  # Debian keeps initdb and pg_ctl off PATH, one folder per major version

# Debian's defaults, given the memory of a small server. Commits stay synchronous. No checkpoint falls into a run.
_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "30min",
    "synchronous_commit": "on",
    "max_connections": "200",
}


def find_postgres() -> Path | None:
    """Return the folder with the newest installed `initdb`, or None."""
    installed = [folder for folder in _DEBIAN_HOME.glob("*/bin") if (folder / "initdb").exists()]
    if installed:
        return max(installed, key=lambda folder: float(folder.parent.name))
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def version_of(binaries: Path) -> str:
    """Return the server's version, such as `15.18`."""
    told = subprocess.run([binaries / "postgres", "--version"], capture_output=True, text=True, check=True)
    return told.stdout.split()[2]


@contextmanager
def running(binaries: Path, *, fsync: bool) -> Iterator[str]:
    """Run a fresh server and yield the SQLAlchemy address of its database `peer`.

    Args:
        binaries: Folder with `initdb` and `pg_ctl`.
        fsync: False lets a commit end once the operating system has it: it survives a killed server, not a power cut.
    """
    folder = Path(tempfile.mkdtemp(prefix="octolog-peer-pg-"))
    data, port = folder / "data", _free_port()
    settings = {
        **_SETTINGS,
        "port": str(port),
        "fsync": "on" if fsync else "off",
        "unix_socket_directories": str(folder),
    }
    switches = " ".join(f"-c {name}={value}" for name, value in settings.items())
    try:
        _hand_over(folder)
        _run([binaries / "initdb", "-D", data, "-U", "peer", "-A", "trust", "--no-sync"])
        _run([binaries / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", switches, "start"])
        try:
            _run([binaries / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "peer", "peer"])
            yield f"postgresql+psycopg://peer@/peer?host={folder}&port={port}"
        finally:
            _run([binaries / "pg_ctl", "-D", data, "-m", "immediate", "stop"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _account() -> str | None:
    """PostgreSQL refuses to run as root: root runs it as the account its package made."""
    return "postgres" if os.geteuid() == 0 else None


def _hand_over(folder: Path) -> None:
    if account := _account():
        owner = pwd.getpwnam(account)
        os.chown(folder, owner.pw_uid, owner.pw_gid)


def _run(command: Sequence[str | Path]) -> None:
    # Not captured: the server inherits these handles and would keep a pipe open; stdout is for the result alone.
    with tempfile.TemporaryFile() as log:
        done = subprocess.run(
            command, user=_account(), cwd="/", stdout=log, stderr=log, timeout=_COMMAND_TIMEOUT_S, check=False
        )
        if done.returncode:
            log.seek(0)
            raise RuntimeError(
                f"{Path(command[0]).name} failed: {log.read().decode(errors='replace').strip()}"
            )
