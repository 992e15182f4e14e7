"""The broker's jars: fetched once by Maven coordinate, never used unless their SHA-256 is the locked one."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import platformdirs
from filelock import FileLock

from deploy.kafka.errors import DiskFull, JarCorrupted, JarUnavailable

if TYPE_CHECKING:
    from jgo.maven import Artifact, MavenContext

LOCK_PATH: Final = Path(__file__).with_name("jars.lock.toml")
FETCH_THREADS: Final = 8
FETCH_TIMEOUT_S: Final = 60
STAMP_NAME: Final = "verified.json"

Progress = Callable[[int, int, str], None]
"""Called with jars done, jars in all, and the name of the one just done."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One locked artifact.

    Attributes:
        coordinate: `group:artifact:version`.
        size_bytes: Its size. Source: the lock.
        sha256: Lower-case hexadecimal. Source: the lock.
    """

    coordinate: str
    size_bytes: int
    sha256: str

    @property
    def name(self) -> str:
        """File name, `artifact-version.jar`."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


def cache_dir() -> Path:
    """Return where octolog keeps what it downloads: `OCTOLOG_CACHE`, else the user's cache folder."""
    configured = os.environ.get("OCTOLOG_CACHE")
    return Path(configured).expanduser() if configured else Path(platformdirs.user_cache_dir("octolog"))


def artifact_of(context: MavenContext, coordinate: str) -> Artifact:
    """Return jgo's handle of `group:artifact:version`."""
    group, artifact, version = coordinate.split(":")
    return context.project(group, artifact).at_version(version).artifact()


class JarCache:
    """The locked jars in one folder.

    Args:
        folder: Where jars lie. Default: `cache_dir()/kafka/<version>`.
        lock_path: The list of jars.
    """

    def __init__(self, folder: Path | None = None, lock_path: Path = LOCK_PATH) -> None:
        lock: dict[str, Any] = tomllib.loads(lock_path.read_text(encoding="utf-8"))
        self.kafka_version: str = lock["kafka_version"]
        self.jars: tuple[Jar, ...] = tuple(Jar(**entry) for entry in lock["jar"])
        self.folder = folder or cache_dir() / "kafka" / self.kafka_version
        self._stamp_path = self.folder / STAMP_NAME

    @cached_property
    def class_path(self) -> str:
        """The explicit jar list; a wildcard would not match the order an AOT cache was made with."""
        return os.pathsep.join(str(self.path(jar)) for jar in self.jars)

    def path(self, jar: Jar) -> Path:
        """Return where `jar` lies once fetched."""
        return self.folder / "jars" / jar.name

    def ensure(self, progress: Progress | None = None) -> None:
        """Make every jar present and proven; cheap when nothing changed since the last time.

        Raises:
            JarUnavailable: A jar cannot be fetched.
            JarCorrupted: A jar has the wrong sum even after a second fetch.
            DiskFull: The cache folder cannot be written.
        """
        if self._is_stamped():
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / "fetch.lock"):
                if not self._is_stamped():
                    self._fetch([jar for jar in self.jars if not self.is_sound(jar)], progress)
                    self._write_stamp()
        except OSError as error:
            reason = error.strerror or error
            message = f"cannot write Kafka's jars to {self.folder}: {reason}; free space or set OCTOLOG_CACHE"
            raise DiskFull(message) from error

    def unsound(self) -> tuple[Jar, ...]:
        """Return the jars that are absent or whose bytes differ from the lock, by reading all of them (about 0.1 s)."""
        return tuple(jar for jar in self.jars if not self.is_sound(jar))

    def is_sound(self, jar: Jar) -> bool:
        """Say whether the file of `jar` is there and has the locked sum."""
        try:
            return _sha256(self.path(jar)) == jar.sha256
        except FileNotFoundError:
            return False

    def _fetch(self, wanted: Iterable[Jar], progress: Progress | None) -> None:
        wanted = tuple(wanted)
        total, done = len(self.jars), len(self.jars) - len(wanted)
        (self.folder / "jars").mkdir(exist_ok=True)
        with ThreadPoolExecutor(FETCH_THREADS) as pool:
            fetches = {pool.submit(self._fetch_one, jar): jar for jar in wanted}
            try:
                for fetch in as_completed(fetches):
                    fetch.result()
                    done += 1
                    if progress:
                        progress(done, total, fetches[fetch].name)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _fetch_one(self, jar: Jar) -> None:
        digest = ""
        for _attempt in range(2):
            # A folder per fetch: jgo writes in place, so only a proven file may reach the final name.
            with TemporaryDirectory(dir=self.folder, prefix="fetch-") as scratch:
                fetched = _download(jar, Path(scratch))
                digest = _sha256(fetched)
                if digest == jar.sha256:
                    fetched.replace(self.path(jar))
                    return
        message = f"{jar.name} has SHA-256 {digest}, not the locked {jar.sha256}: corrupt or tampered with"
        raise JarCorrupted(message)

    def _facts(self) -> dict[str, list[str | int]]:
        facts: dict[str, list[str | int]] = {}
        for jar in self.jars:
            stat = self.path(jar).stat()
            facts[jar.coordinate] = [jar.sha256, stat.st_size, stat.st_mtime_ns]
        return facts

    def _is_stamped(self) -> bool:
        try:
            return bool(json.loads(self._stamp_path.read_text(encoding="utf-8")) == self._facts())
        except (OSError, ValueError):
            return False

    def _write_stamp(self) -> None:
        draft = self._stamp_path.with_suffix(".draft")
        draft.write_text(json.dumps(self._facts()), encoding="utf-8")
        draft.replace(self._stamp_path)


def _download(jar: Jar, scratch: Path) -> Path:
    mirror = os.environ.get("OCTOLOG_MAVEN_URL")
    import requests  # with jgo a third of a second to load, and only a first start fetches
    from jgo.maven import MavenContext

    context = MavenContext(
        repo_cache=scratch,
        remote_repos={"mirror": mirror.rstrip("/")} if mirror else None,
        timeout=FETCH_TIMEOUT_S,
    )
    try:
        return Path(artifact_of(context, jar.coordinate).resolve())
    except (requests.RequestException, RuntimeError) as error:
        advice = "check the network or set OCTOLOG_MAVEN_URL to a mirror"
        message = f"cannot fetch {jar.coordinate} from Maven ({type(error).__name__}): {advice}"
        raise JarUnavailable(message) from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
