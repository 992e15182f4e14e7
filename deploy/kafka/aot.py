"""The AOT cache: Kafka's classes, loaded and linked once, mapped by every later start (3.5 s down to 1.4 s).

Making one takes about 15 s of one core, so `deploy.kafka.training` makes it at lowest priority beside the first broker
of a machine: nobody waits for it, and starts are merely slower until it is there.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Final

from deploy.kafka import java
from deploy.kafka.jars import JarCache

_PACKAGE_ROOT: Final = Path(__file__).parents[2]


def aot_path(jars: JarCache, java_path: Path, heap_mb: int) -> Path:
    """Return where the AOT cache for exactly this Java, these jars and this heap lies or would lie.

    The JVM checks each jar's time and size, so they belong to the name: a refetched jar gets a cache of its own.
    """
    facts = [str(java_path.resolve()), str(java_path.stat().st_mtime_ns), *java.jvm_flags(heap_mb)]
    for path in map(jars.path, jars.jars):
        stat = path.stat()
        facts.append(f"{path}:{stat.st_size}:{stat.st_mtime_ns}")
    return jars.folder / f"broker-{hashlib.sha256(chr(10).join(facts).encode()).hexdigest()[:16]}.aot"


def train_in_background(jars: JarCache, heap_mb: int, java_home: Path | None) -> int:
    """Start the training process and return its pid; it ends by itself, and at once when another one is at work."""
    argv = [
        sys.executable,
        "-m",
        "deploy.kafka.training",
        str(heap_mb),
        str(jars.folder),
        str(java_home or ""),
    ]
    path = os.pathsep.join(filter(None, [str(_PACKAGE_ROOT), os.environ.get("PYTHONPATH")]))
    return java.spawn(argv, jars.folder / "training.log", environment={**os.environ, "PYTHONPATH": path})
