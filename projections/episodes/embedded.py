"""Episodes in files of SQLite: a folder with one in use, and while that is built anew another beside it."""

from __future__ import annotations

import os
import re
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from octolog.domain.errors import StoreUnavailable
from octolog.domain.ids import ArmId
from octolog.ports import Positions
from projections.episodes.document import from_text, to_text
from projections.episodes.store import FOLD, Episode, EpisodeStore, StoreReplaced
from projections.folder import take

FILE_NAME: Final = "episodes.sqlite"
_POINTER: Final = "episodes.current"
_GENERATION: Final = re.compile(r"episodes-(\d+)\.sqlite")
_BUSY_S: Final = 10.0
_SCANNED: Final = 500
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS episodes (
    arm_id TEXT NOT NULL, episode_id TEXT NOT NULL, recorded_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL,
    part INTEGER NOT NULL, at INTEGER NOT NULL, document TEXT NOT NULL, PRIMARY KEY (arm_id, episode_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_expiry ON episodes (arm_id, expires_ms);
CREATE TABLE IF NOT EXISTS positions (
    topic TEXT NOT NULL, part INTEGER NOT NULL, next INTEGER NOT NULL, PRIMARY KEY (topic, part)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS kept (since_ms INTEGER NOT NULL);
"""


class EpisodeFiles:
    """The stores of a folder; one process at a time.

    Args:
        folder: Made when it is not there.

    Raises:
        StoreUnavailable: When another process has the folder open.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: EmbeddedEpisodes | None = None
        self._lock = take(folder)

    def current(self) -> EpisodeStore | None:
        """The store in use; None before the first is made."""
        if self._open is None and self._path().is_file():
            self._open = EmbeddedEpisodes(self._path())
        return self._open

    def create(self, version: int) -> EpisodeStore:
        """A new store, empty, not in use yet; what an earlier attempt left behind is gone."""
        self._sweep()
        path = self._path()
        if path.is_file():
            found = _GENERATION.fullmatch(path.name)
            path = self._folder / f"episodes-{int(found[1]) + 1 if found else 2}.sqlite"
        return EmbeddedEpisodes(path, version)

    def use(self, made: EpisodeStore) -> None:
        """Make a store the one in use, at once; the one before it is closed and deleted."""
        store, before = _embedded(made), self._open
        draft = self._folder / f"{_POINTER}.new"
        with draft.open("w", encoding="utf-8") as file:
            file.write(store.name)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._folder / _POINTER)
        self._open = store
        if before is not None and before is not store:
            before.close()
        self._sweep()

    def discard(self, made: EpisodeStore) -> None:
        """Delete a store that never came into use."""
        made.close()
        self._sweep()

    def close(self) -> None:
        """Release everything."""
        if self._open is not None:
            self._open.close()
            self._open = None
        self._lock.release()

    def _path(self) -> Path:
        try:
            named = (self._folder / _POINTER).read_text(encoding="utf-8").strip()
        except OSError:
            return self._folder / FILE_NAME
        return self._folder / (named if _GENERATION.fullmatch(named) else FILE_NAME)

    def _sweep(self) -> None:
        """Delete all but the store in use, and what SQLite keeps beside its files."""
        kept = self._path().name
        for path in self._folder.glob("episodes*.sqlite*"):
            if path.name.partition(".sqlite")[0] != kept.removesuffix(".sqlite"):
                path.unlink(missing_ok=True)


class EmbeddedEpisodes:
    """One file; several threads, and readers in other processes.

    Args:
        path: The file, made when it is not there. None: in memory.
        version: The fold that fills it, where it is new; another keeps the one it was made with.

    Raises:
        StoreUnavailable: When it cannot be opened.
    """

    def __init__(self, path: Path | None, version: int = FOLD) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._closed = False
        with self._translated():
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            name = ":memory:" if path is None else str(path)
            self._connection = sqlite3.connect(name, timeout=_BUSY_S, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode=WAL")
            # What the last transactions before a power cut stored is read from the log again: positions went with them.
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self.version = self._made_by(version)

    @property
    def name(self) -> str:
        """Of its file."""
        return "" if self._path is None else self._path.name

    def put(self, episodes: Sequence[Episode], positions: Positions) -> None:
        """Store episodes and positions in one transaction; the first episode of an id stays."""
        rows = [
            (
                episode.memory.arm_id,
                episode.memory.episode_id,
                episode.recorded_ms,
                episode.expires_ms,
                episode.partition,
                episode.offset,
                to_text(episode),
            )
            for episode in episodes
        ]
        places = [(topic, partition, offset) for (topic, partition), offset in positions.items()]
        with self._transaction() as connection:
            connection.executemany("INSERT OR IGNORE INTO episodes VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            connection.executemany("INSERT OR REPLACE INTO positions VALUES (?, ?, ?)", places)

    def read(self, arm_id: ArmId, as_of_ms: int, limit: int) -> list[Episode]:
        """An arm's episodes that were recorded by then and had not expired, newest first."""
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT document FROM episodes WHERE arm_id = ? AND recorded_ms <= ? AND expires_ms > ?"
                " ORDER BY recorded_ms DESC, part DESC, at DESC LIMIT ?",
                (arm_id, as_of_ms, as_of_ms, limit),
            ).fetchall()
        return [from_text(text) for (text,) in rows]

    def scan(self) -> Iterator[Episode]:
        """Every episode, by arm and id."""
        after = ("", "")
        while True:
            with self._transaction() as connection:
                rows = connection.execute(
                    "SELECT arm_id, episode_id, document FROM episodes WHERE (arm_id, episode_id) > (?, ?)"
                    " ORDER BY arm_id, episode_id LIMIT ?",
                    (*after, _SCANNED),
                ).fetchall()
            if not rows:
                return
            yield from (from_text(text) for _, _, text in rows)
            after = rows[-1][:2]

    def positions(self) -> Positions:
        """The next offset to read per partition."""
        with self._transaction() as connection:
            rows = connection.execute("SELECT topic, part, next FROM positions").fetchall()
        return {(topic, partition): offset for topic, partition, offset in rows}

    def kept_since_ms(self) -> int:
        """The earliest moment that can be asked about."""
        with self._transaction() as connection:
            found = connection.execute("SELECT max(since_ms) FROM kept").fetchone()[0]
        return int(found or 0)

    def drop_expired(self, before_ms: int) -> int:
        """Delete what expired before a moment."""
        with self._transaction() as connection:
            dropped = connection.execute("DELETE FROM episodes WHERE expires_ms <= ?", (before_ms,)).rowcount
            known = connection.execute("SELECT max(since_ms) FROM kept").fetchone()[0] or 0
            connection.execute("DELETE FROM kept")
            connection.execute("INSERT INTO kept VALUES (?)", (max(before_ms, known),))
        return dropped

    def clear(self) -> None:
        """Delete every episode and position."""
        with self._transaction() as connection:
            for table in ("episodes", "positions", "kept"):
                connection.execute(f"DELETE FROM {table}")  # noqa: S608 -- our names

    def close(self) -> None:
        """Release the file, once who is reading is done."""
        with self._lock:
            self._closed = True
            self._connection.close()

    def _made_by(self, version: int) -> int:
        """The version in the file; a file of before there were versions is of the first."""
        found = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
        known = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        self._connection.executescript(_SCHEMA)
        if found or known:
            return found or 1
        self._connection.execute(f"PRAGMA user_version = {version:d}")
        return version

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._translated():
            if self._closed:
                raise StoreReplaced(f"{self._path or 'episodes in memory'} is not in use any more")
            with self._connection:
                yield self._connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"{self._path or 'episodes in memory'}: {error}") from error


def _embedded(store: EpisodeStore) -> EmbeddedEpisodes:
    if not isinstance(store, EmbeddedEpisodes):
        raise TypeError(f"{type(store).__name__} is no file of a folder")
    return store
