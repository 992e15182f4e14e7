"""Formatting a data folder: once per home, by Kafka's own tool the first time on a machine, by copy afterwards.

`kafka-storage format` writes two files: `bootstrap.checkpoint` (feature levels; the same for every home of one Kafka
version) and `meta.properties` (the ids). The tool costs a second of JVM, so its checkpoint is kept in the cache.
"""

from __future__ import annotations

import base64
import fcntl
import subprocess
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.kafka.errors import BrokerFailed
from deploy.kafka.properties import NODE_ID

FORMAT_TIMEOUT_S: Final = 60
CHECKPOINT: Final = "bootstrap.checkpoint"
META: Final = "meta.properties"
CLEAN: Final = ".kafka_cleanshutdown"
LOCK: Final = ".lock"
POLL_S: Final = 0.02


def new_id() -> str:
    """Return a random id in Kafka's spelling (URL-safe base64); never one that starts with a dash, as Kafka does."""
    while True:
        spelled = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not spelled.startswith("-"):
            return spelled


def read_cluster_id(data_dir: Path) -> str | None:
    """Return the cluster id a formatted `data_dir` belongs to, or None when it is not formatted."""
    try:
        lines = (data_dir / META).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    return next((line.partition("=")[2].strip() for line in lines if line.startswith("cluster.id=")), None)


def was_killed(data_dir: Path) -> bool:
    """Say whether the last broker on `data_dir` ended without the mark Kafka leaves at a clean shutdown."""
    return (data_dir / META).exists() and not (data_dir / CLEAN).exists()


def wait_until_released(data_dir: Path, timeout_s: float) -> None:
    """Return once no process holds the lock of `data_dir`, or after `timeout_s`: then Kafka says who is in its way.

    A killed broker may be off the process table, or a zombie, while its last threads end; until then it holds its
    lock and its ports.
    """
    until_s = time.monotonic() + timeout_s
    try:
        with (data_dir / LOCK).open("r+b") as lock:
            while time.monotonic() < until_s:
                try:
                    fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    time.sleep(POLL_S)
                else:
                    return
    except FileNotFoundError:
        return


def format_storage(data_dir: Path, template: Path, tool: Sequence[str]) -> str:
    """Format `data_dir` unless it is, and return its cluster id.

    Args:
        data_dir: Kafka's `log.dirs`.
        template: Where this Kafka version's `bootstrap.checkpoint` is kept between homes.
        tool: Command line of the format tool, without the cluster id.

    Raises:
        BrokerFailed: The format tool refused.
    """
    present = read_cluster_id(data_dir)
    if present is not None:
        return present
    cluster_id = new_id()
    data_dir.mkdir(parents=True, exist_ok=True)
    if template.exists():
        _write(data_dir / CHECKPOINT, template.read_bytes())
        # Last, because its presence means "formatted".
        _write(data_dir / META, _meta(cluster_id).encode())
    else:
        _run_tool([*tool, "--cluster-id", cluster_id])
        template.parent.mkdir(parents=True, exist_ok=True)
        _write(template, (data_dir / CHECKPOINT).read_bytes())
    return cluster_id


def _meta(cluster_id: str) -> str:
    return f"version=1\ncluster.id={cluster_id}\nnode.id={NODE_ID}\ndirectory.id={new_id()}\n"


def _write(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    draft.write_bytes(content)
    draft.replace(path)


def _run_tool(argv: Sequence[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=FORMAT_TIMEOUT_S, check=False)
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no output"]
        message = f"Kafka could not format its storage: {last[0]}"
        raise BrokerFailed(message)
