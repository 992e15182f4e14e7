"""One search: the request within its bounds, the rankers asked, their orders fused."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final, Literal, TypeAlias, TypeVar, get_args

from arms.arm import Fail
from arms.retriever.corpus import Corpus, check_citation, read_corpus
from arms.retriever.fusion import Fused, fuse
from arms.retriever.keyword import KeywordRanker
from arms.retriever.ports import Embedder, Found, Ranker
from arms.retriever.vector import VectorRanker, VectorStore

__all__ = ["Library", "Outcome", "Request", "request_of"]

Method = Literal["hybrid", "keyword", "vector"]
_Key: TypeAlias = tuple[Path, str]
_T = TypeVar("_T")

# Bounds of a search request; source: the arms' published interfaces.
MAX_QUERY_CHARS: Final = 500
MAX_LIMIT: Final = 100
DEFAULT_LIMIT: Final = 10
DEFAULT_MIN_SCORE: Final = 0.5
_FETCHED_PER_RESULT: Final = 2
_OPEN_INDEXES: Final = 4


@dataclass(frozen=True, slots=True)
class Request:
    """What is searched for.

    Attributes:
        query: 1 to 500 characters.
        folders: Where.
        method: By words, by meaning, or both.
        limit: Most results, 1 to 100.
        min_score: Results less relevant are dropped, 0.0 to 1.0.
        patterns: Shell patterns over paths, of which one must fit; empty: every file.
    """

    query: str
    folders: tuple[Path, ...]
    method: Method = "hybrid"
    limit: int = DEFAULT_LIMIT
    min_score: float = DEFAULT_MIN_SCORE
    patterns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a search found.

    Attributes:
        results: Best first.
        methods: The rankers that were asked.
        files: Files searched.
        passages: Passages searched.
        notes: What was not as asked for, in words.
    """

    results: tuple[Fused, ...]
    methods: tuple[str, ...]
    files: int
    passages: int
    notes: tuple[str, ...]


def request_of(context: Mapping[str, Any], goal: str) -> Request:
    """Read a request; without a `query` the goal is the query.

    Raises:
        Fail: A value is missing or out of its bounds.
    """
    query = context.get("query", goal)
    if not isinstance(query, str) or not query.strip() or len(query) > MAX_QUERY_CHARS:
        raise _wrong(f"`query` is a text of 1 to {MAX_QUERY_CHARS} characters")
    method = context.get("method", "hybrid")
    if method not in get_args(Method):
        raise _wrong(f"`method` is one of {', '.join(get_args(Method))}")
    limit = context.get("limit", DEFAULT_LIMIT)
    if type(limit) is not int or not 1 <= limit <= MAX_LIMIT:
        raise _wrong(f"`limit` is 1 to {MAX_LIMIT}")
    min_score = context.get("min_score", DEFAULT_MIN_SCORE)
    if not isinstance(min_score, int | float) or isinstance(min_score, bool) or not 0 <= min_score <= 1:
        raise _wrong("`min_score` is 0.0 to 1.0")
    return Request(query, _folders(context), method, limit, float(min_score), _patterns(context))


