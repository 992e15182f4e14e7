"""Make the AOT cache: boot a broker on a scratch home, let it end, keep what it leaves.

Run as a process of its own (`python -m deploy.kafka.training HEAP_MB JAR_FOLDER [JAVA_HOME]`) at idle priority.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

import psutil
from filelock import FileLock, Timeout

from deploy.kafka.aot import aot_path
from deploy.kafka.broker import EmbeddedKafka
from deploy.kafka.jars import JarCache
from deploy.kafka.java import find_java
from deploy.kafka.ports import free_port

# At idle priority on a busy machine everything takes as long as it takes.
TRAIN_TIMEOUT_S: Final = 600.0
# Another checkout or Java may still use its cache; what nobody has made for a month is 70 MB of waste.
KEEP_S: Final = 30 * 86400


def train(jars: JarCache, heap_mb: int, java_home: Path | None = None) -> bool:
    """Make the AOT cache unless it is there; False when it was, or when another process is making it.

    Raises:
        BrokerFailed: The training broker did not come up.
    """
    target = aot_path(jars, find_java(java_home), heap_mb)
    with suppress(Timeout), FileLock(jars.folder / "training.lock", timeout=0):
        if target.exists():
            return False
        _drop_stale(jars.folder)
        scratch = Path(mkdtemp(dir=jars.folder, prefix="training-"))
        try:
            draft = scratch / "broker.aot"
            # A port of its own, so that the preferred one stays free for a broker that somebody uses.
            broker = EmbeddedKafka(
                scratch,
                port=free_port(),
                jars=jars,
                heap_mb=heap_mb,
                java_home=java_home,
                die_with_parent=True,
            )
            broker.start(timeout_s=TRAIN_TIMEOUT_S, extra_flags=(f"-XX:AOTCacheOutput={draft}",))
            broker.stop(timeout_s=TRAIN_TIMEOUT_S)
            draft.replace(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return True
    return False


def _drop_stale(folder: Path) -> None:
    """Remove caches long unused and what a killed training left; called with the training lock held."""
    for path in folder.glob("broker-*.aot"):
        if path.stat().st_mtime < time.time() - KEEP_S:
            path.unlink(missing_ok=True)
    for path in folder.glob("training-*"):
        shutil.rmtree(path, ignore_errors=True)


def _yield_to_everyone() -> None:
    with suppress(OSError, AttributeError, psutil.Error):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        psutil.Process().ionice(psutil.IOPRIO_CLASS_IDLE)


def main(argv: list[str]) -> None:
    """Entry of the background process."""
    _yield_to_everyone()
    java_home = Path(argv[2]) if len(argv) > 2 and argv[2] else None  # noqa: PLR2004 - the third argument is optional
    train(JarCache(Path(argv[1])), int(argv[0]), java_home)


if __name__ == "__main__":
    main(sys.argv[1:])
