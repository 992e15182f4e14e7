"""Jars are used only if their bytes are the locked ones."""

from __future__ import annotations

import gc
import hashlib
import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploy.kafka import DiskFull, JarCorrupted, JarUnavailable
from deploy.kafka.jars import LOCK_PATH, JarCache

CONTENT = b"a jar's bytes"


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Keep test output clean."""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Maven repository over HTTP that holds `example:one:1` and `example:two:1`."""
    root = tmp_path / "repository"
    for name in ("one", "two"):
        jar = root / "example" / name / "1" / f"{name}-1.jar"
        jar.parent.mkdir(parents=True)
        jar.write_bytes(CONTENT)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_QuietHandler, directory=str(root)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("OCTOLOG_MAVEN_URL", f"http://127.0.0.1:{server.server_port}")
    yield root
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def jars(tmp_path: Path) -> JarCache:
    lock = tmp_path / "lock.toml"
    digest = hashlib.sha256(CONTENT).hexdigest()
    facts = f'size_bytes = {len(CONTENT)}\nsha256 = "{digest}"\n'
    entries = [f'[[jar]]\ncoordinate = "example:{name}:1"\n{facts}' for name in ("one", "two")]
    lock.write_text('kafka_version = "0"\n' + "".join(entries))
    return JarCache(tmp_path / "cache", lock)


@pytest.mark.usefixtures("repository")
def test_jars_are_fetched_once_and_progress_counts_to_the_end(jars: JarCache) -> None:
    seen: list[tuple[int, int, str]] = []
    jars.ensure(lambda done, total, name: seen.append((done, total, name)))
    assert [(done, total) for done, total, _ in seen] == [(1, 2), (2, 2)]
    assert {name for _, _, name in seen} == {"one-1.jar", "two-1.jar"}
    jars.ensure(lambda *_: pytest.fail("fetched again"))
    assert jars.unsound() == ()


@pytest.mark.usefixtures("repository")
def test_a_jar_corrupted_on_disk_is_refetched(jars: JarCache) -> None:
    jars.ensure()
    victim = jars.path(jars.jars[0])
    victim.write_bytes(CONTENT[:-1])
    assert jars.unsound() == (jars.jars[0],)
    jars.ensure()
    assert victim.read_bytes() == CONTENT


@pytest.mark.usefixtures("repository")
def test_a_jar_changed_behind_size_and_time_is_found_by_the_full_check(jars: JarCache) -> None:
    jars.ensure()
    victim = jars.path(jars.jars[1])
    stat = victim.stat()
    victim.write_bytes(b"X" * stat.st_size)
    os.utime(victim, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert jars.unsound() == (jars.jars[1],)


def test_a_wrong_sum_is_refused_in_one_line_that_names_the_jar(jars: JarCache, repository: Path) -> None:
    (repository / "example" / "two" / "1" / "two-1.jar").write_bytes(b"something else")
    with pytest.raises(JarCorrupted, match=r"two-1\.jar") as refusal:
        jars.ensure()
    assert "\n" not in str(refusal.value)
    assert not jars.path(jars.jars[1]).exists()


# jgo leaves the body of a refused answer unread; its socket is closed by the collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_absent_artifact_is_named_with_its_coordinate(jars: JarCache, repository: Path) -> None:
    (repository / "example" / "one" / "1" / "one-1.jar").unlink()
    with pytest.raises(JarUnavailable, match="example:one:1"):
        jars.ensure()
    gc.collect()


def test_no_network_is_one_line(jars: JarCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCTOLOG_MAVEN_URL", "http://127.0.0.1:9")
    with pytest.raises(JarUnavailable, match="check the network") as failure:
        jars.ensure()
    assert "\n" not in str(failure.value)


@pytest.mark.usefixtures("repository")
def test_a_full_disk_is_one_line_with_what_to_do(jars: JarCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", no_space)
    with pytest.raises(DiskFull, match="No space left on device; free space or set OCTOLOG_CACHE"):
        jars.ensure()


def test_the_committed_lock_names_no_host_and_no_path() -> None:
    text = LOCK_PATH.read_text(encoding="utf-8")
    assert "/" not in text.split("\n", 1)[1]
    locked = JarCache(Path("unused")).jars
    assert len({jar.coordinate for jar in locked}) == len(locked)
    assert all(len(jar.sha256) == 64 and jar.coordinate.count(":") == 2 for jar in locked)
