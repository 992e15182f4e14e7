"""Runs a peer's benchmark in the peer's own virtual environment and returns the JSON it prints.

By hand: `python benches/_peers.py dbos w.py throughput --tasks 500`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from filelock import FileLock

__all__ = ["PEERS", "environment_of", "run_peer"]

PEERS: Final = ("dbos", "faust_eos", "langgraph", "quixstreams_eos")
RUN_TIMEOUT_S: Final = 300.0
INSTALL_TIMEOUT_S: Final = 300.0
STOP_TIMEOUT_S: Final = 10.0  # for a peer to end its own server after an interrupt
REASON_CHARS: Final = 300

_BENCHES: Final = Path(__file__).resolve().parent
_FOLDER: Final = _BENCHES / "peers"
_READY: Final = "ready"

Result = dict[str, object]


class _InstallFailed(Exception):
    """A peer's pinned packages could not be installed."""


def run_peer(
    name: str, script: str, *args: str, timeout_s: float = RUN_TIMEOUT_S, checkout: bool = False
) -> Result:
    """Run `benches/peers/<name>/<script>` and return the last JSON object it prints.

    Args:
        name: One of `PEERS`.
        script: File name in the peer's folder.
        *args: Its arguments.
        timeout_s: Bound on the run, in seconds; making the environment the first time is not counted.
        checkout: Whether the peer may import this repository's own packages.

    Returns:
        The peer's result, or `{"skipped": reason}` where it could not be installed or run.
    """
    try:
        python = environment_of(name)
    except _InstallFailed as error:
        return {"skipped": str(error)}
    paths = [_FOLDER / "shared", *([_BENCHES.parent] if checkout else [])]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    environ.pop("VIRTUAL_ENV", None)
    return _run([str(python), str(_FOLDER / name / script), *args], environ, timeout_s)


def environment_of(name: str) -> Path:
    """Return the Python of a peer's virtual environment, made on first use.

    The folder's name carries a hash of the requirements and the Python version: either changing makes a new one.
    """
    requirements = _FOLDER / name / "requirements.txt"
    mark = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = _cache() / f"{name}-{mark}"
    python = folder / "bin" / "python"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock", timeout=INSTALL_TIMEOUT_S):
        if not (folder / _READY).exists():
            shutil.rmtree(folder, ignore_errors=True)
            _install(name, folder, python, requirements)
            (folder / _READY).touch()
    return python


def _cache() -> Path:
    root = os.environ.get("OCTOLOG_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "octolog") / "peers"


def _install(name: str, folder: Path, python: Path, requirements: Path) -> None:
    uv = shutil.which(
        "uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    )
    if uv:
        commands = [
            [uv, "venv", "--quiet", "--python", sys.executable, str(folder)],
            [uv, "pip", "install", "--quiet", "--python", str(python), "--requirement", str(requirements)],
        ]
    else:
        commands = [
            [sys.executable, "-m", "venv", str(folder)],
            [str(python), "-m", "pip", "install", "--quiet", "--requirement", str(requirements)],
        ]
    for command in commands:
        try:
            subprocess.run(command, check=True, timeout=INSTALL_TIMEOUT_S, stdout=sys.stderr)
        except (subprocess.SubprocessError, OSError) as error:
            # The installer's own words are on stderr; they may name a private registry, so they stay out of the result.
            message = f"{name} could not be installed from benches/peers/{name}/requirements.txt"
            raise _InstallFailed(message) from error


def _run(command: list[str], environ: dict[str, str], timeout_s: float) -> Result:
    # Its own session: a peer forks workers, and a bound that leaves those behind would be none.
    with subprocess.Popen(
        command,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            _stop(process)
            return {"skipped": f"no result within {timeout_s:g} s"}
    if process.returncode:
        return {"skipped": f"exit status {process.returncode}: {_last_line(err)}"}
    return _parse(out)


def _stop(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.communicate(timeout=STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:REASON_CHARS] if lines else "it said nothing"


def _parse(out: str) -> Result:
    for line in reversed(out.splitlines()):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            return found
    return {"skipped": "it printed no JSON object"}


if __name__ == "__main__":
    print(
        json.dumps(run_peer(sys.argv[1], sys.argv[2], *sys.argv[3:], checkout=sys.argv[1].endswith("_eos")))
    )
