"""Search by words: BM25 in a tantivy index, kept by what the documents hold."""

from __future__ import annotations

import math
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import orjson
from tantivy import (
    Document,
    Filter,
    Index,
    Occur,
    Query,
    Schema,
    SchemaBuilder,
    TextAnalyzer,
    TextAnalyzerBuilder,
    Tokenizer,
)

from arms.retriever.corpus import Corpus
from arms.retriever.ports import Citation, Found

__all__ = ["KeywordRanker"]

_ANALYZER: Final = "words"
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|_")
_HEAP_BYTES: Final = 32_000_000
_LONGEST_WORD_BYTES: Final = 60
# Part of the folder's name: an index made in another way is another one.
_LAYOUT: Final = "1"
_KEPT_INDEXES: Final = 8


class KeywordRanker:
    """Finds passages by their words.

    Args:
        corpus: The documents.
        cache: Folder where indexes are kept by the documents' digest; None: made anew, in memory.
    """

    name = "keyword"

    def __init__(self, corpus: Corpus, cache: Path | None = None) -> None:
        self._corpus = corpus
        self._analyzer = _analyzer()
        self.was_kept = False
        self._index = self._made(Index(_schema())) if cache is None else self._kept(cache)
        self._searcher = self._index.searcher()

    @property
    def size(self) -> int:
        """Passages in it."""
        return self._searcher.num_docs

    def rank(self, query: str, limit: int) -> Sequence[Found]:
        """Passages that hold words of the query, by BM25; relevance is the share of its words, weighed by rarity."""
        terms = list(dict.fromkeys(self._analyzer.analyze(_spelled(query))))
        weights = self._weights(terms)
        if not weights or not self.size:
            return []
        parts = [
            (Occur.Should, Query.boost_query(Query.term_query(self._index.schema, name, term), boost))
            for term in terms
            for name, boost in (("text", 1.0), ("title", 0.5))
        ]
        hits = self._searcher.search(Query.boolean_query(parts), limit).hits
        found = [self._found(address, weights) for _, address in hits]
        return [each for each in found if each is not None]

    def _weights(self, terms: Sequence[str]) -> dict[str, float]:
        """The rarity of each term; one that no document holds weighs as the others do on average."""
        total = self.size
        held = {term: self._searcher.doc_freq("text", term) for term in terms}
        known = {
            term: math.log(1 + (total - count + 0.5) / (count + 0.5)) for term, count in held.items() if count
        }
        if not known:
            return {}
        usual = sum(known.values()) / len(known)
        return {term: known.get(term, usual) for term in terms}

    def _found(self, address: object, weights: dict[str, float]) -> Found | None:
        stored = self._searcher.doc(address)  # type: ignore[arg-type] # a DocAddress, which hits type as Any
        citation = Citation(**orjson.loads(stored["about"][0]) | {"folder": str(self._corpus.root)})
        document = self._corpus.documents[citation.path]
        content = document.source.text[citation.start_char : citation.end_char]
        words = set(self._analyzer.analyze(_spelled(f"{stored['shown'][0]} {content}")))
        share = sum(weight for term, weight in weights.items() if term in words) / sum(weights.values())
        key = f"{citation.folder}/{citation.path}:{citation.start_char}"
        source = f"{citation.path}:{citation.start_line}-{citation.end_line}"
        return Found(key, content, source, round(share, 6), citation)

    def _made(self, index: Index) -> Index:
        index.register_tokenizer(_ANALYZER, self._analyzer)
        # One thread, so that the same documents make the same index.
        writer = index.writer(_HEAP_BYTES, num_threads=1)
        for document in self._corpus.documents.values():
            for passage, citation in document.passages():
                row = Document()
                row.add_text("text", _spelled(passage.content))
                row.add_text("title", _spelled(passage.title))
                row.add_text("shown", passage.title)
                row.add_text("about", orjson.dumps(citation.to_json()).decode())
                writer.add_document(row)
        writer.commit()
        writer.wait_merging_threads()
        index.reload()
        return index

    def _kept(self, cache: Path) -> Index:
        place = cache / f"{self._corpus.digest}-{_LAYOUT}"
        if place.is_dir() and Index.exists(str(place)):
            self.was_kept = True
            index = Index.open(str(place))
            index.register_tokenizer(_ANALYZER, self._analyzer)
            return index
        cache.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(dir=cache, prefix="making-"))
        self._made(Index(_schema(), str(making)))
        try:
            making.rename(place)
        except OSError:  # another process was quicker with the same documents
            shutil.rmtree(making, ignore_errors=True)
        _drop_old(cache)
        index = Index.open(str(place))
        index.register_tokenizer(_ANALYZER, self._analyzer)
        return index


def _drop_old(cache: Path) -> None:
    kept = sorted(
        (p for p in cache.iterdir() if not p.name.startswith("making-")), key=lambda p: p.stat().st_mtime
    )
    for path in kept[:-_KEPT_INDEXES]:
        shutil.rmtree(path, ignore_errors=True)


def _schema() -> Schema:
    builder = SchemaBuilder()
    builder.add_text_field("text", tokenizer_name=_ANALYZER, index_option="freq")
    builder.add_text_field("title", tokenizer_name=_ANALYZER, index_option="freq")
    builder.add_text_field("shown", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("about", stored=True, tokenizer_name="raw", index_option="basic")
    return builder.build()


def _analyzer() -> TextAnalyzer:
    words = TextAnalyzerBuilder(Tokenizer.simple())
    for each in (
        Filter.remove_long(_LONGEST_WORD_BYTES),
        Filter.lowercase(),
        Filter.ascii_fold(),
        Filter.stopword("english"),
        Filter.stemmer("english"),
    ):
        words = words.filter(each)
    return words.build()


def _spelled(text: str) -> str:
    """A text with the names in it taken apart: `snake_case` and `camelCase` are found by their words."""
    return _HUMP.sub(" ", unicodedata.normalize("NFKC", text))