class Library:
    """Searches folders; keeps indexes open between searches, and on disk if it is given a place.

    Args:
        embedder: Makes vectors; None: search by words alone.
        cache: Folder for indexes and vectors; None: nothing is kept on disk.
        others: Further rankers, such as the semantic memory, asked beside those over the files.
    """

    def __init__(
        self, embedder: Embedder | None = None, cache: Path | None = None, others: Sequence[Ranker] = ()
    ) -> None:
        self._store = None if embedder is None else VectorStore(embedder, cache)
        self._cache, self._others = cache, tuple(others)
        self._indexes: OrderedDict[_Key, KeywordRanker] = OrderedDict()
        self._vectors: OrderedDict[_Key, VectorRanker] = OrderedDict()
        # Vectors can take half a minute; a search by words does not wait for them.
        self._indexing, self._embedding = Lock(), Lock()

    def search(self, request: Request) -> Outcome:
        """Ask every ranker for twice as many as are wanted, and fuse their orders.

        Raises:
            Fail: A search by meaning alone, and no model makes vectors.
        """
        notes: list[str] = []
        corpora = [read_corpus(folder, request.patterns) for folder in request.folders]
        orders: dict[str, Sequence[Found]] = {}
        fetched = request.limit * _FETCHED_PER_RESULT
        passages = 0
        for corpus in corpora:
            if corpus.beyond:
                notes.append(f"{corpus.root}: {corpus.beyond} files beyond the most were not searched")
            here = "" if len(corpora) == 1 else f"@{corpus.root}"
            found: Sequence[Found] = ()
            if request.method != "vector":
                words = self._keyword(corpus)
                found = words.rank(request.query, fetched)
                orders[words.name + here] = found
                passages += words.size
            if request.method != "keyword":
                meaning = self._vector(corpus, found, request.method, notes)
                if meaning is not None:
                    passages += meaning.size if request.method == "vector" else 0
                    orders[meaning.name + here] = meaning.rank(request.query, fetched)
        for other in self._others:
            orders[other.name] = other.rank(request.query, fetched)
        results = fuse(orders, request.limit, request.min_score)
        changed = [each for each in results if not _still_there(each.found)]
        if changed:  # between reading the folder and here; what cannot be looked up is not cited
            notes.append(f"{len(changed)} results were left out: their files changed meanwhile")
            results = [each for each in results if each not in changed]
        files = sum(len(corpus.documents) for corpus in corpora)
        return Outcome(tuple(results), tuple(orders), files, passages, tuple(dict.fromkeys(notes)))

    def _keyword(self, corpus: Corpus) -> KeywordRanker:
        cache = None if self._cache is None else self._cache / "keyword"
        with self._indexing:
            opened = self._indexes.pop((corpus.root, corpus.digest), None) or KeywordRanker(corpus, cache)
            _keep(self._indexes, (corpus.root, corpus.digest), opened)
        return opened

    def _vector(
        self, corpus: Corpus, first: Sequence[Found], method: Method, notes: list[str]
    ) -> VectorRanker | None:
        """The search by meaning; None: there is no model, which is a note beside a search by words."""
        if self._store is None:
            if method == "vector":
                raise Fail("search by meaning needs an embedding model, and none is set", "MODEL_REQUIRED")
            notes.append("searched by words alone: no embedding model is set")
            return None
        key = corpus.root, corpus.digest
        with self._embedding:
            opened = self._vectors.pop(key, None)
            if opened is None or opened.waiting:
                opened = VectorRanker(corpus, self._store, [found.key for found in first])
            _keep(self._vectors, key, opened)
        if opened.beyond:
            notes.append(f"{opened.beyond} passages were searched by words alone: too many for vectors")
        if opened.waiting:
            notes.append(f"{opened.waiting} passages have no vector yet and were searched by words alone")
        return opened


def _keep(opened: OrderedDict[_Key, _T], key: _Key, ranker: _T) -> None:
    opened[key] = ranker
    while len(opened) > _OPEN_INDEXES:
        opened.popitem(last=False)


def _still_there(found: Found) -> bool:
    return found.citation is None or check_citation(found.citation, found.content)


def _folders(context: Mapping[str, Any]) -> tuple[Path, ...]:
    asked = context.get("folders", [context.get("path")])
    if not isinstance(asked, list) or not asked:
        raise _wrong("`path` is a folder, or `folders` a list of them")
    for folder in asked:
        if not isinstance(folder, str) or "\0" in folder or not Path(folder).is_dir():
            raise Fail(f"{folder!r} is not a folder on this machine; give `path` in the context", "NOT_FOUND")
    return tuple(dict.fromkeys(Path(folder).resolve() for folder in asked))


def _patterns(context: Mapping[str, Any]) -> tuple[str, ...]:
    filters = context.get("filters", {})
    if not isinstance(filters, Mapping) or set(filters) - {"paths"}:
        raise _wrong("`filters` may hold `paths`, a list of shell patterns such as docs/*.md")
    patterns = filters.get("paths", [])
    if not isinstance(patterns, list) or not all(isinstance(each, str) for each in patterns):
        raise _wrong("`filters.paths` is a list of shell patterns such as docs/*.md")
    return tuple(patterns)


def _wrong(message: str) -> Fail:
    return Fail(message, "INVALID_INPUT")
