"""Search by meaning: a vector for each passage, computed once per text, compared with the query's."""

from __future__ import annotations

import array
import heapq
import operator
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from sqlite3 import connect
from typing import Final

from arms.retriever.corpus import Corpus
from arms.retriever.ports import Citation, Embedder, Found

__all__ = ["EMBEDDING_S", "MAX_VECTORS", "VectorRanker", "VectorStore"]

MAX_VECTORS: Final = 5_000
# One search spends this long on vectors that are missing, then goes on with those there are. A small model makes from
# ten to a hundred of such passages a second on two cores; an attempt has two minutes.
EMBEDDING_S: Final = 30.0
_BATCH: Final = 16
_BUSY_S: Final = 30.0


class VectorStore:
    """Vectors by the text they are of.

    Args:
        embedder: Makes those that are missing.
        folder: Where they are kept; None: for as long as this object lives.
    """

    def __init__(self, embedder: Embedder, folder: Path | None = None) -> None:
        self.embedder = embedder
        self._file = None if folder is None else folder / "vectors.sqlite3"
        self._known: dict[bytes, array.array[float]] = {}
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with closing(connect(self._file, timeout=_BUSY_S)) as store, store:
                store.execute(
                    "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID"
                )

    def of(self, texts: Sequence[str], *, until: Callable[[], bool]) -> list[Sequence[float] | None]:
        """A vector for each text; None where it was missing and `until` said that the time is over."""
        keys = [self._key(text) for text in texts]
        missing = dict(zip(keys, texts, strict=True))
        found = self._read(missing)
        left = [(key, text) for key, text in missing.items() if key not in found]
        for at in range(0, len(left), _BATCH):
            if until():
                break
            part = left[at : at + _BATCH]
            vectors = self.embedder.embed([text for _, text in part])
            made = {key: array.array("f", vector) for (key, _), vector in zip(part, vectors, strict=True)}
            self._write(made)  # at once, so that an attempt that is cut off leaves something for the next
            found |= made
        return [found.get(key) for key in keys]

    def _key(self, text: str) -> bytes:
        return sha256(f"{self.embedder.model}\0{text}".encode("utf-8", "surrogatepass")).digest()

    def _read(self, keys: dict[bytes, str]) -> dict[bytes, array.array[float]]:
        if self._file is None:
            return {key: self._known[key] for key in keys if key in self._known}
        with closing(connect(self._file, timeout=_BUSY_S)) as store:
            rows = (
                store.execute("SELECT key, vector FROM vectors WHERE key = ?", (key,)).fetchone()
                for key in keys
            )
            return {row[0]: array.array("f", row[1]) for row in rows if row is not None}

    def _write(self, made: dict[bytes, array.array[float]]) -> None:
        if self._file is None:
            self._known |= made
            return
        rows = [(key, vector.tobytes()) for key, vector in made.items()]
        with closing(connect(self._file, timeout=_BUSY_S)) as store, store:
            store.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)


class VectorRanker:
    """Finds passages by their meaning.

    Args:
        corpus: The documents.
        store: Their vectors.
        first: Keys of passages whose vectors are made before others, best first.
        most_s: Longest time to spend on missing vectors, seconds.
        clock: Seconds, monotonic.

    Attributes:
        beyond: Passages that are too many to have a vector.
        waiting: Passages that have none yet, because the time was over.
    """

    name = "vector"

    def __init__(
        self,
        corpus: Corpus,
        store: VectorStore,
        first: Sequence[str] = (),
        *,
        most_s: float = EMBEDDING_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._embedder = store.embedder
        rows = [
            (
                f"{passage.title}\n{passage.content}" if passage.title else passage.content,
                passage.content,
                place,
            )
            for document in corpus.documents.values()
            for passage, citation in document.passages()
            for place in (replace(citation, folder=str(corpus.root)),)
        ]
        wanted = {key: at for at, key in enumerate(first)}
        rows.sort(key=lambda row: wanted.get(_key(row[2]), len(wanted)))
        self.beyond = max(0, len(rows) - MAX_VECTORS)
        rows = rows[:MAX_VECTORS]
        deadline = clock() + most_s
        vectors = store.of([text for text, _, _ in rows], until=lambda: clock() >= deadline)
        self._rows: list[tuple[Sequence[float], str, Citation]] = [
            (vector, content, place)
            for vector, (_, content, place) in zip(vectors, rows, strict=True)
            if vector is not None
        ]
        self.waiting = len(rows) - len(self._rows)

    @property
    def size(self) -> int:
        """Passages that have a vector."""
        return len(self._rows)

    def rank(self, query: str, limit: int) -> Sequence[Found]:
        """The passages whose vectors point most the way of the query's; relevance is the cosine, at least 0."""
        if not self._rows:
            return []
        asked = self._embedder.embed([query])[0]
        likeness = [sum(map(operator.mul, asked, vector)) for vector, _, _ in self._rows]
        keys = [_key(place) for _, _, place in self._rows]
        nearest = heapq.nsmallest(limit, range(len(likeness)), key=lambda at: (-likeness[at], keys[at]))
        return [self._found(at, likeness[at]) for at in nearest]

    def _found(self, at: int, cosine: float) -> Found:
        _, content, place = self._rows[at]
        source = f"{place.path}:{place.start_line}-{place.end_line}"
        return Found(_key(place), content, source, round(min(1.0, max(0.0, cosine)), 6), place)


def _key(place: Citation) -> str:
    return f"{place.folder}/{place.path}:{place.start_char}"
