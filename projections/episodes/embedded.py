"""Episodes in a file of SQLite."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

from octolog.domain.errors import StoreUnavailable
from octolog.domain.ids import ArmId
from octolog.ports import Positions
from projections.episodes.document import from_text, to_text
from projections.episodes.store import Episode

_BUSY_S: Final = 10.0
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


class EmbeddedEpisodes:
    """One file; several threads, and readers in other processes.

    Args:
        path: The file, made when it is not there. None: in memory.

    Raises:
        StoreUnavailable: When it cannot be opened.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        with self._translated():
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            name = ":memory:" if path is None else str(path)
            self._connection = sqlite3.connect(name, timeout=_BUSY_S, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.executescript(_SCHEMA)

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

    def positions(self) -> Positions:
        """The next offset to read per partition."""
        with self._transaction() as connection:
            rows = connection.execute("SELECT topic, part, next FROM positions").fetchall()
        return {(topic, partition): offset for topic, partition, offset in rows}

    def canonical_digest(self) -> str:
        """SHA-256 over every episode and position, hex: equal for two stores that hold the same."""
        digest = sha256()
        with self._transaction() as connection:
            for query in (
                "SELECT * FROM episodes ORDER BY arm_id, episode_id",
                "SELECT * FROM positions ORDER BY topic, part",
            ):
                for row in connection.execute(query):
                    digest.update(repr(row).encode())
        return digest.hexdigest()

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
        """Release the file."""
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._translated(), self._connection:
            yield self._connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"{self._path or 'episodes in memory'}: {error}") from error
