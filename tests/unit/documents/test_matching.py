"""Matching by words and by meaning: seed B's values, its limits, and an order that never depends on luck."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octolog.app.arms.matching import scoring
from octolog.app.settings import Settings
from octolog.domain.operators import Operator, Role
from octolog.domain.tasksystem import ASTNode, AtomicTaskSubtype, TaskTemplate, TaskType
from octolog.domain.templates.matching import (
    BY_WORDS,
    LEAST_SCORE,
    MAX_MATCHES,
    Scoring,
    match_node,
    match_operator,
    match_text,
    score,
    words,
)
from octolog.domain.templates.records import TemplateRegistered
from octolog.domain.templates.writing import ast_of
from schemas.xml import BUILTINS

WANTED = "Generate a report from my data"


def registered(
    name: str, description: str, kind: TaskType = TaskType.ATOMIC, prompt: str = ""
) -> TemplateRegistered:
    template = TaskTemplate(prompt, "", "default") if kind is TaskType.ATOMIC else None
    return TemplateRegistered(name, "1", description, kind, template, "0" * 64, "<task/>", "me")


LIBRARY = [
    registered("report", "Generate a report from my data"),
    registered("process", "Process data and generate report"),
    registered("chart", "Generate a chart from data"),
    registered("table", "Make a table from my data"),
    registered("summary", "A summary of my report"),
    registered("mail", "Send the report from my account"),
    registered("poem", "Write verses about the sea"),
    registered("clean", "Clean data"),
    registered("pipeline", "Generate a report from my data", TaskType.SEQUENTIAL),
]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("Find files", "find, FILES!", 1.0),
        ("Find files related to this query", "Find relevant files for query", 0.375),
        ("Create a new task", "Find files related to this query", 0.0),
        (WANTED, "Process data and generate report", 0.375),
        ("", "", 0.0),
        ("...", "!", 0.0),
    ],
)
def test_the_score_of_two_texts_is_that_of_the_seed(one: str, other: str, expected: float) -> None:
    assert score(one, other) == expected


@given(st.text(), st.text())
def test_a_score_lies_between_0_and_1_whichever_way_round(one: str, other: str) -> None:
    assert 0.0 <= score(one, other) == score(other, one) <= 1.0
    assert score(one, one) == (1.0 if words(one) else 0.0)


def test_an_apostrophe_is_part_of_its_word_and_other_marks_part_words() -> None:
    assert words("Don't re-read it's") == {"dont", "re", "read", "its"}


def test_43_at_most_five_atomic_templates_fit_best_first_and_twice_the_same() -> None:
    found = match_text(WANTED, LIBRARY)
    assert len(found) == MAX_MATCHES
    scores = [match.score for match in found]
    assert scores == sorted(scores, reverse=True)
    assert all(LEAST_SCORE < one <= 1.0 for one in scores)
    assert found[0].name == "report"
    assert {match.name for match in found}.isdisjoint({"pipeline", *BUILTINS})
    assert match_text(WANTED, LIBRARY) == found


def test_43_the_order_does_not_depend_on_the_order_of_the_library() -> None:
    shuffled = [*LIBRARY]
    random.Random(7).shuffle(shuffled)
    assert match_text(WANTED, shuffled) == match_text(WANTED, LIBRARY)


def test_of_equal_scores_the_name_decides() -> None:
    library = [registered(name, "same words") for name in ("c", "a", "b")]
    assert [match.name for match in match_text("same words", library)] == ["a", "b", "c"]


def test_more_than_five_are_never_given_and_fewer_are_when_asked() -> None:
    assert len(match_text(WANTED, LIBRARY, 50)) == MAX_MATCHES
    assert [match.name for match in match_text(WANTED, LIBRARY, 1)] == ["report"]
    assert match_text(WANTED, LIBRARY, 0) == ()


def test_a_score_of_a_tenth_is_not_enough() -> None:
    library = [registered("long", "one " + " ".join(f"w{n}" for n in range(9)))]
    assert score("one", library[0].description) == LEAST_SCORE
    assert match_text("one", library) == ()


def test_a_template_without_a_description_is_matched_by_its_instructions() -> None:
    (found,) = match_text("count words", [registered("count", "", prompt="Count words")])
    assert (found.name, found.score) == ("count", 1.0)


def test_a_node_is_matched_by_itself_and_not_by_what_stands_in_it() -> None:
    root = Operator("", -1, Role.ROOT, TaskType.SEQUENTIAL, goal="verses about the sea")
    child = Operator("a", 0, Role.STEP, TaskType.ATOMIC, goal=WANTED)
    tree = ast_of(
        (root, Operator("a", 0, Role.STEP, TaskType.ATOMIC, AtomicTaskSubtype.STANDARD, goal=WANTED))
    )
    assert match_node(tree, LIBRARY, 1)[0].name == "poem"
    assert match_operator(root, LIBRARY) == match_node(tree, LIBRARY)
    assert match_operator(child, LIBRARY) == match_text(WANTED, LIBRARY)
    assert match_node(ASTNode("note", WANTED), LIBRARY) == match_text(WANTED, LIBRARY)


@pytest.fixture(scope="module")
def meaning() -> Scoring:
    found = scoring(Settings(embedding_model=None))
    if found.name == "words":
        pytest.skip("no embedding model is installed")
    return found


def test_with_an_embedding_model_what_means_the_same_fits_without_a_word_in_common(meaning: Scoring) -> None:
    library = [*LIBRARY, registered("reader", "Rates how readable a piece of code is")]
    wanted = "say what makes programs hard to understand"
    assert match_text(wanted, library) == ()
    found = match_text(wanted, library, scoring=meaning)
    assert [match.name for match in found] == ["reader"]
    assert meaning.model == "packaged"


def test_43_by_meaning_too_at_most_five_atomic_ones_best_first_and_always_the_same(meaning: Scoring) -> None:
    found = match_text(WANTED, LIBRARY, scoring=meaning)
    scores = [match.score for match in found]
    assert (len(found), found[0].name, found[0].score) == (MAX_MATCHES, "report", 1.0)
    assert scores == sorted(scores, reverse=True)
    assert all(meaning.least < fit <= 1.0 for fit in scores)
    assert "pipeline" not in {match.name for match in found}
    shuffled = random.Random(5).sample(LIBRARY, len(LIBRARY))
    assert match_text(WANTED, shuffled, scoring=meaning) == found
    assert match_node(ASTNode("note", WANTED), LIBRARY, scoring=meaning) == found


def test_a_text_without_a_word_means_nothing(meaning: Scoring) -> None:
    assert match_text(" ", [registered("a", "x")], scoring=meaning) == ()
    assert list(meaning.of("x", [" "])) == [0.0]


def test_without_an_embedding_model_the_score_is_by_words() -> None:
    assert scoring(Settings(embedding_model="fastembed:nobody/has-this")) is BY_WORDS
    assert scoring(Settings(embedding_model="endpoint:there-is-no-endpoint", llm_base_url=None)) is BY_WORDS
