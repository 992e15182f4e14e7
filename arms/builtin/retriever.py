"""The retriever: searches folders by words and by meaning, and cites what it found so that it can be checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from arms.arm import Answer, Arm, arm
from arms.builtin.reviewers import review_links
from arms.retriever.fusion import Fused
from arms.retriever.search import MAX_LIMIT, MAX_QUERY_CHARS, Library, request_of
from arms.work import Work
from octolog.domain.errors import Refused, Unavailable

__all__ = ["INPUT", "make_retriever"]

# An output may have 256 kB; a passage of a thousand characters can take three or four bytes for each.
_RESULTS_BYTES: Final = 200_000
_SYNTHESIS: Final = (
    "Answer the question in at most five sentences, from the numbered passages alone. After each statement put the "
    "number of the passage it comes from in square brackets. If they do not answer it, say so."
)
_SHOWN_PASSAGES: Final = 8
_CITED: Final = re.compile(r"\[(\d{1,3})\]")
INPUT: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "filters": {
            "type": "object",
            "properties": {"paths": {"type": "array", "items": {"type": "string"}}},
        },
        "folders": {"type": "array", "items": {"type": "string"}},
        "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
        "method": {"enum": ["hybrid", "keyword", "vector"]},
        "min_score": {"type": "number", "minimum": 0, "maximum": 1},
        "path": {"type": "string"},
        "query": {"type": "string", "minLength": 1, "maxLength": MAX_QUERY_CHARS},
    },
}


def make_retriever(library: Library | None = None, *, vectors: bool = False, model: bool = False) -> Arm:
    """Make a retriever.

    Args:
        library: What searches; None: one by words, which keeps nothing on disk.
        vectors: The library has an embedding model.
        model: A model is set, so that passages can be summed up.
    """
    searching = library or Library()
    tags = ["citation_generation", "keyword_search"]
    tags += ["vector_search"] if vectors else []
    tags += ["rag_retrieval"] if model else []
    how = "words and meaning" if vectors else "words (no embedding model is set)"
    summing = ", answers from them with a model" if model else ""

    @arm(
        "retriever",
        name="Retriever",
        description=f"Searches folders by {how}, cites file and line{summing}; finds broken links in documents.",
        capabilities=tuple(sorted(tags)),
        timeout_seconds=120,
        max_concurrent_tasks=2,
        version="2",
        input_schema=INPUT,
    )
    def retriever(work: Work) -> Answer:
        """Search for the context's `query`, or the goal; with `paths` and no query, review those documents."""
        if "paths" in work.context and "query" not in work.context:
            return review_links(work)
        return _search(searching, work)

    return retriever


def _search(library: Library, work: Work) -> Answer:
    request = request_of(work.context, work.goal)
    outcome = library.search(request)
    results, left_out = _bounded(outcome.results)
    notes = [*outcome.notes, *([f"{left_out} results did not fit into the answer"] if left_out else [])]
    synthesis, note = _synthesis(work, request.query, results)
    notes += [note] if note else []
    sources = tuple(dict.fromkeys(result["source"].rpartition(":")[0] for result in results))
    output = {
        "citations": [result["source"] for result in results],
        "methods": list(outcome.methods),
        "notes": notes,
        "query": request.query,
        "results": results,
        "searched": {"files": outcome.files, "passages": outcome.passages},
        "synthesis": synthesis,
    }
    best = max((result["score"] for result in results), default=1.0)
    return Answer(output, confidence=best, data_sources=sources, tests_passed=("citations-read-back",))


def _bounded(found: tuple[Fused, ...]) -> tuple[list[dict[str, Any]], int]:
    results: list[dict[str, Any]] = []
    size_bytes = 0
    for rank, each in enumerate(found, start=1):
        result = {
            "citation": each.found.citation.to_json() if each.found.citation else None,
            "content": each.found.content,
            "fused": round(each.fused, 6),
            "rank": rank,
            "ranks": dict(each.ranks),
            "score": each.found.relevance,
            "source": each.found.source,
        }
        size_bytes += len(orjson.dumps(result)) + 1
        if size_bytes > _RESULTS_BYTES:
            return results, len(found) - len(results)
        results.append(result)
    return results, 0


def _synthesis(work: Work, query: str, results: list[dict[str, Any]]) -> tuple[str | None, str]:
    """The model's answer, if every statement's source is one it was shown; else none, and why."""
    if work.model is None or not results:
        return None, ""
    shown = results[:_SHOWN_PASSAGES]
    passages = "\n\n".join(f"[{result['rank']}] {result['source']}\n{result['content']}" for result in shown)
    try:
        answer = work.wait(work.ask(f"Question: {query}\n\n{passages}", system=_SYNTHESIS, max_tokens=400))
    except (Refused, Unavailable) as error:
        return None, f"not summed up: {error}"
    cited = {int(number) for number in _CITED.findall(answer.text)}
    if not cited or not cited <= {result["rank"] for result in shown}:
        return None, "not summed up: the model cited nothing, or what it was not shown"
    return answer.text.strip()[:2_000], ""
