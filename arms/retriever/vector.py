"""Search by meaning: a vector for each passage, computed once per text, compared with the query's."""

from __future__ import annotations

import array
import heapq
import operator
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from sqlite3 import Connection, connect
from typing import Final

from arms.retriever.corpus import Corpus
from arms.retriever.ports import Citation, Embedder, Found

__all__ = ["MAX_VECTORS", "VectorRanker"]

# A small model makes some 300 vectors a second on two cores: this many take about a quarter of a minute, once.
MAX_VECTORS: Final = 5_000
_BATCH: Final = 64
_BUSY_S: Final = 30.0


class VectorRanker:
    """Finds passages by their meaning.

    Args:
        corpus: The documents.
        embedder: Makes the vectors.
        cache: Folder where vectors are kept by the text they are of; None: computed anew.
    """

    name = "vector"

    def __init__(self, corpus: Corpus, embedder: Embedder, cache: Path | None = None) -> None:
        self._embedder = embedder
        rows = [
            (passage.title, passage.content, replace(citation, folder=str(corpus.root)))
            for document in corpus.documents.values()
            for passage, citation in document.passages()
        ]
        self.left_out = max(0, len(rows) - MAX_VECTORS)
        self._rows: list[tuple[str, Citation]] = [(text, place) for _, text, place in rows[:MAX_VECTORS]]
        texts = [f"{title}\n{content}" if title else content for title, content, _ in rows[:MAX_VECTORS]]
        self._vectors = _Vectors(embedder, cache).of(texts)

    def rank(self, query: str, limit: int) -> Sequence[Found]:
        """The passages whose vectors point most the way of the query's; relevance is the cosine, at least 0."""
        if not self._rows:
            return []
        asked = self._embedder.embed([query])[0]
        likeness = [sum(map(operator.mul, asked, vector)) for vector in self._vectors]
        nearest = heapq.nsmallest(limit, range(len(likeness)), key=lambda at: (-likeness[at], at))
        return [self._found(at, likeness[at]) for at in nearest]

    def _found(self, at: int, cosine: float) -> Found:
        content, place = self._rows[at]
        source = f"{place.path}:{place.start_line}-{place.end_line}"
        relevance = round(min(1.0, max(0.0, cosine)), 6)
        return Found(f"{place.folder}/{place.path}:{place.start_char}", content, source, relevance, place)


class _Vectors:
    """Vectors by text, kept in a file."""

    def __init__(self, embedder: Embedder, cache: Path | None) -> None:
        self._embedder = embedder
        if cache is not None:
            cache.mkdir(parents=True, exist_ok=True)
        self._file = ":memory:" if cache is None else str(cache / "vectors.sqlite3")

    def of(self, texts: Sequence[str]) -> list[Sequence[float]]:
        keys = [
            sha256(f"{self._embedder.model}\0{text}".encode("utf-8", "surrogatepass")).digest()
            for text in texts
        ]
        with closing(connect(self._file, timeout=_BUSY_S)) as store, store:
            store.execute(
                "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID"
            )
            kept: dict[bytes, array.array[float]] = {}
            for key in set(keys):
                found = _read(store, key)
                if found is not None:
                    kept[key] = found
            missing = list(
                {key: text for key, text in zip(keys, texts, strict=True) if key not in kept}.items()
            )
            for at in range(0, len(missing), _BATCH):
                part = missing[at : at + _BATCH]
                for (key, _), vector in zip(
                    part, self._embedder.embed([text for _, text in part]), strict=True
                ):
                    kept[key] = array.array("f", vector)
                    store.execute("INSERT OR IGNORE INTO vectors VALUES (?, ?)", (key, kept[key].tobytes()))
        return [kept[key] for key in keys]


def _read(store: Connection, key: bytes) -> array.array[float] | None:
    row = store.execute("SELECT vector FROM vectors WHERE key = ?", (key,)).fetchone()
    return None if row is None else array.array("f", row[0])
